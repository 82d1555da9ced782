//! Questions over HTTP.

use std::{sync::LazyLock, time::Duration};

static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into()
});

/// The status and the body. `None`: nobody answered.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut answer = AGENT.get(format!("http://127.0.0.1:{port}/{path}")).call().ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    Some((answer.status().as_u16(), text))
}
