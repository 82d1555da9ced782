//! Which state an inbox is folded from.

use super::{Checkpoints, Choice, Error, Input, Report};
use crate::{
    checkpoint::{self, Checkpoint},
    position::Metadata,
};
use aplomb_state::ids::NextOffset;

/// `whole` folds all that the inbox holds; `begun` is where its generation began, without state.
pub(super) fn choose(
    whole: Input,
    begun: NextOffset,
    metadata: &Metadata,
    checkpoints: &Checkpoints,
    report: &mut Report,
) -> Result<Input, Error> {
    let is_complete = whole.from == begun;
    if is_complete && checkpoints.choice == Choice::Oldest {
        return Ok(whole);
    }
    let usable = |one: &&Checkpoint| is_usable(one, &whole, metadata);
    let mut candidates: Vec<&Checkpoint> = checkpoints.known.iter().filter(usable).collect();
    candidates.sort_by_key(|one| one.header.next);
    if checkpoints.choice == Choice::Newest {
        candidates.reverse();
    }
    for one in candidates {
        // Twice read is better than half folded.
        match checkpoint::read(&one.path, &mut |_, _, _| Ok(())) {
            Ok(header) => {
                let (at, inbox) = (header.next, &whole.partition);
                report.notes.push(format!("{inbox} was folded from a checkpoint at {at}"));
                return Ok(Input { from: at, base: Some(one.clone()), ..whole });
            }
            Err(error) => report.notes.push(format!("{}: {error}", one.path.display())),
        }
    }
    if is_complete {
        return Ok(whole);
    }
    let mut reason = format!(
        "{} begins at {}: its first records were deleted, and there is no checkpoint to fold from. \
         They are where the task ran: name those folders with --checkpoints",
        whole.partition, whole.from
    );
    for note in &report.notes {
        reason.push_str("; ");
        reason.push_str(note);
    }
    Err(Error::CannotKnow(reason))
}

fn is_usable(one: &Checkpoint, whole: &Input, metadata: &Metadata) -> bool {
    let header = &one.header;
    header.inbox == whole.partition
        && header.generation == metadata.generation
        && header.fold_version == metadata.fold_version
        && header.next >= whole.from
        && header.next <= whole.committed
}
