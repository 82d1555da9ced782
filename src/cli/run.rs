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
    stop_on_signal(&stop)?;
    tracing::info!(application = %config.application.id, "starting");
    runtime::run(&config, commerce::topology(), &stop)?;
    tracing::info!("stopped");
    Ok(())
}

/// SIGTERM and SIGINT ask for a clean end.
fn stop_on_signal(stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::Failed(format!("signals: {error}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let stop = Arc::clone(stop);
    let (mut term, mut int) = {
        let _inside = runtime.enter();
        let term = signal(SignalKind::terminate()).map_err(failed)?;
        (term, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let spawned = thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        });
        stop.store(true, Ordering::Relaxed);
    });
    spawned.map(drop).map_err(failed)
}
