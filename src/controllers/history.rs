//! History: prunes events that are neither young nor current, one reconcile for each group.
//!
//! It walks the events in the order of receipt with a cursor, so an event is looked at once. What
//! it passes over because it is current comes back when something newer took its place or when its
//! fact has ended. Ids outlive their events, so that a repeated event is known for what it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Shared;
use super::planner::record_end;
use super::world::World;
use crate::api::Time;
use crate::api::fact::{FactId, add, end_of};
use crate::api::kinds::federation::Retention;
use crate::runtime::{Action, Failure, Reconciler};
use crate::store::facts::{delete_fact, find};
use crate::store::tables::{EventRow, IdentityRow, LingeringId};
use crate::store::{Record, Scan, StoreError, WriteError, order};

/// Events looked at in one reconcile, so that pruning a long history leaves room for others.
const SLICE: usize = 512;

/// Prunes.
pub struct Historian {
    shared: Arc<Shared>,
    walks: Mutex<HashMap<Arc<str>, Walk>>,
}

/// How far one group's history was walked.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    /// The listing that it began after.
    epoch: u64,
    cursor: u64,
}

/// Why pruning stopped; it goes on later.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store could not be read.
    #[error("cannot read the history")]
    Read(#[from] StoreError),
    /// The store did not take the write.
    #[error("cannot prune the history")]
    Write(#[from] WriteError<StoreError>),
}

/// What to prune, decided from one slice.
#[derive(Debug, Default)]
struct Slice {
    prune: Vec<EventRow>,
    /// Where the walk has come to.
    cursor: u64,
    /// There is more to look at now.
    more: bool,
    /// When the next event comes of age.
    due: Option<Time>,
}

impl Historian {
    /// A historian.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, walks: Mutex::default() }
    }

    /// Events kept of a group.
    pub fn stored(&self, group: &str) -> Result<u64, StoreError> {
        order::count(&self.shared.store, group)
    }

    fn walk(&self, group: &Arc<str>) -> Walk {
        let epoch = self.shared.world().history.epoch;
        let known = self.walks.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied();
        known.filter(|walk| walk.epoch == epoch).unwrap_or(Walk { epoch, cursor: 0 })
    }

    /// Looks at these events, which were passed over and are current no more, and at the next ones.
    fn slice(
        &self,
        group: &str,
        superseded: &mut Superseded<'_>,
        walk: &Walk,
        retention: &Retention,
        now: Time,
    ) -> Result<Slice, StoreError> {
        let mut surplus = self.stored(group)?.saturating_sub(retention.max_events);
        let mut slice = Slice { cursor: walk.cursor, ..Slice::default() };
        let max_age = retention.max_age.get();
        while let Some(seq) = superseded.next() {
            if superseded.taken.len() > SLICE {
                superseded.put_back_last();
                slice.more = true;
                break;
            }
            let Some(id) = order::at(&self.shared.store, group, seq)? else { continue };
            let Some(row) = self.event(group, seq, &id)? else { continue };
            let of_age = add(row.received_at, max_age);
            if surplus == 0 && of_age > now {
                // Young history, and so is what was received after it, but for a clock that was set
                // back since: that waits with it, or for `maxEvents`.
                slice.due = slice.due.into_iter().chain([of_age]).min();
                superseded.put_back_last();
                break;
            }
            // A refresh may have made it current again.
            if !self.is_needed(&row, max_age, now)? {
                surplus = surplus.saturating_sub(1);
                slice.prune.push(row);
            }
        }
        for (looked, event) in order::after(&self.shared.store, group, walk.cursor)?.enumerate() {
            let (seq, id) = event?;
            if looked >= SLICE {
                slice.more = true;
                break;
            }
            let Some(row) = self.event(group, seq, &id)? else {
                slice.cursor = seq;
                continue;
            };
            let of_age = add(row.received_at, max_age);
            if surplus == 0 && of_age > now {
                slice.due = slice.due.into_iter().chain([of_age]).min();
                break;
            }
            slice.cursor = row.seq;
            if !self.is_needed(&row, max_age, now)? {
                surplus = surplus.saturating_sub(1);
                slice.prune.push(row);
            }
        }
        Ok(slice)
    }

    /// The event that has this place.
    fn event(&self, group: &str, seq: u64, id: &str) -> Result<Option<EventRow>, StoreError> {
        let row = self.shared.store.get::<EventRow>(&(group.to_owned(), id.to_owned()))?;
        Ok(row.filter(|row| row.seq == seq))
    }

    /// Whether the event is current state and not history: the newest of its fact, while the fact
    /// lives or still has a say (a part that retires, a retraction that holds something back).
    fn is_needed(&self, row: &EventRow, max_age: Duration, now: Time) -> Result<bool, StoreError> {
        let id = FactId::of(&row.event);
        let current = find(&self.shared.store, &id)?;
        let Some(current) = current.filter(|fact| fact.seq == row.seq) else { return Ok(false) };
        // By what is stored: the world may not have taken in the newest yet.
        if end_of(current.observed_at, current.expires_at, max_age) > now {
            return Ok(true);
        }
        let world = self.shared.world();
        Ok(world.has_part(&id) || retracts(&world, &id, max_age, now))
    }

    /// Takes events away. Their ids linger for as long as they are to be remembered.
    async fn prune(&self, group: &str, rows: Vec<EventRow>, now: Time) -> Result<(), HistoryError> {
        let name = group.to_owned();
        let pruned = self.shared.store.write(move |txn| {
            let mut pruned = Vec::with_capacity(rows.len());
            for row in rows {
                // Refreshed since it was looked at: it may be current again.
                if txn.get::<EventRow>(&row.key())?.as_ref() != Some(&row) {
                    continue;
                }
                let id = FactId::of(&row.event);
                if find(txn, &id)?.is_some_and(|fact| fact.seq == row.seq) {
                    delete_fact(txn, &id)?;
                }
                if row.keep_until > now {
                    let (group, until) = (name.clone(), row.keep_until);
                    txn.put(&IdentityRow::of(&row))?;
                    txn.put(&LingeringId { group, until, id: row.event.id.clone() })?;
                }
                txn.delete::<EventRow>(&row.key())?;
                pruned.push(row.seq);
            }
            order::remove(txn, &name, &pruned)?;
            Ok::<_, StoreError>(pruned)
        });
        let pruned = pruned.await?.value;
        self.shared.world_mut().history.pruned(group, &pruned);
        Ok(())
    }

    /// Forgets ids whose time is over. Returns when that of the next one is; now if there may be
    /// more of them.
    async fn forget_ids(&self, group: &str, now: Time) -> Result<Option<Time>, HistoryError> {
        let mut over = Vec::new();
        let mut next = None;
        for row in self.shared.store.scan::<LingeringId>(&Scan::prefix(&group.to_owned())) {
            let row = row?;
            if row.until > now || over.len() == SLICE {
                next = Some(row.until.max(now));
                break;
            }
            over.push(row);
        }
        if !over.is_empty() {
            let forgotten = self.shared.store.write(move |txn| {
                for row in &over {
                    let key = (row.group.clone(), row.id.clone());
                    // The event may have come again and been pruned again: then it lingers longer.
                    if let Some(identity) = txn.get::<IdentityRow>(&key)?
                        && identity.keep_until <= now
                    {
                        txn.delete::<IdentityRow>(&key)?;
                    }
                    txn.delete::<LingeringId>(&row.key())?;
                }
                Ok::<_, StoreError>(())
            });
            forgotten.await?;
        }
        Ok(next)
    }

    /// Puts the ends that have passed on record, so that no clock revives what ended. Returns
    /// whether there may be more.
    async fn record_ends(
        &self,
        group: &str,
        max_age: Duration,
        now: Time,
    ) -> Result<bool, HistoryError> {
        let ended: Vec<(FactId, u64, Time)> = {
            let world = self.shared.world();
            let ids = world.facts.ended(group, now).take(SLICE);
            let facts = ids.filter_map(|(_, id)| world.facts.get(&id));
            facts.map(|fact| (fact.id, fact.seq, fact.end(max_age))).collect()
        };
        let more = ended.len() == SLICE;
        if !ended.is_empty() {
            let recorded = self.shared.store.write(move |txn| {
                ended.iter().try_for_each(|(id, seq, end)| record_end(txn, id, *seq, *end))
            });
            recorded.await?;
        }
        Ok(more)
    }
}

/// Events that are current no more, taken one by one to be looked at, so that the many that are too
/// young cost nothing. What was taken goes back if the look does not come to its end.
struct Superseded<'a> {
    shared: &'a Shared,
    group: &'a str,
    /// How far the walk has come: what lies after it is still to be passed over.
    up_to: u64,
    taken: Vec<u64>,
}

impl<'a> Superseded<'a> {
    fn new(shared: &'a Shared, group: &'a str, up_to: u64) -> Self {
        Self { shared, group, up_to, taken: Vec::new() }
    }

    /// The place of the next one, taken before it is looked at: if it is superseded anew meanwhile,
    /// that stays known.
    fn next(&mut self) -> Option<u64> {
        let seq = self.shared.world_mut().history.take_superseded(self.group, self.up_to)?;
        self.taken.push(seq);
        Some(seq)
    }

    fn put_back_last(&mut self) {
        let last = self.taken.len().saturating_sub(1);
        self.put_back_from(last);
    }

    /// What was taken is dealt with.
    fn settle(mut self) {
        self.taken.clear();
    }

    fn put_back_from(&mut self, at: usize) {
        let mut world = self.shared.world_mut();
        self.taken.drain(at..).for_each(|seq| world.history.superseded(self.group, seq));
    }
}

impl Drop for Superseded<'_> {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            self.put_back_from(0);
        }
    }
}

/// Whether the fact's event holds back a sibling that would otherwise be live.
fn retracts(world: &World, id: &FactId, max_age: Duration, now: Time) -> bool {
    let Some(fact) = world.facts.get(id) else { return false };
    world.objects.matcher.retracting(&fact.event.group, &fact.event.r#type).next().is_some()
        && world
            .facts
            .siblings(fact)
            .any(|other| other.observed_at <= fact.observed_at && other.end(max_age) > now)
}

impl Reconciler for Historian {
    type Key = Arc<str>;
    type Error = HistoryError;

    async fn reconcile(&self, group: &Arc<str>) -> Result<Action, HistoryError> {
        let now = self.shared.clock.now();
        // Without its group a history is left alone: the group may come back.
        let Some(retention) =
            self.shared.world().objects.group(group).map(|g| g.spec.retention.clone())
        else {
            return Ok(Action::AwaitChange);
        };
        let max_age = retention.max_age.get();
        let mut walk = self.walk(group);
        let more_ends = self.record_ends(group, max_age, now).await?;
        let mut superseded = Superseded::new(&self.shared, group, walk.cursor);
        let slice = self.slice(group, &mut superseded, &walk, &retention, now)?;
        if !slice.prune.is_empty() {
            self.prune(group, slice.prune, now).await?;
        }
        superseded.settle();
        walk.cursor = slice.cursor;
        let next_id = self.forget_ids(group, now).await?;
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(group), walk);
        if slice.more || more_ends {
            return Ok(Action::RequeueAfter(Duration::from_millis(1)));
        }
        let next_end = self.shared.world().facts.next_end(group, now);
        let due = [slice.due, next_id, next_end].into_iter().flatten().min();
        Ok(due.map_or(Action::AwaitChange, |due| {
            let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
            Action::RequeueAfter(wait)
        }))
    }

    fn classify(&self, _: &HistoryError) -> Failure {
        Failure::Retry
    }
}

#[cfg(test)]
mod tests;
