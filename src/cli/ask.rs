//! Questions to a running process, over HTTP, and its answers as lines for people.

use std::{fmt::Write, fs, path::PathBuf};

use clap::Args;
use serde_json::Value;

use super::Failure;

/// Whom to ask.
#[derive(Debug, Args)]
pub(super) struct Process {
    /// The process: the address of its HTTP API
    #[arg(long, value_name = "URL", env = "APLOMB_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Holds the token that it asks for
    #[arg(long, value_name = "FILE", env = "APLOMB_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print the answer as it came, in JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Process {
    /// The answer's body. What the process says against it is the failure.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = agent.get(&url).query_pairs(query.iter().copied());
        if let Some(path) = &self.token_file {
            let token = fs::read_to_string(path).map_err(|error| {
                Failure::CannotKnow(format!("cannot read {}: {error}", path.display()))
            })?;
            request = request.header("Authorization", format!("Bearer {}", token.trim()));
        }
        let unreachable = |error: ureq::Error| {
            Failure::CannotKnow(format!("{url}: {error}; is the process there? --url says where"))
        };
        let mut response = request.call().map_err(unreachable)?;
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        let body: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::CannotKnow(format!("{url} answered no JSON: {error}")))?;
        match response.status().as_u16() {
            200 => Ok(body),
            code => {
                let sentence =
                    body.get("error").and_then(Value::as_str).unwrap_or("it did not say why");
                Err(Failure::CannotKnow(format!("{url}: {code}: {sentence}")))
            }
        }
    }
}

/// A part of an answer by its path; null where it is not there.
pub(super) fn at<'a>(body: &'a Value, path: &str) -> &'a Value {
    body.pointer(path).unwrap_or(&Value::Null)
}

/// A text of an answer, or a dash.
pub(super) fn text<'a>(body: &'a Value, path: &str) -> &'a str {
    at(body, path).as_str().unwrap_or("-")
}

/// A warning where the process does not own all partitions.
pub(super) fn elsewhere(body: &Value) -> Option<String> {
    let elsewhere = at(body, "/partitions/elsewhere").as_array()?;
    if elsewhere.is_empty() {
        return None;
    }
    let list: Vec<String> = elsewhere.iter().map(Value::to_string).collect();
    Some(format!("partitions {} are another process's: ask it too", list.join(", ")))
}

/// A value as indented lines: `name: value`, items with a dash.
pub(super) fn lines(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_plain(value) {
                    let _ = writeln!(out, "{indent}{name}: {}", plain(value));
                } else {
                    let _ = writeln!(out, "{indent}{name}:");
                    write(value, depth + 1, out);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut text = String::new();
                write(item, depth + 1, &mut text);
                let _ = write!(out, "{indent}- {}", text.trim_start());
            }
        }
        other => {
            let _ = writeln!(out, "{indent}{}", plain(other));
        }
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => "none".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_indented_lines() {
        let value = json!({
            "codes": [], "lines": [{"ordered": 2, "sku": "A"}, {"ordered": 1, "sku": "B"}],
            "orderId": "o1",
        });
        let expected = "codes: none\nlines:\n  - ordered: 2\n    sku: A\n  - ordered: 1\n    \
                        sku: B\norderId: o1\n";
        assert_eq!(lines(&value), expected);
    }
}
