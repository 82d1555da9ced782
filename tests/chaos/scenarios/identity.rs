//! Two processes with one identity.

use std::{fs, time::Duration};

use crate::{
    live::Outcome,
    round::{READY, Round, Setup},
};

const PER_SECOND: u32 = 400;

/// First over one state folder, which the second finds locked; then with a folder each, where the
/// group lets only one of them stay. Who goes says why.
pub fn twice(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(1).fixed())?;
    round.feed(PER_SECOND);
    let same_folder = round.add_service(&Setup::new(1))?;
    let folder = round.folder.join("state-0");
    give(round, same_folder, "APPLICATION__STATE_DIR", &folder.to_string_lossy())?;
    refused(round, same_folder, "another process has it")?;
    round.wait_ready()?;
    let same_ordinal = round.add_service(&Setup::new(1))?;
    give(round, same_ordinal, "APPLICATION__ORDINAL", "0")?;
    round.start(same_ordinal)?;
    round.count("a second process with this ordinal", 1);
    round.wait("one of the two ends", READY, |round| {
        let ends = [0, same_ordinal].map(|number| {
            let child = round.services.get_mut(number).and_then(|one| one.child.as_mut());
            child.is_none_or(|child| child.try_wait().ok().flatten().is_some())
        });
        Ok(ends.contains(&true))
    })?;
    let ended = [0, same_ordinal].into_iter().find(|number| {
        round.services.get_mut(*number).is_some_and(|one| one.check_alive().is_err())
    });
    let ended = ended.ok_or("neither has ended")?;
    round.say(&format!("process {ended} has ended"));
    says(round, ended, &["application.ordinal", "group.instance.id"])?;
    round.wait_ready()?;
    round.wait_fed(round.fed_so_far() + 400)?;
    round.settle()
}

fn give(round: &mut Round<'_>, number: usize, key: &str, value: &str) -> Outcome {
    let service = round.service(number)?;
    service.environment.push((format!("APLOMB_{key}"), value.to_owned()));
    Ok(())
}

/// It ends at once, with an error that says so.
fn refused(round: &mut Round<'_>, number: usize, why: &str) -> Outcome {
    round.count("a second process over this state folder", 1);
    round.start(number)?;
    let service = round.service(number)?;
    let status = service.wait_for_end(Duration::from_secs(10))?;
    if status.success() {
        return Err("it ended as if all were well".into());
    }
    says(round, number, &[why])
}

/// The end of its log holds one of these.
fn says(round: &mut Round<'_>, number: usize, words: &[&str]) -> Outcome {
    let service = round.service(number)?;
    // Its status was taken.
    let status = service.child.take().map(|mut child| child.wait()).transpose()?;
    if status.is_some_and(|status| status.success()) {
        return Err("it ended as if all were well".into());
    }
    let log = fs::read_to_string(&service.log)?;
    let tail: Vec<&str> = log.lines().rev().take(10).collect();
    if words.iter().any(|word| tail.iter().any(|line| line.contains(word))) {
        return Ok(());
    }
    Err(format!("it does not say why it ended: {}", tail.join("\n")).into())
}
