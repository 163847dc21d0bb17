//! Accepting an event: identity, refresh, conflict, and the fact that it makes or renews.
//!
//! One function, run inside a transaction by whoever received the event (the control socket, a
//! peer, an offline `emit`), so that there is one set of rules. It writes two rows for a new event,
//! the event and its fact, and the group's row that counts it and has its place in the order.

use std::time::Duration;

use super::facts::{find, put_fact};
use super::tables::{EventRow, FactRow, IdentityRow};
use super::{Revision, StoreError, Txn, order};
use crate::api::Time;
use crate::api::event::{Event, EventError};
use crate::api::fact::{FactId, Stretch, add, end_of, is_newer, melt};

/// Events of one transaction at most: the low bits of a sequence number.
pub const MAX_EVENTS_PER_TXN: usize = 1 << SEQ_BITS;
const SEQ_BITS: u32 = 12;

/// What a running daemon has to say in the transactions that accept events.
pub trait Reception: Send + Sync {
    /// How many new live facts fit into the event's group beside all that earlier transactions made;
    /// `None` where the limit does not count: a retraction must go through when the group is full.
    fn left(&self, txn: &Txn<'_>, event: &Event) -> Result<Option<u64>, StoreError>;

    /// The transaction with this revision makes so many live facts in `group`, if it takes effect.
    fn made(&self, revision: Revision, group: &str, facts: u64);

    /// The event with this group and id is new. What it makes due is written with it.
    fn accepted(
        &self,
        txn: &mut Txn<'_>,
        event: &(String, String),
        now: Time,
    ) -> Result<(), StoreError>;
}

/// Room that depends on the event alone, and nothing that becomes due.
impl<F: Fn(&Event) -> Option<u64> + Send + Sync> Reception for F {
    fn left(&self, _: &Txn<'_>, event: &Event) -> Result<Option<u64>, StoreError> {
        Ok(self(event))
    }

    fn made(&self, _: Revision, _: &str, _: u64) {}

    fn accepted(&self, _: &mut Txn<'_>, _: &(String, String), _: Time) -> Result<(), StoreError> {
        Ok(())
    }
}

/// How long an id is remembered after its receipt at most, however far off its event's expiry.
pub const LONGEST_MEMORY: Duration = Duration::from_secs(30 * 86_400);

/// What the receiving side knows about the event beside the event itself.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Node time of the receipt.
    pub now: Time,
    /// `local`, or the peer's node name.
    pub received_from: String,
    /// Which key verified it.
    pub verified_by: String,
    /// The group's `replayWindow`.
    pub replay_window: Duration,
    /// The group's `retention.maxAge`.
    pub max_age: Duration,
    /// New live facts that fit yet; `None` where the limit does not count for this event.
    pub room: Option<u64>,
}

/// What became of an accepted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new. Says whether it made a live fact where there was none.
    New {
        /// Counts against `maxLiveFacts`.
        made_fact: bool,
    },
    /// The same event with later times.
    Refreshed,
    /// The same event; nothing changed.
    Duplicate,
}

/// Why an event was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not a valid event.
    #[error(transparent)]
    Invalid(#[from] EventError),
    /// Another event has the same id.
    #[error(
        "id: {id:?} already names an event of group {group:?} with other content; the first one stays"
    )]
    Conflict {
        /// The group.
        group: String,
        /// The id.
        id: String,
    },
    /// The group is at `limits.maxLiveFacts`.
    #[error(
        "group {group:?} is full: limits.maxLiveFacts new facts are live; renewals, and retractions of what is known, are still accepted"
    )]
    GroupFull {
        /// The group.
        group: String,
    },
    /// The store failed to read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a fact of one of `types` is stored that has the observer and the name of this event.
pub fn speaks_of<T: AsRef<str>>(
    txn: &Txn<'_>,
    event: &Event,
    types: &[T],
) -> Result<bool, StoreError> {
    for r#type in types {
        if find(txn, &FactId::of_type(event, r#type.as_ref()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Accepts `event` within a transaction; `index` tells the events of one transaction apart and is
/// below [`MAX_EVENTS_PER_TXN`].
pub fn accept(
    txn: &mut Txn<'_>,
    index: usize,
    mut event: Event,
    receipt: &Receipt,
) -> Result<Outcome, Refusal> {
    debug_assert!(index < MAX_EVENTS_PER_TXN);
    event.validate()?;
    event.validate_time(receipt.now, receipt.replay_window)?;
    let key = (event.group.clone(), event.id.clone());
    let new = Place { seq: (txn.revision() << SEQ_BITS) | index as u64, receipt };
    let conflict = |(group, id)| Err(Refusal::Conflict { group, id });
    if let Some(kept) = txn.get::<EventRow>(&key)? {
        if !kept.event.has_content_of(&event) {
            return conflict(key);
        }
        return refresh(txn, kept, &event, receipt);
    }
    let Some(known) = txn.get::<IdentityRow>(&key)? else {
        event.observed_at.get_or_insert(receipt.now);
        let row = new.row(event);
        let made_fact = observe(txn, &row, receipt)?;
        order::append(txn, &row.event.group, row.seq, &row.event.id)?;
        txn.put(&row)?;
        return Ok(Outcome::New { made_fact });
    };
    if known.digest != event.content_digest() {
        return conflict(key);
    }
    // A pruned event comes back, with a place of its own, if it says that it is true again.
    let (observed_at, expires_at) = (Some(known.observed_at), known.expires_at);
    let mut kept = new.row(Event { observed_at, expires_at, ..event.clone() });
    kept.keep_until = known.keep_until;
    let seq = kept.seq;
    let outcome = refresh(txn, kept, &event, receipt)?;
    if outcome == Outcome::Refreshed {
        txn.delete::<IdentityRow>(&key)?;
        order::append(txn, &key.0, seq, &key.1)?;
    }
    Ok(outcome)
}

/// Where and how an event was received.
struct Place<'a> {
    seq: u64,
    receipt: &'a Receipt,
}

impl Place<'_> {
    fn row(&self, event: Event) -> EventRow {
        let Self { seq, receipt } = *self;
        EventRow {
            seq,
            received_at: receipt.now,
            received_from: receipt.received_from.clone(),
            verified_by: receipt.verified_by.clone(),
            keep_until: keep_until(&event, receipt.now, receipt),
            event,
        }
    }
}

/// Until when the id of an event is remembered that was received at `received_at`.
fn keep_until(event: &Event, received_at: Time, receipt: &Receipt) -> Time {
    let window = add(received_at, receipt.replay_window.saturating_mul(2));
    let longest = add(received_at, LONGEST_MEMORY);
    event.expires_at.map_or(window, |at| at.min(longest).max(window))
}

/// The same event again: each time takes the maximum.
fn refresh(
    txn: &mut Txn<'_>,
    mut row: EventRow,
    again: &Event,
    receipt: &Receipt,
) -> Result<Outcome, Refusal> {
    let observed_at = row.event.observed_at.max(again.observed_at);
    let expires_at = row.event.expires_at.max(again.expires_at);
    if observed_at == row.event.observed_at && expires_at == row.event.expires_at {
        return Ok(Outcome::Duplicate);
    }
    row.event.observed_at = observed_at;
    row.event.expires_at = expires_at;
    row.keep_until = row.keep_until.max(keep_until(&row.event, row.received_at, receipt));
    let renewed = Receipt { room: None, ..receipt.clone() };
    observe(txn, &row, &renewed)?;
    txn.put(&row)?;
    Ok(Outcome::Refreshed)
}

/// Puts the observation into its fact. Says whether the fact is live now and was not before.
fn observe(txn: &mut Txn<'_>, row: &EventRow, receipt: &Receipt) -> Result<bool, Refusal> {
    let fact = FactId::of(&row.event);
    let observed_at = row.observed_at();
    let end = end_of(observed_at, row.event.expires_at, receipt.max_age);
    let old = find(txn, &fact)?;
    let was_live = old.as_ref().is_some_and(|old| !old.is_over(receipt.max_age, receipt.now));
    let newest = old.as_ref().is_none_or(|old| {
        old.event_id == row.event.id
            || is_newer((observed_at, &row.event.id), (old.observed_at, &old.event_id))
    });
    let made = newest && end > receipt.now && !was_live;
    if made && receipt.room == Some(0) {
        return Err(Refusal::GroupFull { group: row.event.group.clone() });
    }
    let mut stretches = old.as_ref().map_or_else(Vec::new, |old| old.stretches.clone());
    melt(&mut stretches, Stretch { from: observed_at, to: end });
    let new = match &old {
        Some(old) if !newest => FactRow { stretches, ..old.clone() },
        _ => FactRow {
            fact,
            group: row.event.group.clone(),
            seq: row.seq,
            event_id: row.event.id.clone(),
            event_type: row.event.r#type.clone(),
            observed_at,
            expires_at: row.event.expires_at,
            stretches,
            // A refresh of what ended has not begun again unless it ends later.
            ended: if end <= receipt.now {
                Some(end)
            } else {
                let same = old.as_ref().filter(|old| old.event_id == row.event.id);
                same.and_then(|old| old.ended)
            },
        },
    };
    put_fact(txn, old.as_ref(), new)?;
    Ok(made)
}

#[cfg(test)]
mod tests;
