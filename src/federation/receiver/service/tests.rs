//! Requests in process: the order of the checks, and that nothing unverified gets anywhere.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::Time;
use crate::api::accepted::SourceRef;
use crate::api::clock::Clock;
use crate::api::event::Event;
use crate::federation::files::Files;
use crate::federation::receiver::membership::Membership;
use crate::federation::receiver::rate::Rate;
use crate::federation::signature::Key;
use crate::store::tables::EventRow;
use crate::store::{MemoryEngine, Scan, Store};

const NOW: i64 = 1_780_142_400;
const SECRET: &[u8] = b"s3cret-key-0123456789abcdef";

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Time {
        Time::from_second(NOW).unwrap()
    }
}

/// A receiver without sockets.
struct Bench {
    gate: Gate,
    admission: Arc<Admission>,
    figures: Figures,
    caller: Caller,
}

/// No bound that gets in the way.
fn lavish() -> Limits {
    let rate = Rate { per_second: 1e9, burst: 1e9 };
    Limits { requests: rate, failures: rate, ..Limits::default() }
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let outside = Outside {
            store: Store::in_memory(MemoryEngine::new()),
            clock: Arc::new(Stopped),
            files: Arc::new(Files::new()),
            reception: Arc::new(|event: &Event| (event.r#type != "retracts").then_some(2)),
            stored: Arc::new(|_| 7),
        };
        let source = SourceRef { file: "f".into(), document: 0, index: None, line: 1, column: 1 };
        let spec = json!({"nodeName": "cloud", "auth": {"secretFile": "shared"}});
        let membership = Membership {
            source,
            generation: 1,
            name: "g".into(),
            spec: serde_json::from_value(spec).unwrap(),
            peers: Vec::new(),
        };
        let (admission, _) = Admission::of(&membership, |_| Ok(Key::new(SECRET))).unwrap();
        Self {
            gate: Gate::new(outside, limits),
            admission: Arc::new(admission),
            figures: Figures::default(),
            caller: Caller::default(),
        }
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> (u16, HeaderMap, Bytes) {
        let admission = Arc::clone(&self.admission);
        let desk = Desk { gate: &self.gate, admission, figures: &self.figures };
        let answer = desk.answer(&self.caller, request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, body)
    }

    async fn status(&self, request: Request<Full<Bytes>>) -> u16 {
        self.answer(request).await.0
    }

    fn stored(&self) -> usize {
        self.gate.outside.store.scan::<EventRow>(&Scan::all()).count()
    }
}

fn post(path: &str, timestamp: i64, signature: &str, body: &[u8]) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(TIMESTAMP_HEADER, timestamp)
        .header(SIGNATURE_HEADER, signature)
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap()
}

fn signed(path: &str, body: &Value) -> Request<Full<Bytes>> {
    let body = body.to_string();
    post(path, NOW, &Key::new(SECRET).sign(NOW, body.as_bytes()), body.as_bytes())
}

fn event(id: &str) -> Value {
    json!({"id": id, "group": "g", "type": "t", "sourceNode": "onprem", "subject": id})
}

fn header(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn an_event_is_durable_before_it_is_acknowledged_and_a_second_time_a_duplicate() {
    let bench = Bench::new(lavish());
    let (status, headers, body) = bench.answer(signed(EVENTS_PATH, &event("a"))).await;
    assert_eq!((status, &body[..]), (200, &br#"{"accepted":true,"id":"a","duplicate":false}"#[..]));
    assert_eq!(headers[STORE_HEADER], bench.gate.outside.store.id().to_string());
    let row = bench.gate.outside.store.scan::<EventRow>(&Scan::all()).next().unwrap().unwrap();
    assert_eq!((row.received_from.as_str(), row.verified_by.as_str()), ("onprem", "EventGroup/g"));
    assert_eq!(row.received_at, Time::from_second(NOW).unwrap());
    let (status, _, body) = bench.answer(signed(EVENTS_PATH, &event("a"))).await;
    assert_eq!((status, &body[..]), (200, &br#"{"accepted":true,"id":"a","duplicate":true}"#[..]));
    let counts = bench.figures.counts();
    assert_eq!((counts.received, counts.duplicate, counts.rejected_total()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_check_that_fails_answers() {
    let bench = Bench::new(Limits { requests: Rate { per_second: 1.0, burst: 8.0 }, ..lavish() });
    let large = "x".repeat(Format::Event.limit() + 1);
    let large = || Full::new(Bytes::from(large.clone()));
    // Each request breaks its own rule and all that come after it.
    let wrong_path = Request::put("/v1/other").body(large()).unwrap();
    assert_eq!(bench.status(wrong_path).await, 404);
    let wrong_method = Request::put(EVENTS_PATH).body(large()).unwrap();
    let (status, headers, _) = bench.answer(wrong_method).await;
    assert_eq!((status, headers[ALLOW].to_str().unwrap()), (405, "POST"));
    let packed = Request::post(EVENTS_PATH).header(CONTENT_ENCODING, "gzip").body(large());
    assert_eq!(bench.status(packed.unwrap()).await, 415);
    let declared =
        Request::post(EVENTS_PATH).header(CONTENT_LENGTH, "262145").body(Full::default());
    assert_eq!(bench.status(declared.unwrap()).await, 413);
    let chunked = Request::post(EVENTS_PATH).body(large()).unwrap();
    assert_eq!(bench.status(chunked).await, 413);
    let unstamped = Request::post(EVENTS_PATH).body(Full::default()).unwrap();
    assert_eq!(bench.status(unstamped).await, 400);
    assert_eq!(bench.status(post(EVENTS_PATH, NOW - 301, "no", b"{")).await, 403);
    assert_eq!(bench.status(post(EVENTS_PATH, NOW, "no", b"{")).await, 401);
    let mut wrong = event("a");
    wrong["group"] = json!("h");
    wrong["type"] = json!("");
    assert_eq!(bench.status(signed(EVENTS_PATH, &wrong)).await, 400);
    wrong["type"] = json!("t");
    wrong["sourceNode"] = json!("cloud");
    assert_eq!(bench.status(signed(EVENTS_PATH, &wrong)).await, 421);
    wrong["group"] = json!("g");
    assert_eq!(bench.status(signed(EVENTS_PATH, &wrong)).await, 422);
    assert_eq!(bench.status(signed(EVENTS_PATH, &event("a"))).await, 200);
    let (status, headers, _) = bench.answer(signed(EVENTS_PATH, &event("b"))).await;
    assert_eq!(status, 429, "the ninth in a second");
    assert_eq!(headers[RETRY_AFTER], "1");
    assert_eq!(bench.stored(), 1);
}

#[tokio::test]
async fn every_wrong_signature_gets_the_same_answer() {
    let bench = Bench::new(lavish());
    let body = event("a").to_string();
    let body = body.as_bytes();
    let good = Key::new(SECRET).sign(NOW, body);
    let flipped = |at: usize| {
        let mut digits = good.clone().into_bytes();
        digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
        String::from_utf8(digits).unwrap()
    };
    let mut requests = vec![
        post(EVENTS_PATH, NOW, "", body),
        post(EVENTS_PATH, NOW, &good[..63], body),
        post(EVENTS_PATH, NOW, &good[..62], body),
        post(EVENTS_PATH, NOW, &good.repeat(2), body),
        post(EVENTS_PATH, NOW, &good.to_uppercase(), body),
        post(EVENTS_PATH, NOW, &format!("sha256={good}"), body),
        post(EVENTS_PATH, NOW, &flipped(0), body),
        post(EVENTS_PATH, NOW, &flipped(63), body),
        post(EVENTS_PATH, NOW, &Key::new(b"another").sign(NOW, body), body),
        post(EVENTS_PATH, NOW + 1, &good, body),
        post(EVENTS_PATH, NOW, &good, &body[1..]),
        header(post(EVENTS_PATH, NOW, &good, body), SIGNATURE_HEADER, &good),
    ];
    let mut unsigned = post(EVENTS_PATH, NOW, "", body);
    unsigned.headers_mut().remove(SIGNATURE_HEADER);
    requests.push(unsigned);
    let expected =
        br#"{"accepted":false,"duplicate":false,"error":"X-Routerd-Signature: does not verify"}"#;
    for request in requests {
        let what = format!("{:?}", request.headers());
        let (status, headers, answer) = bench.answer(request).await;
        assert_eq!((status, &answer[..]), (401, &expected[..]), "{what}");
        assert_eq!(headers.len(), 1, "{headers:?}");
    }
    assert_eq!(bench.stored(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_keeps_failing_is_not_heard_any_more() {
    let bench = Bench::new(Limits { failures: Rate { per_second: 1.0, burst: 3.0 }, ..lavish() });
    for _ in 0..3 {
        assert_eq!(bench.status(post(EVENTS_PATH, NOW, "no", b"{}")).await, 401);
    }
    assert_eq!(bench.status(post(EVENTS_PATH, NOW, "no", b"{}")).await, 429);
    assert_eq!(bench.status(signed(EVENTS_PATH, &event("a"))).await, 429, "whatever it says");
}

#[tokio::test]
async fn a_batch_has_an_answer_for_each_event_and_the_bad_ones_are_bad_alone() {
    let bench = Bench::new(lavish());
    assert_eq!(bench.status(signed(EVENTS_PATH, &event("known"))).await, 200);
    let mut conflict = event("known");
    conflict["subject"] = json!("other");
    let mut ours = event("ours");
    ours["sourceNode"] = json!("cloud");
    let mut foreign = event("foreign");
    foreign["group"] = json!("h");
    let mut late = event("late");
    late["type"] = json!("retracts");
    let batch = json!({"events": [
        event("a"), event("known"), conflict, {"id": "no"}, ours, foreign, event("b"), event("c"), late,
    ]});
    let (status, headers, body) = bench.answer(signed(BATCH_PATH, &batch)).await;
    assert_eq!(status, 200);
    assert!(headers.contains_key(STORE_HEADER));
    let answer: BatchAnswer = serde_json::from_slice(&body).unwrap();
    let seen: Vec<(&str, u16, bool, bool)> =
        answer.results.iter().map(|r| (r.id.as_str(), r.status, r.accepted, r.duplicate)).collect();
    assert_eq!(
        seen,
        [
            ("a", 200, true, false),
            ("known", 200, true, true),
            ("known", 409, false, false),
            ("", 400, false, false),
            ("ours", 422, false, false),
            ("foreign", 421, false, false),
            ("b", 200, true, false),
            // There is room for two more facts; what retracts needs none.
            ("c", 429, false, false),
            ("late", 200, true, false),
        ]
    );
    assert_eq!(bench.figures.counts().rejected_total(), 5);
}

#[tokio::test]
async fn cloud_events_are_taken_one_by_one_and_in_lists() {
    let bench = Bench::new(lavish());
    let cloud = json!({"specversion": "1.0", "id": "a", "type": "t", "source": "/nodes/onprem"});
    let request =
        header(signed(EVENTS_PATH, &cloud), "content-type", "application/cloudevents+json");
    assert_eq!(bench.status(request).await, 200);
    let list = json!([cloud, {"specversion": "1.0", "id": "b", "type": "t", "source": "onprem"}]);
    let kind = "application/cloudevents-batch+json; charset=utf-8";
    let request = header(signed(EVENTS_PATH, &list), "content-type", kind);
    let (status, _, body) = bench.answer(request).await;
    let answer: BatchAnswer = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(answer.results.iter().map(|r| r.duplicate).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn the_status_tells_who_answers_without_a_signature() {
    let bench = Bench::new(lavish());
    let (status, _, body) =
        bench.answer(Request::get(STATUS_PATH).body(Full::default()).unwrap()).await;
    let told: Status = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!((told.node.as_str(), told.group.as_str(), told.stored_events), ("cloud", "g", 7));
    assert!(told.has(FEATURE_BATCH) && told.replay_window_seconds == 300);
    assert_eq!(told.store_id, Some(bench.gate.outside.store.id().to_string()));
}

/// A change of one of what is signed, or of the signature.
#[derive(Debug, Clone)]
enum Mutation {
    Timestamp(i64),
    Signature(usize, u8),
    Body(usize, u8),
    Cut(usize),
    Append(u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (-300i64..=300).prop_filter("the same", |by| *by != 0).prop_map(Mutation::Timestamp),
        (0usize..64, 1u8..128).prop_map(|(at, x)| Mutation::Signature(at, x)),
        (any::<usize>(), 1u8..).prop_map(|(at, x)| Mutation::Body(at, x)),
        any::<usize>().prop_map(Mutation::Cut),
        any::<u8>().prop_map(Mutation::Append),
    ]
}

/// How many: `ROUTERD_MUTATIONS`, a million for the promise, fewer in every run of the tests.
fn mutations() -> usize {
    std::env::var("ROUTERD_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

#[test]
fn of_random_mutations_none_is_accepted_none_panics_and_nothing_piles_up() {
    static TOUCHED: AtomicUsize = AtomicUsize::new(0);
    let mut bench = Bench::new(lavish());
    bench.gate.outside.reception = Arc::new(|_: &Event| {
        TOUCHED.fetch_add(1, Ordering::Relaxed);
        None
    });
    let body = event("a").to_string().into_bytes();
    let good = Key::new(SECRET).sign(NOW, &body).into_bytes();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = mutation();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let head = bench.gate.outside.store.head();
    let (count, mut memory) = (mutations(), 0);
    for round in 0..count {
        let tree = strategy.new_tree(&mut runner).unwrap();
        let (mut timestamp, mut signature, mut body) = (NOW, good.clone(), body.clone());
        match proptest::strategy::ValueTree::current(&tree) {
            Mutation::Timestamp(by) => timestamp += by,
            Mutation::Signature(at, x) => signature[at] ^= x,
            Mutation::Body(at, x) => {
                let at = at % body.len();
                body[at] ^= x;
            }
            Mutation::Cut(at) => body.truncate(at % body.len()),
            Mutation::Append(byte) => body.push(byte),
        }
        let mut request = post(EVENTS_PATH, timestamp, "", &body);
        // Bytes that no header can hold never get this far.
        let Ok(value) = HeaderValue::from_bytes(&signature) else { continue };
        request.headers_mut().insert(SIGNATURE_HEADER, value);
        let status = runtime.block_on(bench.status(request));
        assert_eq!(status, 401, "mutation {round}");
        if round == count / 10 {
            memory = resident();
        }
    }
    assert_eq!(TOUCHED.load(Ordering::Relaxed), 0, "the store's writer was asked for room");
    assert_eq!(bench.gate.outside.store.head(), head);
    // In a run of all tests others allocate as well; asked for by number it runs alone.
    let grown = resident().saturating_sub(memory);
    println!("{count} mutations, {grown} KiB more at the end than after a tenth of them");
    assert!(std::env::var_os("ROUTERD_MUTATIONS").is_none() || grown < 4 * 1024);
    assert_eq!(bench.gate.bodies.free(), bench.gate.limits.bodies);
}

/// KiB of memory in use by this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4
}
