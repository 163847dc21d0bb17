//! What is written while the power is cut: a process of its own on the real store, which says on
//! stdout what was acknowledged, and the check of what is left.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routerd::store::{OpenOptions, Record, Scan, Store, Table};
use serde::{Deserialize, Serialize};

use super::random::Random;

const WRITERS: u64 = 8;
/// Keys of one writer; each is overwritten again and again, so that segments are reused.
const KEYS: u64 = 24;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Value {
    key: u64,
    version: u64,
    body: String,
}

impl Record for Value {
    const TABLE: Table = Table::new(0x70, "values", 1);
    type Key = u64;
    fn key(&self) -> u64 {
        self.key
    }
}

impl Value {
    /// The one value that this version of this key can have: 300 bytes, just under a row of
    /// 64 KiB, or 1 MiB in pieces.
    fn new(key: u64, version: u64) -> Self {
        let mut random = Random::new(key << 32 | version);
        let length: usize = match random.below(10) {
            0..7 => 300,
            7..9 => 60_000,
            _ => 1 << 20,
        };
        let chunk = hex::encode(
            std::array::from_fn::<u64, 16, _>(|_| random.next()).map(u64::to_be_bytes).concat(),
        );
        let mut body = chunk.repeat(length.div_ceil(chunk.len()));
        body.truncate(length);
        Self { key, version, body }
    }
}

/// When the writer says that something is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// When the store says so.
    Acknowledged,
    /// As soon as the transaction ran, before anything is on disk: shows that the harness can tell
    /// a loss.
    TooEarly,
}

/// Writes until it is killed.
pub fn write_for_ever(state: &Path, says: Says) -> ! {
    let (store, _) = Store::open(&OpenOptions::daemon(state, jiff::Timestamp::now()))
        .unwrap_or_else(|error| panic!("the store opens: {error}"));
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        std::thread::spawn(move || write(&store, writer, says))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.join().expect("a writer");
    }
    unreachable!("writers do not end");
}

fn write(store: &Store, writer: u64, says: Says) {
    for step in 0_u64.. {
        let (key, version) = (writer * KEYS + step % KEYS, 1 + step / KEYS);
        let value = Value::new(key, version);
        let written = store.write_blocking(move |txn| {
            if says == Says::TooEarly {
                say(key, version);
            }
            txn.put(&value)
        });
        written.expect("written");
        if says == Says::Acknowledged {
            say(key, version);
        }
    }
}

fn say(key: u64, version: u64) {
    // One write of one short line: what a pipe takes is never half of it.
    let line = format!("{key} {version}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
}

/// The newest acknowledged version of each key, and how often there was one.
#[derive(Debug, Default)]
pub struct Promises {
    newest: HashMap<u64, u64>,
    pub count: u64,
}

impl Promises {
    pub fn note(&mut self, line: &str) {
        let Some((key, version)) = line.split_once(' ') else { return };
        let (Ok(key), Ok(version)) = (key.parse(), version.trim().parse::<u64>()) else { return };
        let newest = self.newest.entry(key).or_default();
        *newest = version.max(*newest);
        self.count += 1;
    }
}

/// What is wrong with a store after a cut.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Keys whose acknowledged version, or a later one, is not there.
    pub lost: Vec<String>,
    /// Why the store does not open as the sound store that it was.
    pub unsound: Option<String>,
}

/// Opens what is left and compares it with what was promised.
pub fn check(state: &Path, promises: &Promises) -> Verdict {
    if promises.count == 0 && !state.exists() {
        return Verdict::default();
    }
    let mut verdict = Verdict::default();
    let (store, report) = match Store::open(&OpenOptions::daemon(state, jiff::Timestamp::now())) {
        Ok(opened) => opened,
        Err(error) => {
            verdict.unsound = Some(error.to_string());
            return verdict;
        }
    };
    if let Some(moved) = report.quarantined.first() {
        verdict.unsound = Some(format!("moved to quarantine: {}", moved.why));
    }
    for (&key, &promised) in &promises.newest {
        match store.get::<Value>(&key) {
            Ok(Some(value))
                if value.version >= promised && value == Value::new(key, value.version) => {}
            Ok(Some(value)) => {
                verdict.lost.push(format!("{key}: version {}, promised {promised}", value.version));
            }
            other => {
                verdict.lost.push(format!("{key}: {:?}, promised {promised}", other.map(|_| ())));
            }
        }
    }
    if verdict.unsound.is_none() {
        verdict.unsound = scrub(&store).or_else(|| blobs(state));
    }
    verdict
}

/// Waits for the store's own check of every row, and reads every row.
fn scrub(store: &Store) -> Option<String> {
    let health = store.health();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !health.borrow().scrub_done {
        assert!(Instant::now() < deadline, "the scrub does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
    if !health.borrow().is_ok() {
        return Some(format!("{:?}", *health.borrow()));
    }
    let odd = |row: Result<Value, _>| match row {
        Ok(value) if value == Value::new(value.key, value.version) => None,
        other => Some(format!("a row is not what was written: {:?}", other.map(|v| v.key))),
    };
    store.scan::<Value>(&Scan::all()).find_map(odd)
}

fn blobs(state: &Path) -> Option<String> {
    let used =
        std::fs::read_dir(state.join("db/blobs")).is_ok_and(|mut files| files.next().is_some());
    used.then(|| "blobs/ is not empty".to_owned())
}

/// Promises that are noted from another thread.
pub type Noted = Arc<std::sync::Mutex<Promises>>;
