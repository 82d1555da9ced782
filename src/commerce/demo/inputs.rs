//! What came in, and how much of it told nothing new.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    pub notifications: usize,
    pub counts: usize,
    /// Of the order management.
    pub statuses: usize,
    /// Notifications of a fact that another one had told before: sent twice, or in another form.
    pub repeated: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    /// In CloudEvents the notification proper stands under `data`.
    specversion: Option<String>,
    data: Option<Box<Notification>>,
    id: Option<String>,
    notification_type: Option<String>,
    resource: Option<Reference>,
    resource_version: Option<u64>,
    version: Option<u64>,
}

#[derive(Deserialize)]
struct Reference {
    id: String,
}

/// Sees every record once, in the order of the log or in any other within a partition's end.
#[derive(Default)]
pub(super) struct Counter {
    inputs: Inputs,
    messages: BTreeSet<String>,
    /// (resource, version) that a message told of.
    told: BTreeSet<(String, u64)>,
    /// (resource, version) of changes, with how many there were.
    changes: BTreeMap<(String, u64), usize>,
}

// === impl Counter ===

impl Counter {
    pub fn warehouse(&mut self) {
        self.inputs.counts += 1;
    }

    pub fn order_management(&mut self) {
        self.inputs.statuses += 1;
    }

    pub fn notification(&mut self, value: &[u8]) {
        self.inputs.notifications += 1;
        // What cannot be read is no duplicate; it is a dead letter.
        let Some(notification) = read(value) else { return };
        let Some(resource) = notification.resource.map(|resource| resource.id) else { return };
        match (notification.notification_type.as_deref(), notification.id) {
            (Some("Message"), Some(id)) => {
                let version = notification.resource_version.unwrap_or(0);
                self.told.insert((resource, version));
                self.inputs.repeated += usize::from(!self.messages.insert(id));
            }
            _ => {
                let version = notification.version.unwrap_or(0);
                *self.changes.entry((resource, version)).or_default() += 1;
            }
        }
    }

    pub fn inputs(&self) -> Inputs {
        let repeated = self.changes.iter().map(|(change, times)| {
            // The first tells something only if no message told of that version.
            if self.told.contains(change) { *times } else { times - 1 }
        });
        Inputs { repeated: self.inputs.repeated + repeated.sum::<usize>(), ..self.inputs }
    }
}

fn read(value: &[u8]) -> Option<Notification> {
    let outer: Notification = serde_json::from_slice(value).ok()?;
    match outer.specversion {
        Some(_) => outer.data.map(|data| *data),
        None => Some(outer),
    }
}
