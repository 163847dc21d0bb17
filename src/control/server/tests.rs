use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::clock::Clock;
use crate::api::event::Event;
use crate::api::kinds::decode::decode_value;
use crate::api::value::Value;
use crate::control::client::{Client, ClientError, Target};
use crate::control::views::{EventList, ObjectView, PartView, StatusView};
use crate::control::{
    Answer, ConfigReport, Converged, Effective, EffectiveRevision, GroupFigures, Live,
    MAX_LINE_BYTES, Pending, Reason, WaitAnswer,
};
use crate::store::events::Reception;
use crate::store::{MemoryEngine, Store};

const NOW: &str = "2026-05-30T12:00:00Z";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        NOW.parse().unwrap()
    }
}

/// A daemon that never converges, and whose groups have as much room as they are given.
struct Daemon {
    room: Arc<AtomicU64>,
}

impl Live for Daemon {
    fn revision_after(&self, after: u64, _: Option<String>) -> BoxFuture<'_, EffectiveRevision> {
        let revision = EffectiveRevision { revision: after + 1, digest: "d".to_owned() };
        Box::pin(std::future::ready(revision))
    }

    fn revision(&self) -> EffectiveRevision {
        EffectiveRevision { revision: 1, digest: "d".to_owned() }
    }

    fn started_at(&self) -> Time {
        Fixed.now()
    }

    fn config(&self) -> ConfigReport {
        ConfigReport::default()
    }

    fn effective(&self) -> Arc<Effective> {
        Arc::new(Effective::of(&[], &[], Fixed.now()))
    }

    fn converge(&self, _: bool) -> BoxFuture<'_, Converged> {
        std::future::pending().boxed()
    }

    fn pending(&self, _: bool) -> Vec<Pending> {
        vec![Pending {
            controller: "subscriptions".to_owned(),
            key: "cloud-claims".to_owned(),
            state: "Running".to_owned(),
            due: None,
            message: String::new(),
        }]
    }

    fn reception(&self) -> Arc<dyn Reception> {
        let room = Arc::clone(&self.room);
        Arc::new(move |event: &Event| {
            (event.r#type != "gone").then(|| room.load(Ordering::Relaxed))
        })
    }

    fn groups(&self) -> BTreeMap<String, GroupFigures> {
        BTreeMap::new()
    }

    fn matched(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

fn accepted(json: &serde_json::Value) -> Accepted {
    let body = Value::from_serialize(json).unwrap();
    let decoded = decode_value(&body, "").unwrap();
    Accepted {
        resource: decoded.resource,
        uid: "uid".to_owned(),
        generation: 1,
        source: SourceRef {
            file: "/etc/a.yaml".to_owned(),
            document: 0,
            index: None,
            line: 3,
            column: 1,
        },
        created_at: Fixed.now(),
        accepted_at: Fixed.now(),
        digest: String::new(),
        typed: decoded.typed,
    }
}

fn group(name: &str) -> Accepted {
    accepted(&serde_json::json!({
        "apiVersion": "federation.routerd.net/v1alpha1",
        "kind": "EventGroup",
        "metadata": {"name": name},
        "spec": {"nodeName": "cloud-router"},
    }))
}

/// A served daemon in a directory of its own.
struct Node {
    dir: TempDir,
    daemon: Arc<Daemon>,
    client: Client,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

async fn node(objects: Vec<Accepted>, limits: Limits) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let store = Store::in_memory(MemoryEngine::default());
    store.write(move |txn| objects.iter().try_for_each(|object| txn.put(object))).await.unwrap();
    let daemon = Arc::new(Daemon { room: Arc::new(AtomicU64::new(u64::MAX)) });
    let live: Arc<dyn Live> = Arc::clone(&daemon) as _;
    let control = Control::new(store, Arc::new(Fixed), live);
    let server = Server::bind(&path, limits).unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(control, shutdown.clone()));
    Node { client: Client::new(&path), dir, daemon, shutdown, serving }
}

impl Node {
    async fn emit(&self, event: serde_json::Value) -> Result<Answer, ClientError> {
        self.client.post(&Target::new("/v1/events"), &event, Duration::ZERO).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, target: Target) -> Result<T, ClientError> {
        self.client.get(&target).await
    }

    async fn lines(&self, lines: Vec<Bytes>) -> Vec<serde_json::Value> {
        let body = stream::iter(lines.into_iter().map(Ok));
        let mut answers =
            self.client.post_chunks(&Target::new("/v1/events:lines"), body).await.unwrap();
        let mut text = Vec::new();
        while let Some(chunk) = answers.next().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        text.split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// Sends bytes as they are and reads until the server hangs up.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.client.socket()).await.unwrap();
        // The server may answer and hang up before all is written.
        _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

fn event(id: &str) -> serde_json::Value {
    serde_json::json!({"id": id, "group": "cloudedge", "type": "seen", "subject": id})
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> crate::control::ApiError {
    match answer {
        Err(ClientError::Refused(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn an_event_is_filled_in_accepted_once_and_listed() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let mut sent = event("e1");
    sent["ttl"] = "30m".into();
    let first = node.emit(sent.clone()).await.unwrap();
    assert!(first.accepted && !first.duplicate && first.revision > 0);
    let again = node.emit(sent).await.unwrap();
    assert!(again.accepted && again.duplicate);

    let list: EventList = node.get(Target::new("/v1/events")).await.unwrap();
    let [view] = list.items.as_slice() else { panic!("{list:?}") };
    assert_eq!(view.event.source_node, "cloud-router");
    assert_eq!(view.event.observed_at, Some(Fixed.now()));
    assert_eq!(view.live_until.to_string(), "2026-05-30T12:30:00Z");
    assert!(view.live && view.current);
    assert_eq!(view.received_from, "local");
}

#[tokio::test]
async fn each_refusal_has_its_reason_and_names_the_field() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    node.emit(event("e1")).await.unwrap();
    let changed = |id: &str, field: &str, value: serde_json::Value| {
        let mut event = event(id);
        event[field] = value;
        event
    };
    for (sent, reason, names) in [
        (changed("e1", "subject", "other".into()), Reason::Conflict, "id"),
        (changed("e2", "group", "cloudegde".into()), Reason::UnknownGroup, "group"),
        (changed("e2", "group", "".into()), Reason::Invalid, "group"),
        (changed("e2", "type", " ".into()), Reason::Invalid, "type"),
        (changed("e2", "ttl", "soon".into()), Reason::Invalid, "ttl"),
        (changed("e2", "ttl", "0".into()), Reason::Invalid, "ttl"),
        (changed("e2", "observedAt", "yesterday".into()), Reason::Invalid, "observedAt"),
        (changed("e2", "observedAt", "2026-05-30T13:00:00Z".into()), Reason::Invalid, "observedAt"),
        (changed("e2", "payload", 1.into()), Reason::Invalid, "payload"),
    ] {
        let error = refusal(node.emit(sent.clone()).await);
        assert_eq!(error.reason, reason, "{sent}: {error}");
        assert!(error.message.contains(names) || reason == Reason::Invalid, "{sent}: {error}");
    }
    let misspelt = refusal(node.emit(changed("e2", "group", "cloudegde".into())).await);
    assert_eq!(misspelt.hint.as_deref(), Some("did you mean cloudedge?"));
}

#[tokio::test]
async fn a_full_group_refuses_new_facts_and_takes_renewals_and_retractions() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    node.emit(event("e1")).await.unwrap();
    node.daemon.room.store(0, Ordering::Relaxed);
    assert_eq!(refusal(node.emit(event("e2")).await).reason, Reason::GroupFull);
    let mut renewal = event("e3");
    renewal["subject"] = "e1".into();
    assert!(node.emit(renewal).await.unwrap().accepted);
    let mut retraction = event("e4");
    retraction["type"] = "gone".into();
    assert!(node.emit(retraction).await.unwrap().accepted);
}

#[tokio::test]
async fn a_batch_does_not_overrun_the_room_that_it_began_with() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    node.daemon.room.store(2, Ordering::Relaxed);
    let lines: Vec<String> = (0..4).map(|n| format!("{}\n", event(&format!("e{n}")))).collect();
    let answers = node.lines(vec![lines.concat().into()]).await;
    let accepted: Vec<bool> = answers.iter().map(|a| a["accepted"] == true).collect();
    assert_eq!(accepted, [true, true, false, false]);
}

#[tokio::test]
async fn bad_lines_are_answered_in_their_place_and_touch_no_others() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let text = format!("{}\n{{broken\n\n{}\n{}", event("e1"), event("e1"), event("e2"));
    // In small pieces, so that lines are torn apart.
    let pieces = text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
    let answers = node.lines(pieces).await;
    let seen: Vec<(u64, bool, bool)> = answers
        .iter()
        .map(|a| (a["line"].as_u64().unwrap(), a["accepted"] == true, a["duplicate"] == true))
        .collect();
    assert_eq!(seen, [(1, true, false), (2, false, false), (4, true, true), (5, true, false)]);
    assert_eq!(answers[1]["error"]["reason"], "invalid");
}

#[tokio::test]
async fn many_lines_come_back_in_order() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let lines = (0..5_000).map(|n| Bytes::from(format!("{}\n", event(&format!("e{n}"))))).collect();
    let answers = node.lines(lines).await;
    assert_eq!(answers.len(), 5_000);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], format!("e{n}"));
        assert_eq!(answer["accepted"], true);
    }
    let list: EventList = node.get(Target::new("/v1/events").query("limit", "2")).await.unwrap();
    let ids: Vec<&str> = list.items.iter().map(|view| view.event.id.as_str()).collect();
    assert_eq!(ids, ["e4999", "e4998"]);
    assert!(list.more);
}

#[tokio::test]
async fn a_line_over_the_limit_ends_the_stream_with_a_word() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let long = Bytes::from(vec![b'x'; MAX_LINE_BYTES + 100_000]);
    let answers = node.lines(vec![format!("{}\n", event("e1")).into(), long]).await;
    assert_eq!(answers[0]["accepted"], true);
    assert_eq!(answers[1]["error"]["reason"], "tooLarge");
    assert_eq!(answers[1]["line"], 2);
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn events_of_several_groups_are_listed_in_the_order_of_receipt() {
    let node = node(vec![group("cloudedge"), group("other")], Limits::default()).await;
    for (id, group) in [("a", "other"), ("b", "cloudedge"), ("c", "other"), ("d", "cloudedge")] {
        let mut event = event(id);
        event["group"] = group.into();
        node.emit(event).await.unwrap();
    }
    let ids = |list: EventList| -> Vec<String> {
        list.items.into_iter().map(|view| view.event.id).collect()
    };
    assert_eq!(ids(node.get(Target::new("/v1/events")).await.unwrap()), ["d", "c", "b", "a"]);
    let other = Target::new("/v1/events").query("group", "other");
    assert_eq!(ids(node.get(other).await.unwrap()), ["c", "a"]);
    let subject = Target::new("/v1/events").query("subject", "b");
    assert_eq!(ids(node.get(subject).await.unwrap()), ["b"]);
}

#[tokio::test]
async fn what_has_expired_is_listed_only_when_asked_for() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let mut past = event("past");
    past["observedAt"] = "2026-05-30T10:00:00Z".into();
    past["expiresAt"] = "2026-05-30T11:00:00Z".into();
    node.emit(past).await.unwrap();
    let list: EventList = node.get(Target::new("/v1/events")).await.unwrap();
    assert!(list.items.is_empty());
    let all = Target::new("/v1/events").query("includeExpired", "true");
    let list: EventList = node.get(all).await.unwrap();
    assert_eq!(list.items.len(), 1);
    assert!(!list.items[0].live);
}

#[tokio::test]
async fn objects_are_found_by_any_name_of_their_kind_and_show_no_secrets() {
    let interface = accepted(&serde_json::json!({
        "apiVersion": "net.routerd.net/v1alpha1", "kind": "WireGuardInterface",
        "metadata": {"name": "wg-hybrid", "labels": {"a": "b"}},
        "spec": {"privateKey": "c2VjcmV0", "listenPort": 51820},
    }));
    let opaque = accepted(&serde_json::json!({
        "apiVersion": "example.net/v1", "kind": "Widget", "metadata": {"name": "w"},
        "data": {"k": 1},
    }));
    let node = node(vec![group("cloudedge"), interface, opaque], Limits::default()).await;
    for kind in ["EventGroup", "eventgroups", "EVENTGROUP"] {
        let found: Vec<ObjectView> =
            node.get(Target::new("/v1/objects").segment(kind)).await.unwrap();
        assert_eq!(found.len(), 1, "{kind}");
    }
    let target = Target::new("/v1/objects").segment("wireguardinterface").segment("wg-hybrid");
    let found: Vec<serde_json::Value> = node.get(target).await.unwrap();
    assert!(!found[0].to_string().contains("c2VjcmV0"), "{}", found[0]);
    assert_eq!(found[0]["spec"]["listenPort"], 51820);
    assert_eq!(found[0]["metadata"]["labels"]["a"], "b");
    assert_eq!(found[0]["status"]["source"]["line"], 3);

    let all: Vec<ObjectView> = node.get(Target::new("/v1/objects").segment("all")).await.unwrap();
    assert_eq!(all.len(), 3);
    let widget = all.iter().find(|view| view.kind == "Widget").unwrap();
    assert_eq!(widget.rest.get("data").unwrap().get("k").unwrap().as_u64(), Some(1));

    let unknown = Target::new("/v1/objects").segment("EventGruop");
    let error = refusal(node.get::<Vec<ObjectView>>(unknown).await);
    assert_eq!(
        (error.reason, error.hint.as_deref()),
        (Reason::NotFound, Some("did you mean EventGroup?"))
    );
    let absent = Target::new("/v1/objects").segment("EventGroup").segment("cloudegde");
    let error = refusal(node.get::<Vec<ObjectView>>(absent).await);
    assert_eq!(error.hint.as_deref(), Some("did you mean cloudedge?"));
    let plugins: Vec<ObjectView> =
        node.get(Target::new("/v1/objects").segment("plugins")).await.unwrap();
    assert!(plugins.is_empty());
}

#[tokio::test]
async fn status_render_version_and_parts_answer() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let status: StatusView = node.get(Target::new("/v1/status")).await.unwrap();
    assert_eq!(status.node, "cloud-router");
    assert!(status.running && status.store.healthy);
    assert_eq!(status.pending_total, 1);
    let router: serde_json::Value =
        node.get(Target::new("/v1/render").query("format", "json")).await.unwrap();
    assert_eq!(router["kind"], "Router");
    let report: serde_json::Value =
        node.get(Target::new("/v1/render").query("report", "true")).await.unwrap();
    assert_eq!(report["leftOut"], serde_json::json!([]));
    let parts: Vec<PartView> = node.get(Target::new("/v1/parts")).await.unwrap();
    assert!(parts.is_empty());
    let absent = Target::new("/v1/parts").segment("a-0123456789abcdef");
    assert_eq!(refusal(node.get::<PartView>(absent).await).reason, Reason::NotFound);
    let version: serde_json::Value = node.get(Target::new("/v1/version")).await.unwrap();
    assert_eq!(version["version"], crate::control::VERSION);
}

#[tokio::test]
async fn a_wait_that_runs_out_lists_what_is_pending() {
    let node = node(Vec::new(), Limits::default()).await;
    let request = serde_json::json!({"timeout": "1ms"});
    let answer: WaitAnswer =
        node.client.post(&Target::new("/v1/wait"), &request, Duration::ZERO).await.unwrap();
    assert!(!answer.converged);
    assert_eq!(answer.pending[0].key, "cloud-claims");
}

#[tokio::test]
async fn wrong_routes_methods_queries_and_bodies_are_told_so() {
    let node = node(vec![group("cloudedge")], Limits::default()).await;
    let get = async |target| refusal(node.get::<serde_json::Value>(target).await).reason;
    assert_eq!(get(Target::new("/v2/status")).await, Reason::NotFound);
    assert_eq!(get(Target::new("/v1/wait")).await, Reason::MethodNotAllowed);
    assert_eq!(get(Target::new("/v1/events").query("limt", "1")).await, Reason::Invalid);
    assert_eq!(get(Target::new("/v1/events").query("limit", "x")).await, Reason::Invalid);
    assert_eq!(get(Target::new("/v1/render").query("format", "xml")).await, Reason::Invalid);
    let mut large = event("e1");
    large["payload"] = serde_json::json!({"k": "x".repeat(MAX_LINE_BYTES)});
    assert_eq!(refusal(node.emit(large).await).reason, Reason::TooLarge);
    let wait: Result<WaitAnswer, _> = node
        .client
        .post(&Target::new("/v1/wait"), &serde_json::json!({"timeuot": "1s"}), Duration::ZERO)
        .await;
    assert_eq!(refusal(wait).reason, Reason::Invalid);
}

#[tokio::test]
async fn one_connection_too_many_is_told_that_the_daemon_is_busy() {
    let node = node(Vec::new(), Limits { connections: 1, ..Limits::default() }).await;
    let mut first = UnixStream::connect(node.client.socket()).await.unwrap();
    first.write_all(b"GET /v1/version HTTP/1.1\r\nhost: r\r\n\r\n").await.unwrap();
    // Its answer shows that it is being served.
    first.read_u8().await.unwrap();
    let error = refusal(node.get::<serde_json::Value>(Target::new("/v1/version")).await);
    assert_eq!(error.reason, Reason::Busy);
}

#[tokio::test]
async fn streams_that_stall_leave_room_for_those_who_look() {
    let node = node(vec![group("cloudedge")], Limits { stays: 2, ..Limits::default() }).await;
    let begin = b"POST /v1/events:lines HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut stream = UnixStream::connect(node.client.socket()).await.unwrap();
        stream.write_all(begin).await.unwrap();
        // One line and its answer show that it is being served; then it stalls.
        stream.write_all(b"3\r\n{}\n\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
        stalled.push(stream);
    }
    let target = Target::new("/v1/events:lines");
    let lines = |body| node.client.post_chunks(&target, body);
    let Err(ClientError::Refused(refused)) = lines(stream::iter([])).await else {
        panic!("it is refused")
    };
    assert_eq!(refused.reason, Reason::Busy);
    let watch = Target::new("/v1/revision").query("after", "1");
    assert_eq!(refusal(node.get::<serde_json::Value>(watch).await).reason, Reason::Busy);
    node.get::<serde_json::Value>(Target::new("/v1/status")).await.unwrap();
    assert!(node.emit(event("e1")).await.unwrap().accepted);
    // Whoever leaves makes room.
    stalled.pop();
    while matches!(lines(stream::iter([])).await, Err(ClientError::Refused(_))) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_like_everything_else() {
    let node = node(Vec::new(), Limits::default()).await;
    for path in ["/v1/objects/%ff", "/v1/objects/plugin/%ff", "/v1/parts/%ff"] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\r\n");
        let answer = node.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(answer.contains("\"reason\":\"invalid\""), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_and_one_that_is_too_long_are_cut_off() {
    let limits = Limits { head: Duration::from_millis(20), ..Limits::default() };
    let node = node(Vec::new(), limits).await;
    let slow = node.raw(b"GET /v1/version HTTP/1.1\r\nx: ").await;
    assert!(!slow.contains("200"), "{slow}");
    let mut long = b"GET /v1/version HTTP/1.1\r\nx: ".to_vec();
    long.resize(200_000, b'x');
    let refused = node.raw(&long).await;
    assert!(!refused.contains(" 200 "), "{refused}");
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let limits = Limits { body: Duration::from_millis(20), ..Limits::default() };
    let node = node(Vec::new(), limits).await;
    let answer = node
        .raw(b"POST /v1/wait HTTP/1.1\r\nhost: r\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"timeout\""), "{answer}");
}

#[tokio::test]
async fn a_live_socket_is_not_stolen_and_a_stale_one_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let node = node(Vec::new(), Limits::default()).await;
    let path = node.client.socket().to_owned();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(Server::bind(&path, Limits::default()), Err(BindError::InUse(_))));

    let stale = node.dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    Server::bind(&stale, Limits::default()).unwrap();

    let file = node.dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(Server::bind(&file, Limits::default()), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

    let long = node.dir.path().join("x".repeat(120));
    assert!(matches!(Server::bind(&long, Limits::default()), Err(BindError::TooLong(_))));
}

#[tokio::test]
async fn the_server_stops_when_told_and_removes_its_socket() {
    let node = node(Vec::new(), Limits::default()).await;
    let path = node.client.socket().to_owned();
    node.shutdown.cancel();
    node.serving.await.unwrap();
    assert!(!path.exists());
    let error = node.client.get::<serde_json::Value>(&Target::new("/v1/version")).await;
    assert!(matches!(error, Err(ClientError::NoDaemon(_))), "{error:?}");
}

#[tokio::test]
async fn what_is_no_routerd_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    for answer in ["220 smtp ready\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"] {
        let path = dir.path().join(format!("{}.sock", answer.len()));
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Until the client hangs up.
            _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let error = Client::new(&path).get::<serde_json::Value>(&Target::new("/v1/version")).await;
        assert!(matches!(error, Err(ClientError::NotRouterd(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_not_waited_for_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = Client::new(&path).patience(Duration::from_millis(20));
    let error = client.get::<serde_json::Value>(&Target::new("/v1/version")).await;
    assert!(matches!(error, Err(ClientError::Stalled { .. })), "{error:?}");
}
