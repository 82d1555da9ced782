//! Ticks: the frontiers of this worker's tasks, to every downstream inbox partition.

use aplomb_state::{
    codec,
    envelope::{Envelope, Frontier},
    ids::Timestamp,
};

use super::{Worker, process};
use crate::{
    application::Ticks,
    log::{self, Consumer, Log, ToSend},
    names,
    position::Note,
    task::{State, Task},
};

/// The cause of ticks and broadcasts of configuration: inputs in their own right, which `verify`
/// takes as they stand.
pub(crate) const OWN_CAUSE: &str = "~";

/// Ticks are kept for days, so that a note each minute is enough, and is little beside them.
const NOTES_INTERVAL_MS: i64 = 60_000;

impl<L: Log> Worker<L> {
    /// At most one round of ticks per interval. `true`: one was sent.
    pub(super) fn tick(&mut self) -> Result<bool, log::Error> {
        let tuning = &self.application.tuning;
        let now = self.clock.now();
        let due = match tuning.ticks {
            Ticks::Timed => now.0.saturating_sub(self.last_tick.0) >= tuning.tick_interval_ms,
            Ticks::OnRequest => self.tick_wanted,
        };
        // IMPORTANT: a tick must not overtake effects that a full queue holds back, nor the first
        // transaction of a task.
        if !due || self.transaction_is_full() || self.announcing() {
            return Ok(false);
        }
        self.tick_wanted = false;
        self.last_tick = now;
        let frontiers = self.frontiers()?;
        if frontiers.is_empty() {
            return Ok(false);
        }
        self.begin()?;
        let notes = self.notes_if_due(now);
        for stage in self.application.inner_stages() {
            let before = frontiers.iter().filter(|frontier| frontier.stage < stage);
            let before: Vec<Frontier> = before.cloned().collect();
            if !before.is_empty() {
                let value = codec::encode(&Envelope::Tick(before));
                self.send_to_inbox(stage, &value, &notes)?;
            }
        }
        Ok(true)
    }

    /// How far each external partition was handled. IMPORTANT: every effect of the inputs before is
    /// in this transaction or an earlier one, and so is their offset.
    fn notes_if_due(&mut self, now: Timestamp) -> Vec<String> {
        if now.0.saturating_sub(self.last_notes.0) < NOTES_INTERVAL_MS {
            return Vec::new();
        }
        let note = |task: &Task| match &task.state {
            State::Running(running) if task.stage == 0 => {
                let partition = task.id.input.clone();
                let metadata = running.metadata.clone();
                Some(Note { partition, next: running.next, metadata }.to_string())
            }
            _ => None,
        };
        let notes: Vec<String> = self.tasks.iter().filter_map(note).collect();
        if !notes.is_empty() {
            self.last_notes = now;
        }
        notes
    }

    /// To every partition of one inbox.
    pub(super) fn send_to_inbox(
        &mut self,
        stage: u16,
        value: &[u8],
        notes: &[String],
    ) -> Result<(), log::Error> {
        let (Some(inbox), Some(producer)) =
            (process::inbox_of(&self.application, stage), &mut self.producer)
        else {
            return Ok(());
        };
        let mut headers = vec![(names::CAUSE_HEADER, OWN_CAUSE.as_bytes())];
        headers.extend(notes.iter().map(|note| (names::NOTE_HEADER, note.as_bytes())));
        for partition in 0..self.application.inbox_partitions {
            let record = ToSend {
                topic: inbox,
                partition,
                timestamp: None,
                key: None,
                value: Some(value),
                headers: &headers,
                receipt: 0,
            };
            process::send_now(producer, &record)?;
        }
        Ok(())
    }

    fn announcing(&self) -> bool {
        self.tasks.iter().any(|task| matches!(&task.state, State::Running(r) if r.is_announcing()))
    }

    fn frontiers(&mut self) -> Result<Vec<Frontier>, log::Error> {
        let mut frontiers = Vec::new();
        let mut faults = Vec::new();
        for index in 0..self.tasks.len() {
            let Some(input) = self.tasks.get(index).map(|task| task.id.input.clone()) else {
                continue;
            };
            let head = self.head(&input)?;
            let Some(task) = self.tasks.get_mut(index) else { continue };
            let State::Running(running) = &mut task.state else { continue };
            let at = if task.stage == 0 {
                let source = self.application.source_of(&input);
                let disorder = source.map_or(0, |source| source.allowed_disorder_ms);
                // The oldest record not yet taken, or the instant at which there was none.
                let at = match head {
                    Some(head) => Some(head.timestamp),
                    None => self.consumer.drained_at(&input),
                };
                at.map(|at| at.minus_ms(disorder))
            } else {
                match running.frontier() {
                    Ok(at) => Some(at),
                    Err(fault) => {
                        faults.push((input.clone(), fault));
                        None
                    }
                }
            };
            if let Some(at) = at.filter(|at| *at > Timestamp::MIN) {
                frontiers.push(Frontier { stage: task.stage, input, at });
            }
        }
        for (input, fault) in &faults {
            self.mend(input, fault.remedy, fault.to_string());
        }
        if let Some((_, fault)) = faults.first() {
            let error = super::own_error(log::Class::Abort, fault.to_string());
            return Err(log::Error { blameless: true, ..error });
        }
        Ok(frontiers)
    }
}
