//! `aplomb inspect`

use clap::{Args, ValueEnum};

use super::{
    Failure,
    ask::{self, Process, text},
    output::{self, say},
};

pub(super) const HELP: &str = "\
Asks a running process for what its committed state holds, with the position up to which that is
complete. Where another process owns the key, the answer says so.

Exit codes: 0 done; 2 the process cannot be asked, or does not have it.

Examples:
  aplomb inspect order acme/6a8f3b1c
  aplomb inspect sku acme/TRAIL-43-BLK --url http://10.0.0.7:8080
  aplomb inspect payment acme/9d2e --json";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(value_enum)]
    what: What,
    /// PROJECT/ID
    id: String,
    #[command(flatten)]
    process: Process,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Order,
    Sku,
    Payment,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let view = match options.what {
        What::Order => "orders",
        What::Sku => "skus",
        What::Payment => "payments",
    };
    let body = options.process.get(&format!("/{view}/{}", options.id), &[])?;
    if options.process.json {
        say!("{body:#}");
        return Ok(());
    }
    output::text(&ask::lines(ask::at(&body, "/value")));
    let lag = ask::at(&body, "/lag");
    let (as_of, state) = (text(&body, "/asOf"), text(&body, "/state"));
    say!("-- complete up to {as_of}; {lag} records wait; the task is {state}");
    Ok(())
}
