//! What a transaction has done so far in one task: overlay, outbox, timers, and how to undo it.

use std::sync::Arc;

use crate::{
    codec,
    effect::{Effect, Headers, Outbox, Target},
    envelope::{Configuration, Envelope},
    fold::Fault,
    ids::{TaskId, Timestamp},
    mutation::{self, Mutation},
    overlay::{Mark, Overlay},
    record::Trace,
    rejection::Rejection,
    stage::{Settings, StageDefinition},
    store::StoreId,
    timers,
    topology::Topology,
};

/// What a transaction has done so far in one task, and what the context needs to do more.
pub struct Work {
    pub task: TaskId,
    pub(crate) definition: Arc<StageDefinition>,
    pub(crate) overlay: Overlay,
    pub(crate) outbox: Outbox,
    pub(crate) configuration: Option<Arc<Configuration>>,
    pub(crate) settings: Option<Settings>,
    pub(crate) fault: Option<Fault>,
    pub(crate) broken_limit: Option<Rejection>,
    pub(crate) input_start: InputStart,
    wiring: Wiring,
    /// No timer lies before this instant: where a scan may begin. A cache, not state.
    pub(crate) timers_from: Timestamp,
    /// No timer's row comes up to this one, the last that fired. A cache too: many timers may have
    /// one deadline, and a scan must not walk over those of them that fired.
    pub(crate) timer_fired: Vec<u8>,
}

/// Where the input being handled began in the outbox and in the overlay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InputStart {
    pub effects: usize,
    pub bytes: usize,
    pub writes: usize,
}

/// A point to roll back to: state, timers and outbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint {
    mark: Mark,
    effects: usize,
}

/// Names of the topology as numbers.
#[derive(Debug)]
struct Wiring {
    stages: Vec<&'static str>,
    outputs: Vec<(&'static str, usize)>,
}

// === impl Work ===

impl Work {
    pub(crate) fn new(task: TaskId, definition: Arc<StageDefinition>, topology: &Topology) -> Self {
        Self {
            task,
            definition,
            overlay: Overlay::default(),
            outbox: Outbox::default(),
            configuration: None,
            settings: None,
            fault: None,
            broken_limit: None,
            input_start: InputStart::default(),
            wiring: Wiring::of(topology),
            timers_from: Timestamp::MIN,
            timer_fired: Vec::new(),
        }
    }

    pub(crate) fn begin_input(&mut self) {
        self.input_start = InputStart {
            effects: self.outbox.len(),
            bytes: self.outbox.bytes(),
            writes: self.overlay.undoable(),
        };
    }

    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint { mark: self.overlay.mark(), effects: self.outbox.len() }
    }

    pub(crate) fn roll_back(&mut self, savepoint: Savepoint) {
        if !mutation::is_on(Mutation::NoSavepoint) {
            self.overlay.roll_back(savepoint.mark);
        }
        if !mutation::is_on(Mutation::OutputBeforeSavepoint) {
            self.outbox.truncate(savepoint.effects);
        }
        // NOTE: what is known of timers only became less since the savepoint, so it is still true.
    }

    pub(crate) fn schedule(&mut self, deadline: Timestamp, key: &[u8], trace: &Trace) {
        let row = timers::row_key(deadline, key);
        self.overlay.put(StoreId::TIMERS, &row, codec::encode(trace));
        self.timers_from = self.timers_from.min(deadline);
        if row <= self.timer_fired {
            self.timer_fired.clear();
        }
    }

    pub(crate) fn cancel(&mut self, deadline: Timestamp, key: &[u8]) {
        self.overlay.delete(StoreId::TIMERS, &timers::row_key(deadline, key));
    }

    pub(crate) fn output(&self, name: &str) -> Option<u16> {
        let declared = self.definition.outputs.contains(&name);
        let index = self.wiring.outputs.iter().position(|(output, _)| *output == name);
        index.filter(|_| declared).and_then(|index| u16::try_from(index).ok())
    }

    pub(crate) fn output_bytes_max(&self, index: u16) -> usize {
        self.wiring.outputs.get(usize::from(index)).map_or(0, |(_, max)| *max)
    }

    pub(crate) fn target(&self, name: &str) -> Option<u16> {
        let declared = self.definition.sends.contains(&name);
        let index = self.wiring.stages.iter().position(|stage| *stage == name);
        index.filter(|_| declared).and_then(|index| u16::try_from(index).ok())
    }

    pub(crate) fn send_self_tick(&mut self) {
        let value = Some(codec::encode(&Envelope::SelfTick));
        self.outbox.push(Effect {
            target: Target::Own,
            key: Vec::new(),
            value,
            headers: Headers::default(),
        });
    }
}

impl Wiring {
    fn of(topology: &Topology) -> Self {
        Self {
            stages: topology.definitions().iter().map(|definition| definition.name).collect(),
            outputs: topology
                .outputs
                .iter()
                .map(|output| (output.topic, output.record_bytes_max))
                .collect(),
        }
    }
}
