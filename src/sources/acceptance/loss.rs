//! What is gone: when it is deleted, and the hold against deleting most of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Moment, Waits};
use crate::api::object::ObjectKey;
use crate::sources::report::{Held, HoldReason};

/// The fewest objects of which more than half cannot go at once.
const MASS_OF: usize = 10;

/// The objects that are gone, each with the monotonic time at which it has waited enough; and when
/// to look again although nothing is lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    due: BTreeMap<ObjectKey, Duration>,
    look_at: Option<Duration>,
    /// Objects that another claim takes over when a vanished file has waited enough.
    taken_over: u64,
}

/// What comes of them.
#[derive(Debug)]
pub(super) struct Settled {
    pub deletes: Vec<ObjectKey>,
    pub held: Option<Held>,
    /// Since when each object of a held mass has been gone.
    pub mass: BTreeMap<ObjectKey, Duration>,
    /// Objects that are gone but wait, without being held.
    pub settling: u64,
    pub wake_after: Option<Duration>,
}

impl Losses {
    pub(super) fn add(&mut self, key: &ObjectKey, due: Duration) {
        self.due.insert(key.clone(), due);
    }

    /// Makes sure that another scan is made at `at`.
    pub(super) fn look_again(&mut self, at: Duration) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The same, because another claim takes an object over then.
    pub(super) fn take_over(&mut self, at: Duration) {
        self.look_again(at);
        self.taken_over += 1;
    }

    /// Decides, of `total` accepted objects, which go now.
    pub(super) fn settle(
        self,
        total: usize,
        before: &BTreeMap<ObjectKey, Duration>,
        at: Moment,
        waits: &Waits,
    ) -> Settled {
        let is_mass = total >= MASS_OF && self.due.len() * 2 > total;
        let mut mass = BTreeMap::new();
        let mut deletes = Vec::new();
        let mut settling = self.taken_over;
        let mut next = self.look_at;
        for (key, due) in self.due {
            let since = before.get(&key).copied().unwrap_or(at.mono);
            let due = if is_mass { due.max(since + waits.mass) } else { due };
            if due <= at.mono {
                deletes.push(key);
                continue;
            }
            next = Some(next.map_or(due, |next| next.min(due)));
            if is_mass {
                mass.insert(key, since);
            } else {
                settling += 1;
            }
        }
        let wake_after = next.map(|next| next.saturating_sub(at.mono));
        Settled { deletes, held: hold(&mass, total, at, waits), mass, settling, wake_after }
    }
}

fn hold(
    mass: &BTreeMap<ObjectKey, Duration>,
    total: usize,
    at: Moment,
    waits: &Waits,
) -> Option<Held> {
    let first = *mass.values().min()?;
    let waited = at.mono.saturating_sub(first);
    let left = waits.mass.saturating_sub(waited);
    Some(Held {
        reason: HoldReason::MassDeletion,
        path: None,
        message: format!(
            "{} of {total} objects are gone from the configuration; they stay in force until a \
             scan {}s after the first agrees",
            mass.len(),
            waits.mass.as_secs(),
        ),
        hint: "nothing need be done if this is meant; otherwise put the files back".to_owned(),
        since: at.now.saturating_sub(signed(waited)).unwrap_or(at.now),
        until: at.now.saturating_add(signed(left)).ok(),
        objects: mass.keys().cloned().collect(),
    })
}

fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}
