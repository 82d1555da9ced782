//! The time of the processor that one process took.

use std::{fs, time::Duration};

use crate::live::Outcome;

/// In both modes, of all its threads.
pub fn cpu(process: u32) -> Outcome<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold spaces.
    let (_, fields) = text.rsplit_once(") ").ok_or("no fields")?;
    let ticks = |place: usize| {
        let field = fields.split(' ').nth(place).ok_or("too few fields")?;
        Outcome::Ok(field.parse::<u64>()?)
    };
    // `utime` and `stime`, the eleventh and twelfth after the name.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1_000 / ticks_per_second()?))
}

fn ticks_per_second() -> Outcome<u64> {
    #[expect(unsafe_code, reason = "sysconf(3) has no safe form in the standard library")]
    // SAFETY: no memory is involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(u64::try_from(ticks)?)
}
