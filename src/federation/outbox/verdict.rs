//! What an answer means: for the event, or for the peer as a whole.
//!
//! Pure. A verdict on the event stands whoever sends it again; a verdict on the peer says nothing
//! of the event, which stays owed. Nothing counts as delivered unless the peer says so in so many
//! words: a page of a captive portal is a 200 as well.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::transport::{Answer, TransportError};
use crate::federation::wire::{BatchAnswer, EventAnswer, FEATURE_BATCH, Status};

/// Characters of a peer's own words that are kept.
const MAX_WORDS: usize = 200;
/// How long an item is parked where the peer does not say.
pub const DEFAULT_PARK: Duration = Duration::from_secs(5);
/// How long it is parked at most, whatever the peer says.
pub const MAX_PARK: Duration = Duration::from_secs(300);
/// Bytes of a store's id that are kept.
const MAX_STORE_ID: usize = 128;

/// The reason of a [`Trouble`] with an answer of more bytes than any routerd's.
pub const ANSWER_TOO_LARGE: &str = "AnswerTooLarge";

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The peer has it on its disk.
    Delivered,
    /// The peer refused it for good; its words.
    Dead(String),
    /// Not now: later.
    Parked(Duration),
}

/// Why a peer takes nothing at present.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// A CamelCase word for conditions.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The status, if there was an answer.
    pub status: Option<u16>,
}

impl Trouble {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), status: None }
    }
}

impl From<TransportError> for Trouble {
    fn from(error: TransportError) -> Self {
        let reason = match error {
            TransportError::Tls(_) => "TlsFailed",
            TransportError::Connect(_) => "Unreachable",
            TransportError::Timeout(_) => "TimedOut",
            TransportError::Config(_) => "NotConfigured",
            TransportError::TooLarge(_) => ANSWER_TOO_LARGE,
            TransportError::Broken(_) => "Broken",
        };
        Self::new(reason, error.to_string())
    }
}

/// Who answers at the peer's endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The store's id; empty where the node does not tell.
    pub store: String,
    /// Whether it takes batches.
    pub batch: bool,
    /// What it calls itself; empty where it does not tell.
    pub node: String,
}

/// What `GET /v1/status` said. A node that has no such route is one of the first.
pub fn hello(answer: &Answer) -> Result<Hello, Trouble> {
    match answer.status {
        200 => {
            let status: Status = parse(answer)?;
            Ok(Hello {
                batch: status.has(FEATURE_BATCH),
                store: store_id(status.store_id.as_deref().unwrap_or_default()),
                node: cut(&status.node),
            })
        }
        404 | 405 | 501 => Ok(Hello { store: String::new(), batch: false, node: String::new() }),
        _ => Err(of_peer(answer)),
    }
}

/// The id by which a store is told from another.
pub fn store_id(given: &str) -> String {
    given.chars().filter(|c| !c.is_control()).take(MAX_STORE_ID).collect()
}

/// What the answer to one event means.
pub fn single(answer: &Answer, id: &str) -> Result<Outcome, Trouble> {
    if !is_success(answer.status) {
        return of_event(answer.status, answer.retry_after, || words(answer))
            .ok_or_else(|| of_peer(answer));
    }
    let said: EventAnswer = parse(answer)?;
    if !said.accepted {
        return Err(not_ours(answer, "it does not say that the event was accepted"));
    }
    if !said.id.is_empty() && said.id != id {
        return Err(not_ours(answer, "it speaks of another event"));
    }
    Ok(Outcome::Delivered)
}

/// What the answer to a batch means: for each event in order, or for the request as a whole, when
/// the events have to be sent one by one.
pub fn batch(answer: &Answer, ids: &[&str]) -> Result<Batch, Trouble> {
    match answer.status {
        status if is_success(status) => {}
        // The route is gone: a peer that was set back to an older version.
        404 | 405 | 415 | 501 => return Ok(Batch::NotTaken),
        400 | 409 | 413 | 422 => return Ok(Batch::OneByOne),
        429 => return Ok(Batch::Wait(park(answer.retry_after))),
        _ => return Err(of_peer(answer)),
    }
    let said: BatchAnswer = parse(answer)?;
    if said.results.len() != ids.len() {
        return Err(not_ours(answer, "it answers another number of events"));
    }
    let mut outcomes = Vec::with_capacity(ids.len());
    let mut trouble = None;
    for (result, id) in said.results.into_iter().zip(ids) {
        if !result.id.is_empty() && result.id != *id {
            return Err(not_ours(answer, "it speaks of other events"));
        }
        let said = || result.error.as_deref().map(cut).unwrap_or_default();
        let outcome = match result.status {
            status if is_success(status) && result.accepted => Some(Outcome::Delivered),
            status => of_event(status, answer.retry_after, said),
        };
        if outcome.is_none() {
            trouble.get_or_insert_with(|| {
                let status = result.status;
                let mut trouble = refusal(status, &said());
                trouble.status = Some(status);
                trouble
            });
        }
        outcomes.push(outcome);
    }
    Ok(Batch::Each(outcomes, trouble))
}

/// What the answer to a batch means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// For each event; where there is none the peer is in trouble, and the event stays owed.
    Each(Vec<Option<Outcome>>, Option<Trouble>),
    /// The peer does not take batches after all.
    NotTaken,
    /// Something about one of them: they are sent one by one.
    OneByOne,
    /// The peer wants us to wait.
    Wait(Duration),
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// The verdict on the event, if it is one.
fn of_event(
    status: u16,
    retry_after: Option<Duration>,
    words: impl Fn() -> String,
) -> Option<Outcome> {
    match status {
        400 | 409 | 413 | 422 => Some(Outcome::Dead(format!("{status}: {}", words()))),
        429 => Some(Outcome::Parked(park(retry_after))),
        _ => None,
    }
}

fn park(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(DEFAULT_PARK).clamp(Duration::from_secs(1), MAX_PARK)
}

fn of_peer(answer: &Answer) -> Trouble {
    let mut trouble = refusal(answer.status, &words(answer));
    trouble.status = Some(answer.status);
    trouble
}

fn refusal(status: u16, words: &str) -> Trouble {
    let (reason, what) = match status {
        401 => (
            "Unauthorized",
            "the peer does not accept our signature: do both have the same secret?",
        ),
        403 => ("ClockSkew", "the peer finds our time stale or ahead: are both clocks right?"),
        404 => ("NotARouterd", "there is no such route at the endpoint: is it a routerd?"),
        421 => ("OtherGroup", "another group is served at the endpoint"),
        503 => ("Unavailable", "the peer cannot store events now"),
        500.. => ("PeerFailed", "the peer failed"),
        300..=399 => ("Redirected", "the endpoint redirects, which is not followed"),
        _ => ("Refused", "the peer refused the request"),
    };
    let message = match words {
        "" => format!("{what} (status {status})"),
        words => format!("{what} (status {status}: {words})"),
    };
    Trouble::new(reason, message)
}

fn not_ours(answer: &Answer, why: &str) -> Trouble {
    let mut trouble = Trouble::new(
        "NotARouterd",
        format!("the answer at the endpoint is not a routerd's: {why}"),
    );
    trouble.status = Some(answer.status);
    trouble
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Trouble> {
    serde_json::from_slice(&answer.body)
        .map_err(|_| not_ours(answer, "it is not the JSON that belongs there"))
}

/// The peer's own words, if it has any.
fn words(answer: &Answer) -> String {
    let said: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let text = said.as_ref().and_then(|said| said.get("error")).and_then(|error| error.as_str());
    match text {
        Some(text) => cut(text),
        None => {
            cut(String::from_utf8_lossy(&answer.body[..answer.body.len().min(MAX_WORDS)]).trim())
        }
    }
}

fn cut(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_WORDS).map(clean).collect()
}

#[cfg(test)]
mod tests;
