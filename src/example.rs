//! A small topology for the tests of the modules that only describe or serve one.

use std::sync::Arc;

use aplomb_state::{
    context::Context,
    ids::FoldVersion,
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
    store::{KeyValue, StoreDefinition},
    topology::{
        Cleanup, Codec, Filter, Item, List, OutputDefinition, Rows, StateView, Topology, View,
    },
};

/// Words are read from outside and counted by word.
pub fn topology() -> Topology {
    let output = |topic, cleanup, record_bytes_max| OutputDefinition {
        topic,
        cleanup,
        key: "word",
        codec: Codec::Json,
        record_bytes_max,
    };
    Topology {
        name: "words",
        fold_version: FoldVersion(1),
        stages: vec![Arc::new(Part::Read), Arc::new(Part::Count)],
        outputs: vec![
            output("totals.v1", Cleanup::Compact, 1_000),
            output("events.v1", Cleanup::Delete { retention_ms: 86_400_000 }, 1_000),
            output("cases.v1", Cleanup::CompactAndDelete { retention_ms: 1_000 }, 4 << 20),
        ],
        views: vec![View { name: "words", stage: "count", key: word_key, render: render_word }],
        lists: vec![
            List { name: "words", filters: FILTERS, rows: &[ROWS] },
            List { name: "pairs", filters: FILTERS, rows: &[ROWS, ROWS] },
        ],
        settings: |_| Ok(Arc::new(())),
    }
}

const FILTERS: &[Filter] =
    &[Filter { name: "word", values: &[] }, Filter { name: "length", values: &["short", "long"] }];
const ROWS: Rows = Rows { stage: "count", store: "totals", render: list_word };

fn word_key(path: &str) -> Result<Vec<u8>, String> {
    if path.contains('!') {
        return Err("expected /words/WORD, a word without !".to_owned());
    }
    Ok(path.as_bytes().to_vec())
}

fn render_word(state: &dyn StateView, key: &[u8]) -> Result<Option<String>, String> {
    let value = state.get("totals", key)?;
    Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn list_word(_: &dyn StateView, key: &[u8], _: &[u8]) -> Result<Vec<Item>, String> {
    let word = String::from_utf8_lossy(key).into_owned();
    let length = if word.len() > 4 { "long" } else { "short" };
    let json = format!("{word:?}");
    Ok(vec![Item { json, fields: vec![word, length.to_owned()] }])
}

const TOTALS: StoreDefinition = KeyValue::<str, Unused>::new("totals").definition();

#[derive(serde::Serialize, serde::Deserialize)]
struct Unused;

impl aplomb_state::codec::Format for Unused {
    const VERSION: u8 = 1;
}

enum Part {
    Read,
    Count,
}

impl Stage for Part {
    fn define(&self) -> StageDefinition {
        let (name, inbox) = match self {
            Self::Read => ("read", Inbox::External),
            Self::Count => ("count", Inbox::Internal),
        };
        let internal = inbox == Inbox::Internal;
        StageDefinition {
            name,
            inbox,
            stores: if internal { vec![TOTALS] } else { Vec::new() },
            outputs: if internal { vec!["totals.v1", "events.v1"] } else { vec!["cases.v1"] },
            sends: vec!["count"],
            limits: Limits::default(),
        }
    }

    fn handle(&self, _: &mut Context<'_>, _: &Record<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        _: &mut Context<'_>,
        _: &Subject<'_>,
        _: &Rejection,
    ) -> Result<(), Rejection> {
        Ok(())
    }
}
