//! `aplomb run`

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{Failure, WithConfig};
use crate::{commerce, logging, runtime};

pub(super) fn run(options: &WithConfig) -> Result<(), Failure> {
    let config = options.load()?;
    logging::start(&config.log).map_err(Failure::Failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let drain = Arc::new(AtomicBool::new(false));
    stop_on_signal(&stop, &drain)?;
    tracing::info!(application = %config.application.id, "starting");
    runtime::run(&config, commerce::topology(), &stop, &drain)?;
    tracing::info!("stopped");
    Ok(())
}

/// SIGTERM and SIGINT ask for a clean end, SIGUSR1 for one that gives up the place in the group.
fn stop_on_signal(stop: &Arc<AtomicBool>, drain: &Arc<AtomicBool>) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::Failed(format!("signals: {error}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (stop, drain) = (Arc::clone(stop), Arc::clone(drain));
    let (mut term, mut int, mut usr1) = {
        let _inside = runtime.enter();
        let open = |kind| signal(kind).map_err(failed);
        (
            open(SignalKind::terminate())?,
            open(SignalKind::interrupt())?,
            open(SignalKind::user_defined1())?,
        )
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let spawned = thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                _ = usr1.recv() => {
                    tracing::info!("draining: this process gives up its place in the group");
                    drain.store(true, Ordering::Relaxed);
                }
            }
        });
        stop.store(true, Ordering::Release);
    });
    spawned.map(drop).map_err(failed)
}
