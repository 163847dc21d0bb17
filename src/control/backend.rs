//! What only a running daemon knows, as the API needs it.
//!
//! The daemon implements [`Live`] on its caches and controllers; a `routerctl` without a daemon
//! answers from the store alone. The types are the API's own, because the layers below do not know
//! one another.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::config_report::ConfigReport;
use super::effective::Effective;
use crate::api::Time;
use crate::api::condition::Condition;
use crate::api::part::Part;
use crate::api::run::{Failing, Work};
use crate::store::Revision;
use crate::store::events::Reception;

/// The running daemon, seen from its control socket. All but [`converge`](Live::converge) answer
/// from memory at once: they are called on the tasks of the server.
pub trait Live: Send + Sync + 'static {
    /// When the daemon started, by node time.
    fn started_at(&self) -> Time;

    /// What is true of the node as a whole and is not as usual.
    fn conditions(&self) -> Vec<Condition> {
        Vec::new()
    }

    /// What the watched config looks like.
    fn config(&self) -> ConfigReport;

    /// Whether everything that is stored was taken in.
    fn is_ready(&self) -> bool {
        true
    }

    /// The effective config of this moment.
    fn effective(&self) -> Arc<Effective>;

    /// The same to be printed: what was left out need not be in it.
    fn document(&self) -> Arc<Effective> {
        self.effective()
    }

    /// Forces a rescan, takes the store's head, and returns when all up to there is processed; with
    /// `deliveries` the outboxes too. Cancel safe: the server drops it at the timeout.
    fn converge(&self, deliveries: bool) -> BoxFuture<'_, Converged>;

    /// The revision of the effective config and its digest, as soon as it is not `after`, or the
    /// digest is not `digest`. Cancel safe: the server drops it at the timeout.
    fn revision_after(
        &self,
        after: u64,
        digest: Option<String>,
    ) -> BoxFuture<'_, EffectiveRevision>;

    /// The revision of the effective config now.
    fn revision(&self) -> EffectiveRevision;

    /// What is ready, running, debouncing or backing off now; with `deliveries` the peers too.
    fn pending(&self, deliveries: bool) -> Vec<Pending>;

    /// The daemon's part in accepting events.
    fn reception(&self) -> Arc<dyn Reception>;

    /// Figures of each group, by name.
    fn groups(&self) -> BTreeMap<String, GroupFigures>;

    /// Live facts that each subscription matches, by name.
    fn matched(&self) -> BTreeMap<String, u64>;

    /// How the listener of a group fares; `None` if it is to have none.
    fn listener(&self, _group: &str) -> Option<ListenerView> {
        None
    }

    /// What the runs of a plugin came to since the daemon started; `None` where nobody counts.
    fn runs(&self, _plugin: &str) -> Option<RunFigures> {
        None
    }

    /// What work and parts add up to; `None` where it is counted row by row.
    fn work(&self) -> Option<WorkFigures> {
        None
    }

    /// Figures of each EventPeer that is pushed to, by name; `None` where it is counted row by row.
    fn peers(&self) -> Option<BTreeMap<String, PeerFigures>> {
        None
    }

    /// Tries these peers now, whatever they failed before.
    fn try_peers(&self, _peers: &[String]) {}
}

/// What the work and the parts of one subscription add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Parts that are served.
    pub parts: u64,
    /// Parts that live out their grace.
    pub retiring: u64,
    /// Facts whose runs fail and are tried again.
    pub failing: u64,
    /// Facts that were given up.
    pub dead: u64,
    /// The newest failure that still holds.
    pub last_failure: Option<Failing>,
}

/// The same of all subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkFigures {
    /// By the subscription's name.
    pub subscriptions: BTreeMap<String, Figures>,
    /// All parts.
    pub parts: u64,
    /// All that live out their grace.
    pub retiring: u64,
}

impl WorkFigures {
    /// Counts a part in.
    pub fn count_part(&mut self, part: &Part, now: Time) {
        let own = self.of(&part.subscription);
        own.parts += u64::from(part.is_served(now));
        own.retiring += u64::from(part.retiring.is_some());
        self.parts += 1;
        self.retiring += u64::from(part.retiring.is_some());
    }

    /// Counts work in.
    pub fn count_work(&mut self, work: &Work) {
        if let Some(failing) = &work.failing {
            let own = self.of(&work.subscription);
            own.failing += u64::from(!failing.dead);
            own.dead += u64::from(failing.dead);
            if own.last_failure.as_ref().is_none_or(|last| last.last_at <= failing.last_at) {
                own.last_failure = Some(failing.clone());
            }
        }
    }

    fn of(&mut self, subscription: &str) -> &mut Figures {
        if !self.subscriptions.contains_key(subscription) {
            self.subscriptions.insert(subscription.to_owned(), Figures::default());
        }
        self.subscriptions.get_mut(subscription).expect("put in just now")
    }
}

/// Figures of one EventPeer that is pushed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerFigures {
    /// Current events that are owed.
    pub pending: u64,
    /// Current events that its present store has.
    pub delivered: u64,
    /// Current events that it refused for good.
    pub dead: u64,
    /// When the pending one that has waited longest was received.
    pub oldest: Option<Time>,
    /// When the next pending one expires.
    pub next_end: Option<Time>,
    /// When the peer was last tried.
    pub tried_at: Option<Time>,
    /// Attempts in a row that ended in trouble.
    pub failures: u32,
}

/// Where peers are heard, or are to be, and what came of it since the daemon started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerView {
    /// The address and port.
    pub address: String,
    /// Whether peers are heard there.
    pub listening: bool,
    /// CamelCase word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Since when `listening` is what it is.
    pub since: Time,
    /// Events taken in, duplicates not counted.
    pub received: u64,
    /// Events that were known already.
    pub duplicate: u64,
    /// Refused requests and events, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Members of events that were not known and had no effect.
    pub ignored_members: u64,
}

/// What the runs of one plugin came to since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFigures {
    /// Runs that ended.
    pub total: u64,
    /// The same by outcome: `Succeeded`, or the reason of the failure.
    pub outcomes: BTreeMap<String, u64>,
    /// Runs that had to be ended, or that left a process behind which had to be.
    pub killed: u64,
    /// Times that the host could not run it; no runs.
    pub host_failures: u64,
    /// How long all of them took together, in milliseconds.
    pub total_millis: u64,
    /// How long the longest took, in milliseconds.
    pub longest_millis: u64,
}

/// A revision of the effective config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRevision {
    /// Moves only when the bytes change, over restarts.
    pub revision: u64,
    /// Digest of the content.
    pub digest: String,
}

/// Figures of one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupFigures {
    /// Facts that are live now.
    pub live_facts: u64,
    /// Events that are kept.
    pub stored_events: u64,
}

/// All is processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Converged {
    /// The store's revision up to which all is processed.
    pub revision: Revision,
}

/// One thing that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Which controller has it: `subscriptions`, `outputs` …
    pub controller: String,
    /// What: the key, as people name it.
    pub key: String,
    /// CamelCase word for programs: `Ready`, `Running`, `Debouncing`, `BackingOff` …
    pub state: String,
    /// When it runs next, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// Why it is not settled, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
