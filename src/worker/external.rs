//! Opening external partitions: they have a committed offset and nothing else.
//!
//! Invariant `START-ONCE`: the start of every external partition is settled in one transaction, by
//! one worker, at the very first start; it is never resolved again.

use aplomb_state::ids::{Generation, NextOffset, TopicPartition};

use super::{REQUEST_WAIT, Worker, opening::UNSTABLE_BACKOFF_MS};
use crate::{
    application::Start,
    log::{self, Committed, Consumer, Isolation, Log, Watermarks},
    position::Metadata,
    task::Announce,
};

impl<L: Log> Worker<L> {
    pub(super) fn open_external(
        &mut self,
        input: &TopicPartition,
        committed: Committed,
    ) -> Result<(), log::Error> {
        match committed {
            Committed::Unstable => {
                self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
                Ok(())
            }
            Committed::At { next, metadata } => {
                match Metadata::parse(&metadata) {
                    Ok(metadata) => {
                        // What follows is folded by this build, whoever came before.
                        let fold_version = self.application.topology.fold_version;
                        let metadata = Metadata { fold_version, ..metadata };
                        self.run(input, 0, None, metadata, next, Announce::Configuration);
                    }
                    Err(reason) => self.park(input, reason),
                }
                Ok(())
            }
            Committed::None => self.open_without_offset(input),
        }
    }

    /// The very first start. The owner of the first external partition begins for all: it commits
    /// the start of every external partition in one transaction, which the others wait for, so
    /// that no two workers resolve the same start at different times.
    fn open_without_offset(&mut self, input: &TopicPartition) -> Result<(), log::Error> {
        let external = self.application.external_partitions();
        let Some(founder) = external.first().cloned() else { return Ok(()) };
        let committed = self.consumer.committed(&external, REQUEST_WAIT)?;
        if committed.contains(&Committed::Unstable) {
            self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
            return Ok(());
        }
        let own = external.iter().zip(&committed).find(|(partition, _)| *partition == input);
        if own.is_some_and(|(_, committed)| *committed != Committed::None) {
            // Begun since we asked.
            self.wait_to_open(input, 0);
            return Ok(());
        }
        let begun = committed.iter().any(|committed| *committed != Committed::None);
        if begun {
            return self.open_later_partition(input, &external, &committed);
        }
        let inboxes = self.application.inbox_partitions();
        let marks = self.log.watermarks(&inboxes, Isolation::ReadUncommitted)?;
        let holding = inboxes.iter().zip(&marks).find(|(_, marks)| marks.high > NextOffset(0));
        // Fresh inbox tasks commit their first offset with nothing in the inbox, so a first start
        // finds them empty.
        if let Some((inbox, _)) = holding {
            self.park(
                input,
                format!(
                    "no offset of any external topic is committed, but {inbox} holds records: \
                     the group's offsets were lost. Stop every process of the application and run \
                     `aplomb offsets restore`"
                ),
            );
            return Ok(());
        }
        if *input != founder {
            self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
            return Ok(());
        }
        self.found(&external)
    }

    /// A partition that was added to a known topic starts at 0; any other missing offset is fatal.
    fn open_later_partition(
        &mut self,
        input: &TopicPartition,
        external: &[TopicPartition],
        committed: &[Committed],
    ) -> Result<(), log::Error> {
        let siblings = external.iter().zip(committed).filter(|(sibling, committed)| {
            sibling.topic == input.topic && matches!(committed, Committed::At { .. })
        });
        let known = siblings.filter_map(|(_, committed)| match committed {
            Committed::At { metadata, .. } => Metadata::parse(metadata).ok(),
            _ => None,
        });
        match known.max_by_key(|metadata| metadata.partitions) {
            Some(metadata) if input.partition >= metadata.partitions => {
                let partitions = self.external_count(input);
                let start = Some(NextOffset(0));
                let metadata = Metadata { partitions, start, ..metadata };
                self.run(input, 0, None, metadata, NextOffset(0), Announce::Configuration);
            }
            Some(_) => self.park(
                input,
                "no offset is committed for this partition, though its topic was read before: \
                 the offset was lost. Stop every process of the application and run `aplomb \
                 offsets restore`"
                    .to_owned(),
            ),
            None => self.park(
                input,
                "this topic was added to an application that has run before; its start is not \
                 settled. Stop every process of the application and run `aplomb offsets restore \
                 --from FILE` with a file that says where to begin"
                    .to_owned(),
            ),
        }
        Ok(())
    }

    fn external_count(&self, input: &TopicPartition) -> i32 {
        self.application.source_of(input).map_or(1, |source| source.partitions)
    }

    /// Commits the first offset of every external partition, in one transaction.
    fn found(&mut self, external: &[TopicPartition]) -> Result<(), log::Error> {
        let starts = match self.application.start {
            Start::Earliest => self.marks(external, |marks| marks.low)?,
            Start::Latest => self.marks(external, |marks| marks.high)?,
            Start::At(at) => self.log.offsets_at(external, at)?,
        };
        let generation = Generation(self.random_generation());
        let mut offsets = Vec::with_capacity(external.len());
        for (input, start) in external.iter().zip(starts) {
            let metadata = Metadata {
                partitions: self.external_count(input),
                start: Some(start),
                ..self.metadata(generation, None)
            };
            offsets.push((input.clone(), start, metadata.to_string()));
        }
        tracing::info!(partitions = offsets.len(), start = ?self.application.start, "first start");
        self.begin()?;
        self.commit_with(offsets)
    }

    fn marks(
        &self,
        partitions: &[TopicPartition],
        pick: fn(&Watermarks) -> NextOffset,
    ) -> Result<Vec<NextOffset>, log::Error> {
        let marks = self.log.watermarks(partitions, Isolation::ReadUncommitted)?;
        Ok(marks.iter().map(pick).collect())
    }
}
