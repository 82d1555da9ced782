//! What came in, and how much of it told nothing new.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::records::Topics;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    pub notifications: usize,
    pub counts: usize,
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

pub(super) fn count(topics: &Topics) -> Inputs {
    let mut messages = BTreeSet::new();
    let mut versions = BTreeSet::new();
    let mut repeated = 0;
    let values = topics.notifications.iter().filter_map(|kept| kept.value.as_ref());
    let parsed = values.filter_map(|value| serde_json::from_slice::<Notification>(value).ok());
    let mut changes = Vec::new();
    for notification in parsed {
        let Some(inner) = notification.inner() else { continue };
        let Some(resource) = inner.resource.map(|resource| resource.id) else { continue };
        match (inner.notification_type.as_deref(), inner.id) {
            (Some("Message"), Some(id)) => {
                versions.insert((resource, inner.resource_version));
                repeated += usize::from(!messages.insert(id));
            }
            _ => changes.push((resource, inner.version)),
        }
    }
    // A change tells something only if no message and no other change told of that version.
    repeated += changes.into_iter().filter(|change| !versions.insert(change.clone())).count();
    Inputs { notifications: topics.notifications.len(), counts: topics.warehouse.len(), repeated }
}

impl Notification {
    fn inner(self) -> Option<Self> {
        match self.specversion {
            Some(_) => self.data.map(|data| *data),
            None => Some(self),
        }
    }
}
