//! From verified events to durable ones: one transaction for a request, one sync for all requests
//! that come meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use super::Outside;
use super::admission::{Admission, Speaker};
use super::refusal::Refusal;
use crate::api::event::Event;
use crate::store::events::{Outcome, Receipt, Refusal as NotAccepted, accept};
use crate::store::{StoreError, WriteError};

/// What became of each event, in order.
pub type Outcomes = Vec<Result<Outcome, Refusal>>;

/// Accepts events; returns when they are durable. The error is the store's, and nothing was
/// written then.
pub async fn commit(
    outside: &Outside,
    admission: Arc<Admission>,
    verified_by: Arc<str>,
    events: Vec<Event>,
) -> Result<Outcomes, Refusal> {
    let reception = Arc::clone(&outside.reception);
    let now = outside.clock.now();
    let bytes = events.iter().map(size).sum();
    let written = outside
        .store
        .write_sized(bytes, move |txn| {
            // Facts that this transaction has made; all are of one group.
            let (mut made, revision) = (0, txn.revision());
            let mut outcomes = Vec::with_capacity(events.len());
            for (index, event) in events.into_iter().enumerate() {
                let left = reception.left(txn, &event)?;
                let key = (event.group.clone(), event.id.clone());
                let receipt = Receipt {
                    now,
                    // There are no relays: who observed it sent it.
                    received_from: event.source_node.clone(),
                    verified_by: verified_by.to_string(),
                    replay_window: admission.window,
                    max_age: admission.max_age,
                    room: left.map(|left| left.saturating_sub(made)),
                };
                let outcome = match accept(txn, index, event, &receipt) {
                    Err(NotAccepted::Store(error)) => return Err(error),
                    Err(refused) => Err(refusal(&refused)),
                    Ok(outcome) => {
                        if matches!(outcome, Outcome::New { .. }) {
                            reception.accepted(txn, &key, now)?;
                        }
                        // What needs no room takes none from others.
                        let takes_room = outcome == Outcome::New { made_fact: true };
                        made += u64::from(takes_room && left.is_some());
                        Ok(outcome)
                    }
                };
                outcomes.push(outcome);
            }
            reception.made(revision, &admission.group, made);
            Ok::<_, StoreError>(outcomes)
        })
        .await;
    match written {
        Ok(committed) => Ok(committed.value),
        Err(WriteError::Rejected(error) | WriteError::Store(error)) => Err(error.into()),
        Err(WriteError::Panicked(why)) => Err(Refusal::Store(format!("a bug: {why}"))),
    }
}

fn refusal(refused: &NotAccepted) -> Refusal {
    let words = refused.to_string();
    match refused {
        NotAccepted::Invalid(_) => Refusal::NotAnEvent(words),
        NotAccepted::Conflict { .. } => Refusal::Conflict(words),
        NotAccepted::GroupFull { .. } => Refusal::GroupFull(words),
        NotAccepted::Store(_) => Refusal::Store(words),
    }
}

/// About what an event takes in the writer's queue.
fn size(event: &Event) -> usize {
    let payload: usize = event.payload.iter().map(|(k, v)| k.len() + v.len() + 64).sum();
    size_of::<Event>() + event.id.len() + event.subject.len() + event.r#type.len() + payload
}

/// What speaks for the events of a request, for the record.
pub fn verified_by(speaker: &Speaker, certificate: Option<&[String]>) -> Arc<str> {
    match certificate.and_then(<[_]>::first) {
        None => Arc::clone(&speaker.verified_by),
        Some(name) => format!("{}, certificate {name}", speaker.verified_by).into(),
    }
}

/// How many events of each node are in a request.
pub fn by_node<'a>(events: impl Iterator<Item = &'a Event>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for event in events {
        *counts.entry(event.source_node.as_str()).or_default() += 1;
    }
    counts
}
