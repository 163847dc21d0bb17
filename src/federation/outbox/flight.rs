//! One request with events in it: filled, signed, sent, judged.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::credentials::Proof;
use super::index::Current;
use super::session::Session;
use super::transport::{Answer, Body, Endpoint, Request, Transport};
use super::verdict::{self, Batch, Outcome, Trouble};
use crate::api::Time;
use crate::api::clock::Clock;
use crate::federation::wire::{
    BATCH_PATH, EVENTS_PATH, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, STATUS_PATH,
};
use crate::store::tables::EventRow;
use crate::store::{Store, StoreError};

/// Events that are read and encoded on the task at hand; more go to another thread.
const FEW: usize = 64;

/// How a peer is reached.
#[derive(Clone)]
pub struct Line {
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    pub endpoint: Arc<Endpoint>,
    pub proof: Proof,
    pub session: Arc<Mutex<Session>>,
}

/// An event under way, with its times as they are sent.
#[derive(Debug, Clone)]
pub struct Item {
    pub current: Arc<Current>,
    pub observed_at: Time,
    pub expires_at: Option<Time>,
}

/// What goes into one request.
#[derive(Debug, Default)]
pub struct Cargo {
    pub items: Vec<Item>,
    /// Their events are not stored any more; the index has yet to hear of it.
    pub gone: Vec<Arc<Current>>,
    bytes: Bytes,
    batch: bool,
}

/// What came of a request.
#[derive(Debug)]
pub enum Landed {
    /// For each item; where there is none it stays owed.
    Each(Vec<Option<Outcome>>, Option<Trouble>),
    /// Nothing was looked at: the peer does not take batches, or they go one by one.
    Again {
        /// Whether the peer takes batches at all.
        batches: bool,
    },
    /// Nothing was looked at: the peer wants us to wait.
    Wait(std::time::Duration),
    /// Nothing is known.
    Trouble(Trouble),
}

/// Fills a request from the front of `offered`. What does not fit is left for the next.
pub async fn load(
    store: &Store,
    offered: Vec<Arc<Current>>,
    batch: bool,
) -> Result<Cargo, StoreError> {
    let cargo = if offered.len() <= FEW {
        fill(store, offered, batch)?
    } else {
        let store = store.clone();
        let filled = tokio::task::spawn_blocking(move || fill(&store, offered, batch)).await;
        filled.map_err(|error| StoreError::Failed(error.to_string()))??
    };
    // An event may have been read as it was just refreshed: a peer is sent what no power cut undoes.
    store.settled().await?;
    Ok(cargo)
}

fn fill(store: &Store, offered: Vec<Arc<Current>>, batch: bool) -> Result<Cargo, StoreError> {
    const HEAD: &[u8] = b"{\"events\":[";
    const TAIL: &[u8] = b"]}";
    let batch = batch && offered.len() > 1;
    let limit = if batch { MAX_BATCH_EVENTS } else { 1 };
    let mut cargo = Cargo { batch, ..Cargo::default() };
    let mut bytes = if batch { HEAD.to_vec() } else { Vec::new() };
    for current in offered {
        if cargo.items.len() == limit {
            break;
        }
        let key = (current.group.to_string(), current.id.clone());
        let row = store.get::<EventRow>(&key)?.filter(|row| row.seq == current.offer.seq);
        let Some(row) = row else {
            cargo.gone.push(current);
            continue;
        };
        let start = bytes.len();
        if batch && !cargo.items.is_empty() {
            bytes.push(b',');
        }
        serde_json::to_writer(&mut bytes, &row.event).expect("texts and times encode");
        if batch && bytes.len() + TAIL.len() > MAX_BATCH_BYTES && !cargo.items.is_empty() {
            bytes.truncate(start);
            break;
        }
        let (observed_at, expires_at) = (row.observed_at(), row.event.expires_at);
        cargo.items.push(Item { current, observed_at, expires_at });
    }
    if batch && cargo.items.len() == 1 {
        // One alone is a request that every node understands.
        bytes.drain(..HEAD.len());
        cargo.batch = false;
    } else if batch {
        bytes.extend_from_slice(TAIL);
    }
    cargo.bytes = bytes.into();
    Ok(cargo)
}

impl Line {
    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks who is there.
    pub async fn ask(&self) -> Result<verdict::Hello, Trouble> {
        let request =
            Request { endpoint: Arc::clone(&self.endpoint), path: STATUS_PATH, body: None };
        let answer = self.transport.send(request).await?;
        verdict::hello(&answer)
    }

    /// Sends a request. Returns what came of it, and which store says so.
    pub async fn fly(&self, cargo: &Cargo) -> (Landed, Option<String>) {
        let path = if cargo.batch { BATCH_PATH } else { EVENTS_PATH };
        let answer = match self.post(path, &cargo.bytes).await {
            Ok(answer) => answer,
            // A receiver with much to say of each event: it has less to say of one.
            Err(trouble) if cargo.batch && trouble.reason == verdict::ANSWER_TOO_LARGE => {
                return (Landed::Again { batches: true }, None);
            }
            Err(trouble) => return (Landed::Trouble(trouble), None),
        };
        let landed = if cargo.batch {
            let ids: Vec<&str> = cargo.items.iter().map(|item| item.current.id.as_str()).collect();
            match verdict::batch(&answer, &ids) {
                Ok(Batch::Each(each, trouble)) => Landed::Each(each, trouble),
                Ok(Batch::NotTaken) => Landed::Again { batches: false },
                Ok(Batch::OneByOne) => Landed::Again { batches: true },
                Ok(Batch::Wait(wait)) => Landed::Wait(wait),
                Err(trouble) => Landed::Trouble(trouble),
            }
        } else {
            let id = cargo.items.first().map_or("", |item| item.current.id.as_str());
            match verdict::single(&answer, id) {
                Ok(outcome) => Landed::Each(vec![Some(outcome)], None),
                Err(trouble) => Landed::Trouble(trouble),
            }
        };
        (landed, answer.store.as_deref().map(verdict::store_id))
    }

    /// Signs and posts; with the other secret, if there are two and the peer does not take one.
    async fn post(&self, path: &'static str, bytes: &Bytes) -> Result<Answer, Trouble> {
        let keys = match &self.proof {
            Proof::Unsigned => return self.post_with(path, bytes, None).await,
            Proof::Keys(keys) => keys,
        };
        let first = self.session().key;
        let mut last = None;
        for at in (0..keys.len()).map(|n| (first + n) % keys.len()) {
            let answer = self.post_with(path, bytes, Some(&keys[at])).await?;
            if answer.status != 401 {
                self.session().key = at;
                return Ok(answer);
            }
            last = Some(answer);
        }
        last.ok_or_else(|| Trouble {
            reason: "NoSecret",
            message: "there is no secret to sign with".to_owned(),
            status: None,
        })
    }

    async fn post_with(
        &self,
        path: &'static str,
        bytes: &Bytes,
        key: Option<&crate::federation::signature::Key>,
    ) -> Result<Answer, Trouble> {
        // Signed when it is sent: a timestamp that waited would be stale.
        let timestamp = self.clock.now().as_second();
        let signature = key.map(|key| key.sign(timestamp, bytes));
        let body = Some(Body { bytes: bytes.clone(), timestamp, signature });
        let request = Request { endpoint: Arc::clone(&self.endpoint), path, body };
        Ok(self.transport.send(request).await?)
    }
}
