//! What an input causes outside its task: records to be written, in order.

pub use crate::headers::Headers;

/// A record to be written, addressed by what the topology knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub target: Target,
    pub key: Vec<u8>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An output, by its place in the topology. The key decides the partition.
    Output(u16),
    /// The inbox of a stage, by its place in the topology. The key decides the partition.
    Stage(u16),
    /// Every partition of a stage's inbox.
    Broadcast(u16),
    /// The task's own inbox partition.
    Own,
}

/// The records one transaction is to write for a task, bounded by the topology's limits.
#[derive(Debug, Default)]
pub struct Outbox {
    effects: Vec<Effect>,
    bytes: usize,
}

impl Outbox {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.effects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Moves one out. Its place stays, empty, so that the others keep theirs.
    pub fn take(&mut self, index: usize) -> Option<Effect> {
        let place = self.effects.get_mut(index)?;
        let target = place.target;
        let empty = Effect { target, key: Vec::new(), value: None, headers: Headers::default() };
        Some(std::mem::replace(place, empty))
    }

    pub fn clear(&mut self) {
        self.effects.clear();
        self.bytes = 0;
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.bytes += effect.bytes();
        self.effects.push(effect);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        for effect in self.effects.drain(len.min(self.effects.len())..) {
            self.bytes = self.bytes.saturating_sub(effect.bytes());
        }
    }
}

impl Effect {
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + self.headers.bytes()
    }
}
