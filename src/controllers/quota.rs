//! `limits.maxLiveFacts`: how many new facts a group may still be told of.
//!
//! Asked on the store's writer, which is ahead of the world in memory by what was committed and not
//! yet heard of. What those transactions made is kept here until the world has it, so that the limit
//! holds however many emit at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::Shared;
use super::intents::intend;
use crate::api::Time;
use crate::api::event::Event;
use crate::runtime::Progress;
use crate::store::events::{Reception, speaks_of};
use crate::store::{Revision, StoreError, Txn};

/// Facts that each transaction made in one group, by its revision.
type Made = BTreeMap<Revision, u64>;

/// Room for new live facts in each group.
pub struct Quota {
    shared: Arc<Shared>,
    /// How far the world has come.
    progress: Progress,
    made: Mutex<HashMap<String, Made>>,
}

impl Quota {
    /// Counts over a world that `progress` tells of.
    pub fn new(shared: Arc<Shared>, progress: Progress) -> Self {
        Self { shared, progress, made: Mutex::default() }
    }

    /// Facts of transactions before `revision` that the world does not have yet.
    fn unheard_of(&self, group: &str, revision: Revision) -> u64 {
        let heard = self.progress.revision().unwrap_or(0);
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(made) = all.get_mut(group) else { return 0 };
        // A revision that is given once more had no effect the last time.
        made.retain(|at, _| *at > heard && *at < revision);
        if made.is_empty() {
            all.remove(group);
            return 0;
        }
        made.values().sum()
    }
}

impl Reception for Quota {
    fn left(&self, txn: &Txn<'_>, event: &Event) -> Result<Option<u64>, StoreError> {
        // First what the world may not have, then the world: what arrives between the two is counted
        // twice, never missed.
        let unheard_of = self.unheard_of(&event.group, txn.revision());
        let (left, retracted) = {
            let world = self.shared.world();
            let left = world.room(event);
            (left, world.objects.matcher.retracted_by(&event.group, &event.r#type))
        };
        let Some(left) = left.map(|left| left.saturating_sub(unheard_of)) else { return Ok(None) };
        // The fact that it retracts may be one of those that the world does not have yet.
        if left == 0 && speaks_of(txn, event, &retracted)? {
            return Ok(None);
        }
        Ok(Some(left))
    }

    fn made(&self, revision: Revision, group: &str, facts: u64) {
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if facts > 0 {
            all.entry(group.to_owned()).or_default().insert(revision, facts);
        } else if let Some(made) = all.get_mut(group) {
            made.remove(&revision);
        }
    }

    fn accepted(
        &self,
        txn: &mut Txn<'_>,
        event: &(String, String),
        now: Time,
    ) -> Result<(), StoreError> {
        intend(&self.shared, txn, event, now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::controllers::fixture::{Bench, Reply, event};
    use crate::runtime::{Backoff, Reflector};
    use crate::store::events::{Outcome, Receipt, Refusal, accept};

    /// A group of three facts, over a world that hears of nothing.
    async fn behind() -> (Bench, Arc<Quota>) {
        let limits = json!({"group": {"limits": {"maxLiveFacts": 3}}});
        let bench = Bench::new(limits, |_| Reply::Exit(1)).await;
        let progress = Reflector::new("never", Backoff::default()).progress();
        let quota = Arc::new(Quota::new(Arc::clone(&bench.shared), progress));
        (bench, quota)
    }

    /// Offers an event in a transaction of its own, which fails after it if that is asked for.
    async fn offer(bench: &Bench, quota: &Arc<Quota>, event: Event, fails: bool) -> bool {
        let (quota, now) = (Arc::clone(quota), bench.now());
        let wrote = bench.store.write(move |txn| {
            let receipt = Receipt {
                now,
                received_from: "local".into(),
                verified_by: String::new(),
                replay_window: std::time::Duration::from_secs(300),
                max_age: std::time::Duration::from_secs(1000),
                room: quota.left(txn, &event)?,
            };
            let (revision, group) = (txn.revision(), event.group.clone());
            let taken = match accept(txn, 0, event, &receipt) {
                Ok(outcome) => {
                    let made = outcome == Outcome::New { made_fact: true };
                    quota.made(revision, &group, u64::from(made));
                    true
                }
                Err(Refusal::GroupFull { .. }) => false,
                Err(other) => panic!("{other}"),
            };
            if fails { Err(StoreError::Failed("as asked".into())) } else { Ok(taken) }
        });
        wrote.await.is_ok_and(|committed| committed.value)
    }

    #[tokio::test(start_paused = true)]
    async fn however_far_the_world_is_behind_the_limit_holds() {
        let (bench, quota) = behind().await;
        let mut taken = 0;
        for n in 0..10 {
            let event = event(&format!("e{n}"), "seen", &format!("s{n}"), 0);
            taken += u32::from(offer(&bench, &quota, event, false).await);
        }
        assert_eq!(taken, 3);
        // A newer observation and a retraction of what the world has not heard of need no room.
        assert!(offer(&bench, &quota, event("again", "seen", "s1", 1), false).await);
        assert!(offer(&bench, &quota, event("gone", "gone", "s1", 2), false).await);
        assert!(!offer(&bench, &quota, event("other", "gone", "s9", 2), false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_that_came_to_nothing_takes_no_room() {
        let (bench, quota) = behind().await;
        for n in 0..10 {
            let event = event(&format!("f{n}"), "seen", &format!("f{n}"), 0);
            assert!(!offer(&bench, &quota, event, true).await);
        }
        for n in 0..3 {
            let event = event(&format!("e{n}"), "seen", &format!("s{n}"), 0);
            assert!(offer(&bench, &quota, event, false).await, "{n}");
        }
    }
}
