//! A topology for people and tools: text, Mermaid, JSON.

use std::fmt::Write as _;

use aplomb_state::{
    stage::{Inbox, StageDefinition},
    topology::{Cleanup, Codec, OutputDefinition, Topology},
};
use serde_json::{Value as Json, json};

/// Stages in the order of time, with what they read, keep and write.
pub fn text(topology: &Topology) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "topology {} (fold version {})", topology.name, topology.fold_version.0);
    for stage in topology.definitions() {
        let input = match stage.inbox {
            Inbox::External => "the external topics".to_owned(),
            Inbox::Internal => format!("inbox.{}", stage.name),
        };
        let _ = writeln!(out, "\nstage {}", stage.name);
        line(&mut out, "reads", &input);
        list(&mut out, "stores", stage.stores.iter().map(|store| store.name));
        list(&mut out, "sends to", stage.sends.iter().copied());
        list(&mut out, "emits", stage.outputs.iter().copied());
        let views = topology.views.iter().filter(|view| view.stage == stage.name);
        list(&mut out, "views", views.map(|view| view.name));
    }
    let _ = writeln!(out, "\noutputs");
    for output in &topology.outputs {
        let _ = writeln!(out, "  {} (key {}, {})", output.topic, output.key, cleanup(output));
    }
    out
}

/// A flowchart: `aplomb topology --format mermaid` in any Markdown page that draws it.
pub fn mermaid(topology: &Topology) -> String {
    let mut out = String::from("flowchart LR\n    external([external topics])\n");
    let definitions = topology.definitions();
    for stage in &definitions {
        let name = node(stage.name);
        let _ = writeln!(out, "    {name}[{}]", stage.name);
        if stage.inbox == Inbox::External {
            let _ = writeln!(out, "    external --> {name}");
        }
        if !stage.stores.is_empty() {
            let stores: Vec<&str> = stage.stores.iter().map(|store| store.name).collect();
            let _ = writeln!(out, "    {name} --- {name}_state[({})]", stores.join(", "));
        }
    }
    for stage in &definitions {
        for target in &stage.sends {
            let _ = writeln!(out, "    {} --> {}", node(stage.name), node(target));
        }
    }
    for output in &topology.outputs {
        let _ = writeln!(out, "    {}([{}])", node(output.topic), output.topic);
    }
    for stage in &definitions {
        for output in &stage.outputs {
            let _ = writeln!(out, "    {} --> {}", node(stage.name), node(output));
        }
    }
    out
}

pub fn json(topology: &Topology) -> Json {
    let stages: Vec<Json> = topology.definitions().iter().map(stage_json).collect();
    let outputs: Vec<Json> = topology.outputs.iter().map(output_json).collect();
    let views = topology.views.iter();
    let views: Vec<Json> =
        views.map(|view| json!({ "name": view.name, "stage": view.stage })).collect();
    json!({
        "name": topology.name,
        "foldVersion": topology.fold_version.0,
        "stages": stages,
        "outputs": outputs,
        "views": views,
    })
}

fn stage_json(stage: &StageDefinition) -> Json {
    let stores: Vec<Json> = stage
        .stores
        .iter()
        .map(|store| json!({ "name": store.name, "kind": format!("{:?}", store.kind) }))
        .collect();
    let inbox = match stage.inbox {
        Inbox::External => "external",
        Inbox::Internal => "internal",
    };
    let limits = &stage.limits;
    json!({
        "name": stage.name,
        "inbox": inbox,
        "stores": stores,
        "sends": stage.sends,
        "outputs": stage.outputs,
        "limits": {
            "effectsMax": limits.effects_max,
            "effectsBytesMax": limits.effects_bytes_max,
            "recordBytesMax": limits.record_bytes_max,
            "valueBytesMax": limits.value_bytes_max,
        },
    })
}

fn output_json(output: &OutputDefinition) -> Json {
    let codec = match output.codec {
        Codec::Json => "json",
        Codec::Bytes => "bytes",
    };
    json!({
        "topic": output.topic,
        "key": output.key,
        "codec": codec,
        "cleanup": cleanup(output),
        "recordBytesMax": output.record_bytes_max,
    })
}

fn cleanup(output: &OutputDefinition) -> String {
    match output.cleanup {
        Cleanup::Compact => "compact".to_owned(),
        Cleanup::Delete { retention_ms } => format!("delete after {}", span(retention_ms)),
        Cleanup::CompactAndDelete { retention_ms } => {
            format!("compact, delete after {}", span(retention_ms))
        }
    }
}

fn span(ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    if ms % DAY_MS == 0 { format!("{} d", ms / DAY_MS) } else { format!("{ms} ms") }
}

/// Mermaid's names of nodes have no dots, and `end` is a word of its own.
fn node(name: &str) -> String {
    let clean = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("n_{clean}")
}

fn line(out: &mut String, what: &str, value: &str) {
    let _ = writeln!(out, "  {what:<9} {value}");
}

fn list<'a>(out: &mut String, what: &str, names: impl Iterator<Item = &'a str>) {
    let names: Vec<&str> = names.collect();
    if !names.is_empty() {
        line(out, what, &names.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_text() {
        let expected = "\
topology words (fold version 1)

stage read
  reads     the external topics
  sends to  count
  emits     cases.v1

stage count
  reads     inbox.count
  stores    totals
  sends to  count
  emits     totals.v1, events.v1
  views     words

outputs
  totals.v1 (key word, compact)
  events.v1 (key word, delete after 1 d)
  cases.v1 (key word, compact, delete after 1000 ms)
";
        assert_eq!(text(&crate::example::topology()), expected);
    }

    #[test]
    fn as_mermaid() {
        let chart = mermaid(&crate::example::topology());
        for line in [
            "flowchart LR",
            "    external --> n_read",
            "    n_read --> n_count",
            "    n_count --- n_count_state[(totals)]",
            "    n_totals_v1([totals.v1])",
            "    n_count --> n_totals_v1",
        ] {
            assert!(chart.lines().any(|found| found == line), "{line} is not in\n{chart}");
        }
    }

    #[test]
    fn as_json() {
        let json = json(&crate::example::topology());
        assert_eq!(json["stages"][1]["stores"][0]["name"], "totals");
        assert_eq!(json["outputs"][1]["cleanup"], "delete after 1 d");
        assert_eq!(json["views"][0]["stage"], "count");
        assert_eq!(json["foldVersion"], 1);
    }
}
