//! Over a real socket.

use aplomb_state::{
    backend::{Database, StorePosition, Write, memory::MemoryDatabase},
    ids::{FoldVersion, Generation, NextOffset, TaskId},
    store::StoreId,
};
use serde_json::Value;
use tokio::{runtime::Runtime, sync::oneshot};

use std::sync::Arc;

use super::*;
use crate::status::{Membership, TaskState, TaskStatus};

const NOW: Timestamp = Timestamp(10_000);

struct Fixture {
    // Before the runtime, so that the server ends first.
    stop: Option<oneshot::Sender<()>>,
    address: SocketAddr,
    status: Status,
    database: MemoryDatabase,
    _runtime: Runtime,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }
}

/// Two inbox partitions; `apple` belongs to the first, see the test that asks for a stranger.
fn serve() -> Fixture {
    serve_with(|server| server)
}

fn serve_with(change: impl FnOnce(Server) -> Server) -> Fixture {
    let runtime = Runtime::new().expect("a runtime");
    let database = MemoryDatabase::default();
    let status = Status::new("app", crate::example::topology(), 2, Arc::new(database.clone()));
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let metrics = metrics::install().expect("metrics");
    let clock = Arc::new(crate::embedded::VirtualClock::starting_at(NOW));
    let server = runtime
        .block_on(Server::bind(any, status.clone(), Some(metrics), clock))
        .expect("a free port");
    let address = server.address();
    let server = change(server);
    let (stop, stopped) = oneshot::channel::<()>();
    runtime.spawn(server.run(async {
        let _ = stopped.await;
    }));
    Fixture { stop: Some(stop), address, status, database, _runtime: runtime }
}

impl Fixture {
    fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response =
            agent.get(format!("http://{}{path}", self.address)).call().expect("an answer");
        let text = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), text)
    }

    fn ask(&self, request: ureq::http::request::Builder) -> (u16, Option<String>, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.run(request.body(()).expect("a request")).expect("an answer");
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), challenge, text)
    }

    fn json(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.get(path);
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    /// Puts `word` into the store of its task, which this process then owns.
    fn own(&self, word: &str, value: &str, state: TaskState) -> TaskId {
        let task = self.status.task_of("count", word.as_bytes());
        let mut store =
            self.database.open(&task, &["~task", "~timers", "totals"]).expect("a store");
        let write =
            Write { store: StoreId(2), key: word.as_bytes(), value: Some(value.as_bytes()) };
        let to = StorePosition {
            generation: Generation(1),
            inbox: NextOffset(7),
            changelog: NextOffset(9),
            fold_version: FoldVersion(1),
            restoring: false,
            current_as_of: Timestamp(0),
        };
        store.apply(None, &mut [write].into_iter(), &to).expect("the write");
        let status = TaskStatus {
            position: Some(NextOffset(7)),
            end: Some(NextOffset(9)),
            as_of: Some(Timestamp(9_500)),
            ..TaskStatus::new(0, state, NOW)
        };
        self.status.report(0, Membership::Member, [(task.clone(), status)], NOW);
        task
    }
}

#[test]
fn a_view_answers_from_committed_state_with_position_and_age() {
    let fixture = serve();
    let task = fixture.own("apple", r#"{"count":12.50}"#, TaskState::Running);
    let (status, text) = fixture.get("/words/apple");
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with(r#"{"value":{"count":12.50},"#), "as the view wrote it: {text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["position"]["stage"], "count");
    assert_eq!(body["position"]["topic"], "app.inbox.count");
    assert_eq!(body["position"]["partition"], task.input.partition);
    assert_eq!(body["position"]["next"], 7);
    assert_eq!((&body["ageMs"], &body["lag"]), (&500.into(), &2.into()));
    assert_eq!(body["asOf"], "1970-01-01T00:00:09.500Z");
    assert_eq!(body["state"], "running");
}

#[test]
fn a_restoring_task_answers_too_and_says_so() {
    let fixture = serve();
    let restoring = TaskState::Restoring { from: 0, position: 1, end: 4 };
    fixture.own("apple", "1", restoring);
    let (status, body) = fixture.json("/words/apple");
    assert_eq!((status, &body["state"]), (200, &"restoring".into()));
}

#[test]
fn what_cannot_be_answered_says_why() {
    let fixture = serve();
    let task = fixture.own("apple", "1", TaskState::Running);
    let words = ["pear", "plum", "fig", "kiwi", "lime", "date", "nut", "bean"];
    let owner = |word: &&str| fixture.status.task_of("count", word.as_bytes()) == task;
    let missing = words.iter().copied().find(owner).expect("one in the owned partition");
    let foreign = words.iter().copied().find(|word| !owner(word)).expect("one in the other");
    let rows = [
        (format!("/words/{missing}"), 404, "words has no"),
        ("/words/ap!le".to_owned(), 400, "expected /words/WORD"),
        (format!("/words/{foreign}"), 421, "this process does not own count/app.inbox.count/"),
        ("/colours/red".to_owned(), 404, "there is no view colours; known are /words/ID"),
        ("/nothing".to_owned(), 404, "there is no such page"),
    ];
    for (path, expected, sentence) in rows {
        let (status, body) = fixture.json(&path);
        assert_eq!(status, expected, "{path}");
        let error = body["error"].as_str().unwrap_or_default();
        assert!(error.contains(sentence), "{path}: {error}");
    }
}

#[test]
fn health_gives_reasons() {
    let fixture = serve();
    let (status, body) = fixture.json("/health/ready");
    assert_eq!((status, &body["reasons"][0]["reason"]), (503, &"no worker runs".into()));
    fixture.own("apple", "1", TaskState::Running);
    let (status, body) = fixture.json("/health/ready");
    assert_eq!((status, &body["ready"]), (200, &true.into()), "{body}");
    assert_eq!(fixture.get("/health/live").0, 200);
    let reason = "another process uses this identity";
    fixture.status.fatal(reason);
    let (status, body) = fixture.json("/health/live");
    assert_eq!((status, &body["reason"]), (503, &reason.into()));
    assert_eq!(fixture.get("/health/ready").0, 503);
}

#[test]
fn tasks_and_metrics_show_lag() {
    let fixture = serve();
    let task = fixture.own("apple", "1", TaskState::Running);
    let (_, body) = fixture.json("/tasks");
    assert_eq!(
        (&body["tasks"][0]["lag"], &body["tasks"][0]["state"]),
        (&2.into(), &"running".into())
    );
    let (status, text) = fixture.get("/metrics");
    assert_eq!(status, 200);
    let partition = task.input.partition;
    let line = format!(
        "aplomb_task_lag_records{{stage=\"count\",topic=\"app.inbox.count\",\
         partition=\"{partition}\"}} 2"
    );
    assert!(text.contains(&line), "{line} is not in\n{text}");
    fixture.status.report(0, Membership::Member, [], NOW);
    assert_eq!(fixture.json("/tasks").1["tasks"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_list_is_filtered_goes_on_where_it_ended_and_names_what_it_cannot_know() {
    let fixture = serve();
    let task = fixture.own("apple", "1", TaskState::Running);
    let mut store = fixture.database.open(&task, &["~task", "~timers", "totals"]).expect("a store");
    let base = store.position().map(|position| position.inbox);
    let to = store.position().cloned().expect("a position");
    let words = ["banana", "fig", "kiwi"];
    let mut writes = words.iter().map(|word| Write {
        store: StoreId(2),
        key: word.as_bytes(),
        value: Some(b"1"),
    });
    store.apply(base, &mut writes, &to).expect("the writes");
    let items = |path: &str| {
        let (status, body) = fixture.json(path);
        assert_eq!(status, 200, "{path}: {body}");
        (body["items"].to_string(), body["next"].clone(), body["partitions"].clone())
    };
    let (all, next, partitions) = items("/words");
    assert_eq!(all, r#"["apple","banana","fig","kiwi"]"#);
    assert!(next.is_null());
    let own = task.input.partition;
    assert_eq!(partitions, json!({"shown": [own], "elsewhere": [1 - own]}));
    assert_eq!(items("/words?length=short").0, r#"["fig","kiwi"]"#);
    assert_eq!(items("/words?length=long&word=banana").0, r#"["banana"]"#);
    let (first, next, _) = items("/words?limit=3");
    assert_eq!(first, r#"["apple","banana","fig"]"#);
    let after = next.as_str().expect("a cursor");
    assert_eq!(items(&format!("/words?limit=3&after={after}")).0, r#"["kiwi"]"#);
    let (first, next, partitions) = items("/pairs?limit=5");
    assert_eq!(first, r#"["apple","banana","fig","kiwi","apple"]"#);
    assert_eq!(partitions, json!({"shown": [own], "elsewhere": [1 - own]}));
    let after = next.as_str().expect("a cursor");
    let (rest, next, _) = items(&format!("/pairs?after={after}"));
    assert_eq!((rest.as_str(), next.is_null()), (r#"["banana","fig","kiwi"]"#, true));
    let rows = [
        ("/words?length=wide", "length is \"wide\": allowed are short, long"),
        ("/words?colour=red", "colour is no filter: there are word, length, limit, after"),
        ("/words?limit=0", "expected 1 to 1000"),
        ("/words?after=%21", "give `next` of an answer"),
    ];
    for (path, sentence) in rows {
        let (status, body) = fixture.json(path);
        assert_eq!(status, 400, "{path}");
        assert!(body["error"].as_str().is_some_and(|error| error.contains(sentence)), "{body}");
    }
}

#[test]
fn a_token_opens_all_but_health_which_is_open() {
    let fixture = serve_with(|server| server.with_token("secret"));
    let uri = |path: &str| format!("http://{}{path}", fixture.address);
    let ask = |path: &str, header: Option<&str>| {
        let request = ureq::http::Request::get(uri(path));
        fixture.ask(match header {
            Some(value) => request.header("Authorization", value),
            None => request,
        })
    };
    assert_eq!(ask("/health/live", None).0, 200);
    for header in [None, Some("Bearer wrong"), Some("Bearer secret2"), Some("secret")] {
        let (status, challenge, text) = ask("/tasks", header);
        assert_eq!((status, challenge.as_deref()), (401, Some("Bearer")), "{header:?}");
        assert!(text.contains("Authorization: Bearer TOKEN"), "{text}");
        assert_eq!(ask("/metrics", header).0, 401);
    }
    assert_eq!(ask("/tasks", Some("Bearer secret")).0, 200);
}

#[test]
fn another_method_gets_a_sentence_too() {
    let fixture = serve();
    let uri = format!("http://{}/tasks", fixture.address);
    let (status, _, text) = fixture.ask(ureq::http::Request::post(uri));
    assert_eq!(status, 405);
    assert!(text.contains("with GET"), "{text}");
}

#[test]
fn dead_letters_are_shown_by_code_or_are_not_there() {
    let (status, body) = serve().json("/dlq");
    assert_eq!(
        (status, &body["error"]),
        (404, &"this process has no topic of dead letters".into())
    );
    let fixture = serve_with(|server| server.with_letters(Arc::new(One)));
    let (status, body) = fixture.json("/dlq?code=MALFORMED_JSON&limit=5");
    assert_eq!(status, 200);
    assert_eq!(body["items"][0]["value"], "MALFORMED_JSON 5");
    assert_eq!(fixture.json("/dlq?limit=0").0, 400);
    assert_eq!(fixture.json("/dlq?colour=red").0, 400);
}

/// Says what it was asked for.
struct One;

impl Letters for One {
    fn latest(
        &self,
        wanted: &crate::letters::Wanted,
    ) -> Result<Vec<crate::letters::Letter>, String> {
        let value = format!("{} {}", wanted.code.as_deref().unwrap_or_default(), wanted.limit);
        Ok(vec![crate::letters::Letter {
            topic: "dlq".to_owned(),
            partition: 0,
            offset: 3,
            timestamp: 0,
            key: None,
            value: Some(value),
            value_base64: None,
            headers: std::collections::BTreeMap::new(),
        }])
    }
}
