//! Hooks as the pipeline calls them, answered by a host that is not Python.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meshcore_model::Hook;
use meshcore_proxy::hooks::{Decision, Denial, Edits, Facts, HookError, HookHost};
use meshcore_proxy::hooks::{PendingDecision, RequestRecord, RouteTo, View};
use meshcore_testkit::{Answer, Application, Client, MeshBuilder, Reply, Sidecar};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::eventually;

/// How a hook answers that was handed over.
#[derive(Debug, Clone)]
enum Later {
    Answers(Result<Decision, HookError>),
    /// The answer never comes.
    Never,
    /// There is no room for the call.
    Full,
}

/// What one hook does.
#[derive(Debug, Clone)]
enum Does {
    /// It answers at once.
    Now(Result<Decision, HookError>),
    /// The interpreter is busy, so the call is handed over.
    Busy(Later),
    /// A bug of the host.
    Panics,
}

/// A host whose hooks do by name what a test says.
#[derive(Debug, Default)]
pub(crate) struct Double {
    hooks: Mutex<Vec<(String, Does)>>,
    inline: AtomicUsize,
    queued: Mutex<Vec<Facts>>,
    given_up: AtomicUsize,
    unanswered: Mutex<Vec<oneshot::Sender<Result<Decision, HookError>>>>,
    finished: Mutex<Vec<RequestRecord>>,
    epoch: AtomicU64,
    pub(crate) epoch_panics: AtomicBool,
    finished_panics: AtomicBool,
    /// The interpreter is kept.
    is_kept: AtomicBool,
}

impl Double {
    fn with(name: &str, does: Does) -> Arc<Self> {
        let double = Self::default();
        double.hooks.lock().push((name.to_owned(), does));
        Arc::new(double)
    }

    fn does(&self, hook: &Hook) -> Does {
        let hooks = self.hooks.lock();
        hooks.iter().find(|(name, _)| *name == hook.name).unwrap().1.clone()
    }
}

impl HookHost for Double {
    fn run_thread(&self, run: &mut dyn FnMut()) {
        run();
    }

    fn call_now(&self, hook: &Hook, _view: &View<'_>) -> Option<Result<Decision, HookError>> {
        match self.does(hook) {
            Does::Now(answer) => {
                self.inline.fetch_add(1, Ordering::SeqCst);
                Some(answer)
            }
            Does::Busy(_) => None,
            Does::Panics => panic!("a bug of the host"),
        }
    }

    fn call_later(&self, hook: &Arc<Hook>, facts: Facts) -> Option<PendingDecision> {
        self.queued.lock().push(facts);
        let (tell, told) = oneshot::channel();
        let later = match self.does(hook) {
            Does::Now(answer) => Later::Answers(answer),
            Does::Busy(later) => later,
            Does::Panics => panic!("a bug of the host"),
        };
        match later {
            Later::Full => return None,
            Later::Answers(answer) => tell.send(answer).unwrap(),
            Later::Never => self.unanswered.lock().push(tell),
        }
        Some(told)
    }

    fn gave_up(&self, _hook: &Hook) {
        self.given_up.fetch_add(1, Ordering::SeqCst);
    }

    fn finished(&self, records: Vec<RequestRecord>) -> bool {
        assert!(!self.finished_panics.load(Ordering::SeqCst), "a bug of the host");
        self.finished.lock().extend(records);
        true
    }

    fn cache_epoch(&self) -> u64 {
        assert!(!self.epoch_panics.load(Ordering::SeqCst), "a bug of the host");
        self.epoch.load(Ordering::SeqCst)
    }

    fn log_level(&self, _set: Option<&str>) -> String {
        "info".into()
    }

    fn exposition(&self) -> Vec<u8> {
        b"of_hooks 1\n".to_vec()
    }

    fn scrape(&self) -> Vec<u8> {
        while self.is_kept.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        b"of_python 1\n".to_vec()
    }
}

const NAME: &str = "p.hook";

/// The hook of these tests, with more fields or others.
#[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
pub(crate) fn hook(stage: &str, more: Value) -> Hook {
    let mut hook = json!({
        "id": 1, "name": NAME, "origin": "p.py:1", "stage": stage,
        "timeout_ms": 2000, "on_error": "deny", "mode": "inline",
    });
    for (key, value) in more.as_object().unwrap() {
        hook[key] = value.clone();
    }
    serde_json::from_value(hook).unwrap()
}

/// The sidecar beside an application, with a hook.
pub(crate) fn beside(application: &Application, hook: Hook, host: &Arc<Double>) -> Sidecar {
    let mesh = MeshBuilder::new().service("api", 80).endpoint("v1", ([127, 0, 0, 1], 80).into());
    let host: Arc<dyn HookHost> = Arc::clone(host) as Arc<dyn HookHost>;
    Sidecar::of("api")
        .inbound(80, application.address())
        .mesh(&mesh)
        .hooks(vec![hook], host)
        .start()
}

fn get(sidecar: &Sidecar, path: &str, fields: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nhost: api\r\n{fields}\r\n");
    Client::connect(sidecar.inbound()).ask(request)
}

fn set(name: &str, value: &str) -> Edits {
    Edits { set: vec![(name.as_bytes().into(), value.as_bytes().into())], ..Edits::default() }
}

fn denial() -> Denial {
    Denial { status: 418, grpc_status: None, reason: "no tea".into(), code: "E-TEA".into() }
}

#[test]
fn a_hook_answers_at_once() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Now(Ok(Decision::Allow(set("x-user", "ann").into()))));
    let sidecar = beside(&application, hook("authorize", json!({})), &host);
    let answer = get(&sidecar, "/", "x-user: forged\r\nx-user: twice\r\n");
    assert_eq!(answer.status(), 200);
    assert_eq!(application.last().fields("x-user"), ["ann"]);
    assert_eq!((host.inline.load(Ordering::SeqCst), host.queued.lock().len()), (1, 0));
    sidecar.series("meshcore_hook_calls_total", &[("hook", NAME)], 1);
}

#[test]
fn a_busy_interpreter_is_not_waited_for_and_gets_what_was_declared() {
    let application = Application::echo("v1");
    let allow = Ok(Decision::Allow(set("x-user", "ann").into()));
    let host = Double::with(NAME, Does::Busy(Later::Answers(allow)));
    let reads = json!({"reads": ["path", {"header": "x-team"}]});
    let sidecar = beside(&application, hook("authorize", reads), &host);
    assert_eq!(get(&sidecar, "/a", "x-team: red\r\nx-secret: 1\r\n").status(), 200);
    let facts = host.queued.lock().pop().unwrap();
    let facts: Vec<_> = facts.iter().map(|(_, value)| value.unwrap().to_vec()).collect();
    assert_eq!(facts, [b"/a".to_vec(), b"red".to_vec()]);
    assert_eq!(application.last().field("x-user"), Some("ann"));
}

#[test]
fn a_queued_hook_is_never_called_inline() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Now(Ok(Decision::Abstain)));
    let sidecar = beside(&application, hook("authorize", json!({"mode": "queued"})), &host);
    assert_eq!(get(&sidecar, "/", "").status(), 200);
    assert_eq!((host.inline.load(Ordering::SeqCst), host.queued.lock().len()), (0, 1));
}

#[test]
fn without_an_answer_the_declared_one_is_given() {
    let raised = || Err(HookError::Raised("ValueError".into()));
    let failures = [
        ("late", Does::Busy(Later::Never), "meshcore_hook_timeouts_total"),
        ("full", Does::Busy(Later::Full), "meshcore_hook_errors_total"),
        ("raised", Does::Now(raised()), "meshcore_hook_errors_total"),
        ("raised later", Does::Busy(Later::Answers(raised())), "meshcore_hook_errors_total"),
        ("panicked", Does::Panics, "meshcore_hook_errors_total"),
    ];
    for (case, does, counted) in failures {
        for (declared, status) in [("deny", 503), ("allow", 200), ("skip", 200)] {
            let application = Application::echo("v1");
            let host = Double::with(NAME, does.clone());
            let more = json!({"on_error": declared, "timeout_ms": 30});
            let sidecar = beside(&application, hook("authorize", more), &host);
            assert_eq!(get(&sidecar, "/", "").status(), status, "{case}, {declared}");
            sidecar.series(counted, &[("hook", NAME)], 1);
            let given_up = host.given_up.load(Ordering::SeqCst);
            assert_eq!(given_up, usize::from(case == "late"), "{case}");
            assert_eq!(application.seen().len(), usize::from(status == 200), "{case}");
            if declared == "deny" {
                sidecar.series("meshcore_requests_denied_total", &[("policy", NAME)], 1);
            }
        }
    }
}

#[test]
fn bytes_that_are_no_request_pass_no_hook_unless_they_are_declared() {
    for (protocol, passes) in [("detect", false), ("http", false), ("tcp", true)] {
        let application = Application::echo("v1");
        let host = Double::with(NAME, Does::Now(Ok(Decision::Deny(denial()))));
        let mesh = MeshBuilder::new()
            .service_speaking("api", 80, protocol)
            .endpoint("v1", ([127, 0, 0, 1], 80).into())
            .settings(json!({"detection_timeout_ms": 1000}));
        let sidecar = Sidecar::of("api")
            .inbound(80, application.address())
            .mesh(&mesh)
            .hooks(vec![hook("authorize", json!({}))], host)
            .start();
        // Some servers take what is not HTTP/1.1 for a request all the same.
        for bytes in ["GET / HTTP/1.2\r\nhost: api\r\n\r\n", "GET / HTTP/1.1\nhost: api\n\n"] {
            let mut client = Client::connect(sidecar.inbound());
            client.send(bytes);
            client.shutdown();
            client.read_to_end();
        }
        let reached = sidecar.sum("istio_tcp_connections_opened_total", &[]) > 0;
        assert_eq!(reached, passes, "{protocol}");
    }
}

#[test]
fn a_host_that_panics_stops_no_worker() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Panics);
    let sidecar =
        beside(&application, hook("authorize", json!({"path_prefixes": ["/bad"]})), &host);
    let mut client = Client::connect(sidecar.inbound());
    for _ in 0..3 {
        assert_eq!(client.ask("GET /bad HTTP/1.1\r\nhost: api\r\n\r\n").status(), 503);
        assert_eq!(client.ask("GET /good HTTP/1.1\r\nhost: api\r\n\r\n").status(), 200);
    }
    sidecar.series("meshcore_panics_total", &[], 3);
}

#[test]
fn a_decision_is_remembered_under_what_was_read() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Now(Ok(Decision::Allow(Arc::default()))));
    let more = json!({"reads": [{"header": "x-user"}], "cache_ms": 60_000});
    let sidecar = beside(&application, hook("authorize", more), &host);
    let calls = || host.inline.load(Ordering::SeqCst);
    for (path, fields, expected) in [
        ("/1", "x-user: ann\r\n", 1),
        ("/2", "x-user: ann\r\nx-other: 1\r\n", 1),
        ("/1", "x-user: bob\r\n", 2),
        ("/1", "", 3),
        ("/1", "x-user: ann\r\n", 3),
        ("/1", "x-user: ann\r\nx-user: bob\r\n", 4),
    ] {
        assert_eq!(get(&sidecar, path, fields).status(), 200);
        assert_eq!(calls(), expected, "{path} {fields:?}");
    }
    sidecar.series("meshcore_hook_cache_hits_total", &[("hook", NAME)], 2);
    host.epoch.fetch_add(1, Ordering::SeqCst);
    assert_eq!(get(&sidecar, "/1", "x-user: ann\r\n").status(), 200);
    assert_eq!(calls(), 5, "all was forgotten");
}

#[test]
fn a_refusal_is_told_in_its_own_words_and_remembered() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Now(Ok(Decision::Deny(denial()))));
    let more = json!({"reads": ["path"], "cache_ms": 60_000});
    let sidecar = beside(&application, hook("authorize", more), &host);
    for _ in 0..2 {
        let answer = get(&sidecar, "/", "");
        assert_eq!((answer.status(), answer.text().as_str()), (418, "no tea"));
        assert_eq!(answer.field("x-meshcore-code"), Some("E-TEA"));
    }
    let grpc = get(&sidecar, "/", "content-type: application/grpc\r\n");
    assert_eq!((grpc.status(), grpc.field("grpc-status")), (200, Some("2")));
    assert_eq!(grpc.field("grpc-message"), Some("no tea"));
    assert_eq!(host.inline.load(Ordering::SeqCst), 1);
    assert!(application.seen().is_empty());
    sidecar.series("meshcore_requests_denied_total", &[("policy", NAME)], 3);
}

#[test]
fn a_hook_changes_the_request() {
    let application = Application::echo("v1");
    let edits = Edits {
        remove: vec![b"x-secret"[..].into()],
        path: Some(b"/other?x=1"[..].into()),
        ..set("x-added", "1")
    };
    let host = Double::with(NAME, Does::Now(Ok(Decision::Modify(edits.into()))));
    let sidecar = beside(&application, hook("on_request", json!({})), &host);
    assert_eq!(get(&sidecar, "/", "x-secret: 1\r\n").status(), 200);
    let seen = application.last();
    assert_eq!(seen.line(), "GET /other?x=1 HTTP/1.1");
    assert_eq!((seen.field("x-secret"), seen.field("x-added")), (None, Some("1")));
}

#[test]
fn a_hook_changes_the_answer() {
    let application = Application::start(|_| Reply::new(200, "the original, which is longer"));
    let edits =
        Edits { status: Some(203), body: Some(b"changed"[..].into()), ..set("x-added", "1") };
    let host = Double::with(NAME, Does::Now(Ok(Decision::Modify(edits.into()))));
    let sidecar = beside(&application, hook("on_response", json!({})), &host);
    let mut client = Client::connect(sidecar.inbound());
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
        assert_eq!((answer.status(), answer.text().as_str()), (203, "changed"));
        assert_eq!(answer.field("x-added"), Some("1"));
    }
}

#[test]
fn a_new_body_is_not_sent_where_there_can_be_none() {
    let application = Application::start(|seen| {
        let is_head = seen.line().starts_with("HEAD");
        let described = "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n";
        Reply::raw(if is_head { described } else { "HTTP/1.1 204 No Content\r\n\r\n" })
    });
    let edits = Edits { body: Some(b"changed"[..].into()), ..Edits::default() };
    let host = Double::with(NAME, Does::Now(Ok(Decision::Modify(edits.into()))));
    let sidecar = beside(&application, hook("on_response", json!({})), &host);
    let mut client = Client::connect(sidecar.inbound());
    client.send("HEAD / HTTP/1.1\r\nhost: api\r\n\r\n");
    assert_eq!(client.answer_to_head().status(), 200);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n").status(), 204);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n").status(), 204, "nothing was left");
}

#[test]
fn a_hook_chooses_a_subset() {
    let (v1, v2) = (Application::echo("v1"), Application::echo("v2"));
    let mesh = MeshBuilder::new()
        .service("api", 80)
        .endpoint("v1", v1.address())
        .endpoint("v2", v2.address())
        .policy("api", json!({}), &["v1", "v2"]);
    for (subset, status) in [("v2", 200), ("v1", 200), ("v3", 503)] {
        let route = RouteTo { host: None, subset: Some(subset.into()), reason: "a test".into() };
        let host = Double::with(NAME, Does::Now(Ok(Decision::RouteTo(route))));
        let sidecar = Sidecar::of("web").outbound().mesh(&mesh);
        let sidecar = sidecar.hooks(vec![hook("route", json!({"hosts": ["api"]}))], host).start();
        let mut client = Client::connect(sidecar.outbound());
        for name in ["api", "API", "api:80", "Api:80", "aPi"] {
            let answer = client.ask(format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n"));
            assert_eq!(answer.status(), status, "{subset}");
            assert!(status != 200 || answer.text().starts_with(subset), "{subset}");
        }
        if status == 503 {
            sidecar.series("istio_requests_total", &[("response_flags", "NC")], 5);
        }
    }
    assert_eq!((v1.seen().len(), v2.seen().len()), (5, 5));
}

#[test]
fn a_hook_that_never_answers_holds_no_other_request_back() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Busy(Later::Never));
    let more = json!({"path_prefixes": ["/stuck"], "timeout_ms": 5000});
    let sidecar = beside(&application, hook("authorize", more), &host);
    let mut stuck = Client::connect(sidecar.inbound());
    stuck.send("GET /stuck HTTP/1.1\r\nhost: api\r\n\r\n");
    eventually("the call is handed over", || host.unanswered.lock().len() == 1);
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(get(&sidecar, "/free", "").status(), 200);
    }
    assert!(started.elapsed() < Duration::from_secs(4), "they did not wait");
    let tell = host.unanswered.lock().pop().unwrap();
    tell.send(Ok(Decision::Abstain)).unwrap();
    assert_eq!(stuck.answer().status(), 200);
}

#[test]
fn finished_requests_are_shown_with_what_was_declared() {
    let application = Application::echo("v1");
    let host = Arc::new(Double::default());
    let more = json!({"reads": [{"header": "x-team"}]});
    let sidecar = beside(&application, hook("telemetry", more), &host);
    assert_eq!(get(&sidecar, "/a?b", "x-team: red\r\n").status(), 200);
    eventually("the record comes", || !host.finished.lock().is_empty());
    let record = host.finished.lock().pop().unwrap();
    assert_eq!((record.direction, record.method.as_str()), ("inbound", "GET"));
    assert_eq!((record.path.as_str(), record.status), ("/a", 200));
    assert_eq!(record.attributes.len(), 1);
    assert_eq!(record.attributes.first().unwrap().1.as_deref(), Some("red"));
}

#[test]
fn a_host_that_panics_over_records_stops_no_clock() {
    let application = Application::echo("v1");
    let host = Arc::new(Double::default());
    host.finished_panics.store(true, Ordering::SeqCst);
    let sidecar = beside(&application, hook("telemetry", json!({"reads": []})), &host);
    for panics in [1, 2] {
        assert_eq!(get(&sidecar, "/", "").status(), 200);
        sidecar.series("meshcore_panics_total", &[], panics); // by the clock, once a second
    }
}

#[test]
fn a_status_without_a_body_does_not_let_the_body_through() {
    let secret = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let application = Application::start(move |_| Reply::new(200, secret));
    for status in [204, 304] {
        let edits = Edits { status: Some(status), ..Edits::default() };
        let host = Double::with(NAME, Does::Now(Ok(Decision::Modify(edits.into()))));
        let sidecar = beside(&application, hook("on_response", json!({})), &host);
        let mut client = Client::connect(sidecar.inbound());
        for _ in 0..3 {
            let answer = client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
            assert_eq!((answer.status(), answer.text().as_str()), (status, ""));
        }
        assert!(client.is_silent_for(Duration::from_millis(50)));
    }
}

#[test]
fn who_keeps_the_interpreter_keeps_only_the_scrape() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Now(Ok(Decision::Abstain)));
    host.is_kept.store(true, Ordering::SeqCst);
    let hooks = vec![hook("on_request", json!({}))];
    let sidecar = Sidecar::of("api").inbound(80, application.address());
    let sidecar = sidecar.mesh(&MeshBuilder::new()).hooks(hooks, host.clone()).start();
    let page = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut scraper = Client::connect(sidecar.admin());
    scraper.send(page("/stats/prometheus"));
    assert!(scraper.is_silent_for(Duration::from_millis(50)));
    let ready = Client::connect(sidecar.admin()).ask(page("/ready"));
    assert_eq!(ready.text(), "ready\n", "others are answered meanwhile");
    let without = scraper.answer();
    assert!(without.text().contains("meshcore_workers"), "and the scrape without Python");
    assert!(without.text().contains("of_hooks 1") && !without.text().contains("of_python"));
    host.is_kept.store(false, Ordering::SeqCst);
    let with = scraper.ask(page("/stats/prometheus"));
    assert!(with.text().contains("of_python 1"));
}

#[test]
fn a_telemetry_hook_learns_the_port_that_was_asked_for() {
    let application = Application::echo("v1");
    let host = Double::with(NAME, Does::Now(Ok(Decision::Abstain)));
    let mesh = MeshBuilder::new().service("api", 80).endpoint("v1", application.address());
    let hooks = vec![hook("telemetry", json!({"reads": ["destination_port"]}))];
    let sidecar = Sidecar::of("web").outbound().mesh(&mesh).hooks(hooks, host.clone()).start();
    assert_eq!(
        Client::connect(sidecar.outbound()).ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n").status(),
        200
    );
    crate::eventually("the record is handed over", || !host.finished.lock().is_empty());
    let records = host.finished.lock();
    assert_eq!(records[0].attributes[0].1.as_deref(), Some("80"));
}
