//! A task's committed state at one moment, for people to look at from any thread.

use std::sync::Arc;

use super::{
    engine::{Column, Moment},
    keys::{self, Range},
    meta::TaskRow,
    session::Session,
};
use crate::{
    backend::{Error, Reads, Snapshot, StorePosition},
    ids::TaskId,
    scan::Scan,
    store::StoreId,
    topology::Entries,
};

/// Data and position come from the same moment. Holding it long keeps deleted rows on disk.
pub(super) struct RocksSnapshot {
    moment: Moment,
    range: Range,
    columns: Arc<[Column]>,
    position: Option<StorePosition>,
}

impl RocksSnapshot {
    /// `None`: nothing is stored for the task.
    pub fn take(
        session: &Session,
        task: &TaskId,
        columns: Arc<[Column]>,
    ) -> Result<Option<Self>, Error> {
        let moment = Moment::of(&session.engine);
        let Some(bytes) = moment.get(&session.meta, &keys::task_row(task))? else {
            return Ok(None);
        };
        let live = TaskRow::decode(&bytes)?.live;
        let range = Range::new(task.input.partition, live.incarnation);
        Ok(Some(Self { moment, range, columns, position: live.position }))
    }

    fn column(&self, store: StoreId) -> Result<&Column, Error> {
        let column = self.columns.get(usize::from(store.0));
        column.ok_or_else(|| Error::Storage(format!("no store {}", store.0)))
    }
}

impl Reads for RocksSnapshot {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut row_key = Vec::with_capacity(64);
        self.range.key_into(key, &mut row_key);
        self.moment.get(self.column(store)?, &row_key)
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        self.moment.scan(self.column(store)?, self.range, scan)
    }
}

impl Snapshot for RocksSnapshot {
    fn position(&self) -> Option<&StorePosition> {
        self.position.as_ref()
    }
}
