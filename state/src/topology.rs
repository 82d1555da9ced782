//! A topology as one value: stages in order, outputs, views. Validated before anything runs.

use std::{collections::HashSet, sync::Arc};

use crate::{
    backend::Snapshot,
    ids::FoldVersion,
    scan::Scan,
    stage::{Inbox, Settings, Stage, StageDefinition},
    store::{RUNTIME_STORES, StoreId},
};

/// Everything the runtime is told about what it runs.
#[derive(Clone)]
pub struct Topology {
    pub name: &'static str,
    pub fold_version: FoldVersion,
    /// In the order of time: a stage's time comes from the stages before it.
    pub stages: Vec<Arc<dyn Stage>>,
    pub outputs: Vec<OutputDefinition>,
    pub views: Vec<View>,
    pub lists: Vec<List>,
    /// Reads the body of a configuration document.
    pub settings: fn(&[u8]) -> Result<Settings, String>,
}

/// An output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputDefinition {
    /// Without the prefix.
    pub topic: &'static str,
    pub cleanup: Cleanup,
    /// What the key is made of, for people.
    pub key: &'static str,
    pub codec: Codec,
    /// Of one record; the topic's `max.message.bytes` lies above.
    pub record_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Json,
    /// As received.
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    Compact,
    Delete { retention_ms: i64 },
    CompactAndDelete { retention_ms: i64 },
}

/// What an operator can look at, on the worker that owns it.
#[derive(Clone)]
pub struct View {
    /// The path segment: `orders` in `/orders/{id}`.
    pub name: &'static str,
    pub stage: &'static str,
    /// The actor's key in the stage's inbox, from the path after the name. `Err` says what is
    /// expected.
    pub key: fn(&str) -> Result<Vec<u8>, String>,
    /// From committed state.
    pub render: Render,
}

/// What an operator can look through.
#[derive(Clone)]
pub struct List {
    /// The path segment: `cases` in `/cases?status=open`.
    pub name: &'static str,
    pub filters: &'static [Filter],
    /// One after the other.
    pub rows: &'static [Rows],
}

/// The rows of one store, over all tasks of a stage.
#[derive(Clone, Copy)]
pub struct Rows {
    pub stage: &'static str,
    pub store: &'static str,
    /// From one row of the store.
    pub render: RenderRow,
}

/// A field that a list can be filtered by.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub name: &'static str,
    /// What it can be. Empty: anything.
    pub values: &'static [&'static str],
}

/// One item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    pub json: String,
    /// By the list's filters, in their order.
    pub fields: Vec<String>,
}

/// Committed state by store name, for views.
pub trait StateView {
    fn get(&self, store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    fn scan(&self, store: &str, prefix: &[u8], max: usize) -> Result<Entries, String>;
}

/// Key and value.
pub type Entry = (Vec<u8>, Vec<u8>);
pub type Entries = Vec<Entry>;

/// The view as JSON. `None`: there is no such thing.
pub type Render = fn(&dyn StateView, &[u8]) -> Result<Option<String>, String>;

/// The items of one row, by its key and value.
pub type RenderRow = fn(&dyn StateView, &[u8], &[u8]) -> Result<Vec<Item>, String>;

/// A [`StateView`] over a backend's snapshot.
pub struct StageState<'a> {
    pub definition: &'a StageDefinition,
    pub snapshot: &'a dyn Snapshot,
}

impl StateView for StageState<'_> {
    fn get(&self, store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let store = self.definition.store(store).ok_or_else(|| format!("no store {store}"))?;
        self.snapshot.get(store, key).map_err(|error| error.to_string())
    }

    fn scan(&self, store: &str, prefix: &[u8], max: usize) -> Result<Entries, String> {
        let store = self.definition.store(store).ok_or_else(|| format!("no store {store}"))?;
        self.snapshot
            .scan(store, Scan::rising(prefix, None, max))
            .map_err(|error| error.to_string())
    }
}

impl StageDefinition {
    pub fn store(&self, name: &str) -> Option<StoreId> {
        let index = self.stores.iter().position(|store| store.name == name)?;
        u8::try_from(index).ok().map(|index| StoreId(index + StoreId::FIRST_DECLARED))
    }

    /// All stores with their names, the runtime's own first. Empty for a stage without an inbox
    /// of its own.
    pub fn all_stores(&self) -> Vec<&'static str> {
        match self.inbox {
            Inbox::External => Vec::new(),
            Inbox::Internal => {
                RUNTIME_STORES.into_iter().chain(self.stores.iter().map(|s| s.name)).collect()
            }
        }
    }
}

impl Topology {
    pub fn definitions(&self) -> Vec<StageDefinition> {
        self.stages.iter().map(|stage| stage.define()).collect()
    }

    /// All mistakes at once.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let definitions = self.definitions();
        let mut mistakes = Vec::new();
        let stages: HashSet<_> = definitions.iter().map(|definition| definition.name).collect();
        if stages.len() != definitions.len() {
            mistakes.push("two stages have the same name".to_owned());
        }
        let outputs: HashSet<_> = self.outputs.iter().map(|output| output.topic).collect();
        if outputs.len() != self.outputs.len() {
            mistakes.push("two outputs have the same topic".to_owned());
        }
        match definitions.split_first() {
            Some((first, rest)) => {
                if first.inbox != Inbox::External {
                    mistakes.push(format!("the first stage, {}, must be external", first.name));
                }
                for stage in rest.iter().filter(|stage| stage.inbox == Inbox::External) {
                    mistakes.push(format!("stage {}: only the first can be external", stage.name));
                }
            }
            None => mistakes.push("a topology needs a stage".to_owned()),
        }
        for definition in &definitions {
            check_stage(definition, &stages, &outputs, &mut mistakes);
        }
        for view in self.views.iter().filter(|view| !stages.contains(view.stage)) {
            mistakes.push(format!("view {}: no stage {}", view.name, view.stage));
        }
        for List { name, rows, .. } in &self.lists {
            for Rows { stage, store, .. } in *rows {
                let definition = definitions.iter().find(|definition| definition.name == *stage);
                if definition.is_none_or(|definition| definition.store(store).is_none()) {
                    mistakes.push(format!("list {name}: no store {store} in stage {stage}"));
                }
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

fn check_stage(
    stage: &StageDefinition,
    stages: &HashSet<&str>,
    outputs: &HashSet<&str>,
    mistakes: &mut Vec<String>,
) {
    let name = stage.name;
    let unique: HashSet<_> = stage.stores.iter().map(|store| store.name).collect();
    if unique.len() != stage.stores.len() {
        mistakes.push(format!("stage {name}: two stores have the same name"));
    }
    if stage.stores.len() > usize::from(u8::MAX - StoreId::FIRST_DECLARED) {
        mistakes.push(format!("stage {name}: too many stores"));
    }
    for store in stage.stores.iter().filter(|store| store.name.starts_with('~')) {
        mistakes.push(format!("stage {name}: store {}: ~ is the runtime's own", store.name));
    }
    if stage.inbox == Inbox::External && !stage.stores.is_empty() {
        mistakes.push(format!("stage {name}: an external stage has no stores"));
    }
    for output in stage.outputs.iter().filter(|output| !outputs.contains(**output)) {
        mistakes.push(format!("stage {name}: unknown output {output}"));
    }
    for target in stage.sends.iter().filter(|target| !stages.contains(**target)) {
        mistakes.push(format!("stage {name}: sends to unknown stage {target}"));
    }
}
