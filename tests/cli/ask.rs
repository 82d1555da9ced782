//! What a running process is asked for: its cases, an order, a sku. The demo's stands for it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

/// The demo, which goes on to answer. Killed at the end.
struct Demo {
    child: Child,
    url: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn demo() -> Outcome<Demo> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aplomb"))
        .args(["demo", "--orders", "80", "--seed", "7", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let (sender, found) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(at) = line.find("http://127.0.0.1:") {
                let url: String =
                    line.chars().skip(at).take_while(|c| !c.is_whitespace()).collect();
                let end = url.get("http://".len()..).and_then(|rest| rest.find('/'));
                let url = url.get(..end.map_or(url.len(), |end| end + 7)).unwrap_or(&url);
                let _ = sender.send(url.to_owned());
            }
        }
    });
    let url = found.recv_timeout(LIMIT).map_err(|_| "the demo does not say where it answers")?;
    Ok(Demo { child, url })
}

#[test]
fn cases_and_what_they_are_about_are_shown_by_a_running_process() -> Outcome {
    let demo = demo()?;
    let url = demo.url.as_str();
    let list = aplomb(["cases", "list", "--url", url])?.well()?.out;
    assert!(list.contains("owner ") && list.contains("; due "), "{list}");
    let raw = ["cases", "list", "--url", url, "--code", "INV_ONHAND", "--status", "open", "--json"];
    let raw = aplomb(raw)?.well()?.out;
    let raw: Value = serde_json::from_str(&raw)?;
    let first = &raw["items"][0];
    assert_eq!((&first["code"], &first["status"]), (&"INV_ONHAND".into(), &"open".into()), "{raw}");
    let (id, sku) = (first["caseId"].as_str(), first["entity"]["id"].as_str());
    let (id, sku) = (id.ok_or("no id")?, sku.ok_or("no sku")?);
    let project = first["projectKey"].as_str().ok_or("no project")?;
    let shown = aplomb(["cases", "show", id, "--url", url])?.well()?.out;
    assert!(shown.contains("businessEffect: Stock shown differs"), "{shown}");
    let shown = aplomb(["inspect", "sku", &format!("{project}/{sku}"), "--url", url])?.well()?.out;
    assert!(shown.contains(&format!("sku: {sku}")) && shown.contains("complete up to"), "{shown}");
    let drifts = ureq::get(format!("{url}/drifts?kind=ORDER_STATE_DESYNC")).call()?;
    let drifts: Value = serde_json::from_str(&drifts.into_body().read_to_string()?)?;
    let drift = &drifts["items"][0];
    assert_eq!((&drift["status"], &drift["values"][1]), (&"open".into(), &"CANCELLED".into()));
    let order = drift["orderId"].as_str().ok_or("no order")?;
    let shown = aplomb(["inspect", "order", &format!("{project}/{order}"), "--url", url])?;
    assert!(shown.well()?.out.contains("ORDER_STATE_DESYNC"), "the order tells it too");
    let refused = aplomb(["cases", "list", "--url", url, "--status", "lost"])?;
    refused.fails(2, &["allowed are open, resolved"]);
    aplomb(["inspect", "order", "nowhere", "--url", url])?.fails(2, &["project/orderId"]);
    aplomb(["cases", "show", "nothing", "--url", url])?.fails(2, &["has no nothing"]);
    Ok(())
}

#[test]
fn nobody_there_is_an_answer() -> Outcome {
    let url = "http://127.0.0.1:9";
    aplomb(["cases", "list", "--url", url])?.fails(2, &["is the process there?"]);
    Ok(())
}
