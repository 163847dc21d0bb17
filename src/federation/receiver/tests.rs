//! Listeners on real sockets, over a store in memory: what changes under way, what is refused on
//! the wire, and what a flood or a dawdler can do.

mod client;
mod live;
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::limits::Limits;
use super::{ListenerState, Outside, Receivers, Running};
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::clock::Clock;
use crate::api::event::Event;
use crate::api::kinds::decode::decode_value;
use crate::api::kinds::federation::API_VERSION;
use crate::api::object::ObjectKey;
use crate::api::value::Value;
use crate::federation::files::Files;
use crate::federation::signature::Key;
use crate::runtime::{Backoff, Controller, Shutdown, TaskGroup, converged};
use crate::store::{MemoryEngine, Store, StoreError};

const NOW: i64 = 1_780_142_400;
/// Far beyond anything a healthy receiver needs, however busy the machine.
const GENEROUS: Duration = Duration::from_secs(30);

struct Standing;

impl Clock for Standing {
    fn now(&self) -> Time {
        Time::from_second(NOW).unwrap()
    }
}

/// A receiver that runs, with a directory for its files and an address of its own.
struct Stand {
    store: Store,
    files: Arc<Files>,
    receivers: Receivers,
    running: Running,
    shutdown: Shutdown,
    directory: tempfile::TempDir,
    host: String,
}

/// Limits that a test need not wait for.
fn short() -> Limits {
    Limits {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        drain: GENEROUS,
        rebind: Duration::from_millis(20),
        ..Limits::default()
    }
}

/// Limits that no busy machine comes near to.
fn patient() -> Limits {
    Limits { head: GENEROUS, body: GENEROUS, ..short() }
}

impl Stand {
    fn new(limits: Limits) -> Self {
        // Each test has an address to itself, also beside another run on the same machine, so that
        // ports may be chosen freely.
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let (run, test) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let host = format!("127.{}.{test}.{}", 16 + run / 254 % 64, 1 + run % 254);
        let store = Store::in_memory(MemoryEngine::new());
        let files = Arc::new(Files::new());
        let outside = Outside {
            store: store.clone(),
            clock: Arc::new(Standing),
            files: Arc::clone(&files),
            reception: Arc::new(|_: &Event| None),
            stored: Arc::new(|_| 0),
        };
        let shutdown = Shutdown::new();
        let mut group = TaskGroup::new(shutdown.clone());
        let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        let conditions = Controller::<ObjectKey>::new("conditions", backoff).triggers();
        let receivers = Receivers::new();
        let running = receivers.start(outside, limits, conditions, &mut group, &shutdown);
        tokio::spawn(group.run(GENEROUS));
        let directory = tempfile::tempdir().unwrap();
        Self { store, files, receivers, running, shutdown, directory, host }
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host.parse().unwrap(), port)
    }

    /// Writes a secret as `keygen --force` does, and returns its path.
    fn secret(&self, name: &str, secret: &str) -> String {
        let path = self.directory.path().join(name);
        let beside = self.directory.path().join("beside");
        fs::write(&beside, secret).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&beside, &path).unwrap();
        path.display().to_string()
    }

    /// Accepts an object, or takes it away.
    async fn put(&self, kind: &str, name: &str, spec: Option<Json>) {
        let key = ObjectKey::new(API_VERSION, kind, name);
        let accepted = spec.map(|spec| accepted(&key, &spec));
        let wrote = self.store.write(move |txn| match accepted {
            Some(mut accepted) => {
                let old = txn.get::<Accepted>(&key)?;
                accepted.generation = old.map_or(1, |old| old.generation + 1);
                txn.put(&accepted)
            }
            None => txn.delete::<Accepted>(&key),
        });
        wrote.await.map_err(|error: crate::store::WriteError<StoreError>| error).unwrap();
        self.settled().await;
    }

    /// The group `g` listens on `port` with what else is in `spec`.
    async fn group(&self, port: u16, more: Json) {
        let mut spec = json!({
            "nodeName": "cloud",
            "listen": {"address": self.host, "port": port},
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        self.put("EventGroup", "g", Some(spec)).await;
    }

    /// Waits until the listeners are what the manifests ask for.
    async fn settled(&self) {
        let store = self.store.clone();
        let Running { progress, observer } = self.running.clone();
        let (progress, observers) = ([progress], [observer]);
        let settled = converged(move || store.head(), &progress, &observers);
        tokio::time::timeout(GENEROUS, settled).await.expect("settled in time").unwrap();
    }

    fn state(&self) -> ListenerState {
        self.receivers.state("g").expect("the group is to listen")
    }

    /// Looks at the files as the daemon does each second, and waits for what follows.
    async fn look(&self) {
        self.files.look();
        // The files' task triggers; once it has, the listeners settle.
        tokio::task::yield_now().await;
        self.settled().await;
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

fn accepted(key: &ObjectKey, spec: &Json) -> Accepted {
    let body = json!({
        "apiVersion": key.api_version, "kind": key.kind, "metadata": {"name": key.name},
        "spec": spec,
    });
    let decoded = decode_value(&Value::from_serialize(&body).unwrap(), "").unwrap();
    Accepted {
        resource: decoded.resource,
        uid: "uid".to_owned(),
        generation: 1,
        source: SourceRef {
            file: "router.yaml".to_owned(),
            document: 0,
            index: None,
            line: 7,
            column: 1,
        },
        created_at: Time::UNIX_EPOCH,
        accepted_at: Time::UNIX_EPOCH,
        digest: "d".to_owned(),
        typed: true,
    }
}

/// Asks again and again until it is so.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(GENEROUS, async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited {GENEROUS:?} for {what}"));
}

fn event(id: &str) -> String {
    json!({"id": id, "group": "g", "type": "t", "sourceNode": "onprem", "subject": id}).to_string()
}

/// A whole request with one event.
fn post(secret: &str, body: &str) -> Vec<u8> {
    let signature = Key::new(secret.as_bytes()).sign(NOW, body.as_bytes());
    let length = body.len();
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: h\r\nX-Routerd-Timestamp: {NOW}\r\n\
         X-Routerd-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
