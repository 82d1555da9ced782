//! The HTTP API after the day.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{runtime::Runtime, signal};

use super::run::Run;
use crate::{http, metrics, status::Status};

pub(super) struct Server {
    runtime: Runtime,
    server: http::Server,
    status: Status,
}

impl Server {
    pub fn bind(run: &Run, port: u16) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| format!("http: {error}"))?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let status = run.status();
        let bound =
            http::Server::bind(listen, status.clone(), metrics::install().ok(), run.clock());
        let server = runtime.block_on(bound).map_err(|error| {
            format!("port {port} cannot be used ({error}); choose another one with --port")
        })?;
        Ok(Self { runtime, server, status })
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Answers until SIGINT or SIGTERM.
    pub fn run(self) -> Result<(), String> {
        let stopped = async {
            let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate())
            else {
                return;
            };
            tokio::select! {
                _ = signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        self.runtime.block_on(self.server.run(stopped)).map_err(|error| format!("http: {error}"))
    }
}
