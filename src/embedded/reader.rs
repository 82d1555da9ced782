//! Reads partitions of the embedded log outside any group.

use std::{sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, TopicPartition};

use super::{
    cluster::{Cluster, Shared},
    faults::{self, Call, Faults},
    record::Stored,
};
use crate::log::{Error, Fetched, Isolation, Reader};

pub struct EmbeddedReader {
    shared: Arc<Shared>,
    faults: Option<Arc<dyn Faults>>,
    isolation: Isolation,
    positions: Vec<(TopicPartition, NextOffset)>,
    /// The partition to begin with, so that none starves behind a busy one.
    turn: usize,
    /// Kept for its capacity: records are handed out after the lock is released.
    batch: Vec<(usize, Stored)>,
}

impl EmbeddedReader {
    pub(super) fn new(
        shared: Arc<Shared>,
        faults: Option<Arc<dyn Faults>>,
        from: &[(TopicPartition, NextOffset)],
        isolation: Isolation,
    ) -> Self {
        let positions = from.to_vec();
        Self { shared, faults, isolation, positions, turn: 0, batch: Vec::new() }
    }

    fn fill(&mut self, cluster: &Cluster, max: usize) -> Result<(), Error> {
        let count = self.positions.len();
        let Self { isolation, positions, batch, .. } = self;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((of, position)) = positions.get_mut(index) else {
                continue;
            };
            let room = max.saturating_sub(batch.len());
            let partition = cluster.partition(of)?;
            *position = partition.fetch(*position, *isolation, room, |record| {
                batch.push((index, record.clone()));
            })?;
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(())
    }
}

impl Reader for EmbeddedReader {
    fn read(
        &mut self,
        max: usize,
        wait: Duration,
        each: &mut dyn FnMut(&TopicPartition, &Fetched<'_>),
    ) -> Result<usize, Error> {
        faults::ask(self.faults.as_deref(), Call::Read)?;
        let shared = Arc::clone(&self.shared);
        let filled = shared.wait(wait, |cluster, _| match self.fill(cluster, max) {
            Err(error) => Some(Err(error)),
            Ok(()) => (!self.batch.is_empty() || max == 0).then_some(Ok(())),
        });
        filled.unwrap_or(Ok(()))?;
        let count = self.batch.len();
        for (index, record) in self.batch.drain(..) {
            if let Some((of, _)) = self.positions.get(index) {
                each(of, &record.fetched());
            }
        }
        Ok(count)
    }

    fn position(&mut self, partition: &TopicPartition) -> NextOffset {
        let mut positions = self.positions.iter();
        let found = positions.find(|(of, _)| of == partition);
        found.map(|(_, position)| *position).unwrap_or_default()
    }
}
