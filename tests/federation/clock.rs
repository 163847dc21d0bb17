//! A sender whose clock is an hour off, in process: the binary has no such clock. The receiver is
//! the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use routerd::api::Time;
use routerd::api::accepted::{Accepted, SourceRef};
use routerd::api::clock::Clock;
use routerd::api::event::Event;
use routerd::api::kinds::decode::decode_value;
use routerd::api::object::ObjectKey;
use routerd::api::value::Value;
use routerd::federation::files::Files;
use routerd::federation::outbox::credentials::FileCredentials;
use routerd::federation::outbox::http::HttpTransport;
use routerd::federation::outbox::{Outboxes, Outside};
use routerd::runtime::{Backoff, Controller, Shutdown, TaskGroup};
use routerd::sources::node_time::SystemClock;
use routerd::store::events::{Receipt, accept};
use routerd::store::{MemoryEngine, Store};
use serde_json::json;

use super::harness::{Node, wait_for};
use super::pair::{free_port, receiver_manifest, write_secret};

const FEDERATION: &str = "federation.routerd.net/v1alpha1";

struct Stepped {
    real: SystemClock,
    off: AtomicI64,
}

impl Clock for Stepped {
    fn now(&self) -> Time {
        self.real.now() + jiff::SignedDuration::from_secs(self.off.load(SeqCst))
    }
}

fn accepted(kind: &str, name: &str, spec: serde_json::Value, now: Time) -> Accepted {
    let json = json!({
        "apiVersion": FEDERATION, "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    let decoded = decode_value(&Value::from_serialize(&json).expect("plain data"), "");
    Accepted {
        resource: decoded.expect("a good resource").resource,
        uid: format!("uid-{name}"),
        generation: 1,
        source: SourceRef { file: "f".into(), document: 0, index: None, line: 1, column: 1 },
        created_at: now,
        accepted_at: now,
        digest: String::new(),
        typed: true,
    }
}

fn event(now: Time) -> Event {
    Event {
        id: "e1".into(),
        group: "edge".into(),
        r#type: "seen".into(),
        source_node: "onprem".into(),
        subject: "s".into(),
        dedupe_key: String::new(),
        payload: routerd::api::payload::Payload::default(),
        observed_at: Some(now),
        expires_at: Some(now + Duration::from_secs(36_000)),
    }
}

#[test]
fn a_senders_clock_that_is_an_hour_off_loses_nothing_once_it_is_right() {
    for off in [-3600, 3600] {
        let (cloud, address) = (Node::new(), free_port());
        write_secret(&cloud.path("secret"), "a secret of both");
        cloud.write("group.yaml", &receiver_manifest(&cloud, address));
        let _receiver = cloud.serve();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _entered = runtime.enter();
        let clock = Arc::new(Stepped { real: SystemClock::new(), off: AtomicI64::new(off) });
        let store = Store::in_memory(MemoryEngine::new());
        let now = clock.now();
        let receipt = Receipt {
            now,
            received_from: "local".into(),
            verified_by: String::new(),
            replay_window: Duration::from_secs(300),
            max_age: Duration::from_secs(86_400),
            room: None,
        };
        let secret = json!({"secretFile": cloud.path("secret")});
        let group =
            accepted("EventGroup", "edge", json!({"nodeName": "onprem", "auth": secret}), now);
        let endpoint = format!("http://{address}");
        let peer = json!({"groupRef": "edge", "nodeName": "cloud", "endpoint": endpoint});
        let peer = accepted("EventPeer", "cloud", peer, now);
        let wrote = store.write_blocking(move |txn| {
            txn.put(&group)?;
            txn.put(&peer)?;
            accept(txn, 0, event(now), &receipt).map(drop)
        });
        wrote.expect("memory takes it");
        let (shutdown, files) = (Shutdown::new(), Arc::new(Files::new()));
        let mut tasks = TaskGroup::new(shutdown.clone());
        let conditions = Controller::<ObjectKey>::new("conditions", Backoff::default()).triggers();
        let outboxes = Outboxes::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let outside = Outside {
            store,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            transport: Arc::new(HttpTransport::new(Arc::clone(&files))),
            credentials: Arc::new(FileCredentials::new(files)),
        };
        let running = outboxes.start(outside, conditions, &mut tasks, &shutdown);
        wait_for("the clocks to be found apart", &cloud.log_path(), || {
            let state = outboxes.peer("cloud");
            match &state {
                Some(state) if state.reason == "ClockSkew" => Ok(()),
                _ => Err(format!("{state:?}")),
            }
        });
        assert_eq!(outboxes.peer("cloud").map(|state| state.figures.owed), Some(1), "it is kept");
        clock.off.store(0, SeqCst);
        if off > 0 {
            // What was recorded an hour ahead waits for its time: nothing is refused for good.
            running.try_now(outboxes.peers());
            wait_for("the peer to be well", &cloud.log_path(), || {
                let state = outboxes.peer("cloud").expect("it is known");
                let well = state.delivering == Some(true) && state.figures.owed == 1;
                if well { Ok(()) } else { Err(format!("{state:?}")) }
            });
            continue;
        }
        running.try_now(outboxes.peers());
        wait_for("the event to arrive", &cloud.log_path(), || {
            let events = cloud.ctl("get events -o json").json();
            if events[0]["id"] == "e1" { Ok(()) } else { Err(events.to_string()) }
        });
        assert_eq!(outboxes.peer("cloud").map(|state| state.figures.dead), Some(0));
    }
}
