//! `aplomb cases`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Failure,
    ask::{self, Process, text},
    output::{self, say},
};

pub(super) const HELP: &str = "\
Asks a running process. One process knows the cases of its own partitions; it says which ones are
another's.

Exit codes: 0 done; 2 the process cannot be asked, or does not have it.

Examples:
  aplomb cases list
  aplomb cases list --owner \"inventory planning\" --code OVERSOLD
  aplomb cases show 4c1e0c9f7d0e4a55b0a1c2d3e4f50617";

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List cases, what they mean for the business, and who can act on them
    List(ListOptions),
    /// Show one case with all that is known of it
    Show {
        /// Its id, alone or as PROJECT/ID
        id: String,
        #[command(flatten)]
        process: Process,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    process: Process,
    /// open or resolved
    #[arg(long, default_value = "open")]
    status: String,
    /// Of this owner alone
    #[arg(long)]
    owner: Option<String>,
    /// Of this code alone
    #[arg(long)]
    code: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(super) fn run(action: &Action) -> Result<(), Failure> {
    match action {
        Action::List(options) => list(options),
        Action::Show { id, process } => {
            let body = process.get(&format!("/cases/{id}"), &[])?;
            if process.json {
                say!("{body:#}");
            } else {
                output::text(&ask::lines(ask::at(&body, "/value")));
            }
            Ok(())
        }
    }
}

fn list(options: &ListOptions) -> Result<(), Failure> {
    let limit = options.limit.to_string();
    let mut query = vec![("status", options.status.as_str()), ("limit", limit.as_str())];
    let filters = [("owner", &options.owner), ("code", &options.code)];
    query.extend(filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let body = options.process.get("/cases", &query)?;
    if options.process.json {
        say!("{body:#}");
        return Ok(());
    }
    let items = ask::at(&body, "/items").as_array().map(Vec::as_slice).unwrap_or_default();
    for case in items {
        say!("{}", line(case));
    }
    if items.is_empty() {
        say!("no such case");
    }
    if ask::at(&body, "/next").is_string() {
        say!("there are more: raise --limit, or narrow the question");
    }
    if let Some(warning) = ask::elsewhere(&body) {
        say!("{warning}");
    }
    Ok(())
}

fn line(case: &Value) -> String {
    let actions = ask::at(case, "/actions").as_array().map(Vec::as_slice).unwrap_or_default();
    let actions: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
    format!(
        "{} {} {} {}:{}\n    {}\n    {}\n    owner {}; may {}; due {}",
        text(case, "/caseId"),
        text(case, "/severity"),
        text(case, "/code"),
        text(case, "/entity/type"),
        text(case, "/entity/id"),
        text(case, "/businessEffect"),
        text(case, "/detail"),
        text(case, "/owner"),
        actions.join(", "),
        text(case, "/sla/dueAt"),
    )
}
