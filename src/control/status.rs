//! `status`: the whole node on one page.

mod notices;

use serde::{Deserialize, Serialize};

use self::notices::notices;
use super::backend::{ListenerView, Pending, RunFigures};
use super::config_report::ConfigReport;
use super::error::ApiError;
use super::operations::Control;
use super::views::PeerView;
use crate::api::Time;
use crate::api::condition::{Condition, ConditionStatus};
use crate::api::kinds::{config, federation, plugin};
use crate::api::run::Failing;
use crate::store::{Health, HealthNote, Revision, Writes};

/// Things listed in `pending` at most; `pendingTotal` counts all.
const MAX_PENDING_LISTED: usize = 100;

/// The node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The node's name: that of its first EventGroup, else `routerd`.
    pub node: String,
    /// The program's version.
    pub version: String,
    /// Node time.
    pub now: Time,
    /// Whether a daemon answers; without one the store alone does.
    pub running: bool,
    /// When the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// What is true of the node as a whole and is not as usual, such as `ClockStepped`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The store.
    pub store: StoreStatus,
    /// The watched config; without a daemon, what `routerctl` finds in the files, if it is told any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigReport>,
    /// Accepted objects.
    pub objects: u64,
    /// Event groups.
    pub groups: Vec<GroupStatus>,
    /// Event peers.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// Event subscriptions.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// Plugins.
    pub plugins: Vec<PluginStatus>,
    /// Config outputs.
    #[serde(default)]
    pub outputs: Vec<OutputStatus>,
    /// Parts.
    pub parts: PartFigures,
    /// The effective config.
    pub effective: EffectiveStatus,
    /// What is not settled, at most 100 of it.
    pub pending: Vec<Pending>,
    /// How much is not settled.
    pub pending_total: u64,
    /// What an operator should look at, in plain words. Empty when all is well.
    pub notices: Vec<String>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Its identity.
    pub id: String,
    /// Its last durable revision.
    pub revision: Revision,
    /// Whether nothing needs attention.
    pub healthy: bool,
    /// Whether it takes writes.
    pub writable: bool,
    /// What needs attention.
    pub notes: Vec<String>,
    /// Whether every row was checked since the store was opened.
    pub scrubbed: bool,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// This node's name in it.
    pub node_name: String,
    /// Facts that are live now.
    pub live_facts: u64,
    /// Live facts at most.
    pub max_live_facts: u64,
    /// Events that are kept.
    pub stored_events: u64,
    /// Where peers are heard; absent if nowhere, and without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerView>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// The EventGroup.
    pub group: String,
    /// Which way events go.
    pub direction: federation::Direction,
    /// Whether it takes what is owed to it; absent where nothing is pushed, and before it was
    /// spoken to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivering: Option<bool>,
    /// Why not: a word for programs.
    pub reason: String,
    /// Why not: a sentence for people.
    pub message: String,
    /// Current events that are owed.
    pub pending: u64,
    /// Current events that it refused for good.
    pub dead: u64,
}

/// A subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionStatus {
    /// Its name.
    pub name: String,
    /// The EventGroup.
    pub group: String,
    /// The Plugin.
    pub plugin: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Live facts that it matches; absent without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// Its parts that are served.
    pub parts: u64,
    /// Its parts that lost their reason.
    pub retiring: u64,
    /// Facts whose runs fail and are tried again.
    pub failing: u64,
    /// Facts that were given up.
    pub dead_lettered: u64,
    /// The newest failure of a fact that still fails or was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureStatus>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// When.
    pub at: Time,
    /// The number of the run, for `get runs`.
    pub run: u64,
    /// Attempts of this fact alone that failed.
    pub attempts: u32,
    /// CamelCase word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The end of what the plugin wrote to stderr.
    pub stderr: String,
}

impl From<Failing> for FailureStatus {
    fn from(failing: Failing) -> Self {
        let Failing { last_at: at, run, attempts, reason, message, stderr, .. } = failing;
        Self { at, run, attempts, reason, message, stderr }
    }
}

impl std::fmt::Display for FailureStatus {
    /// The reason, and the last thing that the plugin said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {}: {}: {}", self.run, self.reason, self.message)?;
        match self.stderr.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => write!(f, "; stderr: {line}"),
            None => Ok(()),
        }
    }
}

/// A plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its executable.
    pub executable: String,
    /// Whether it can be run; absent while nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// CamelCase word for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What its runs came to since the daemon started; absent without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<RunFigures>,
}

/// Parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartFigures {
    /// All that are stored.
    pub total: u64,
    /// Those of which something is in force.
    pub effective: u64,
    /// Those that lost their reason and live out their grace.
    pub retiring: u64,
}

/// The effective config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveStatus {
    /// Moves only when the bytes change; absent without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Digest of the content.
    pub digest: String,
    /// Proposals that are not in force; `render --report` lists them.
    pub left_out: u64,
}

impl StoreStatus {
    fn of(id: uuid::Uuid, revision: Revision, health: &Health) -> Self {
        let mut notes: Vec<String> = health.notes.iter().map(note).collect();
        match &health.writes {
            Writes::Ok => {}
            Writes::DiskFull { available, reserve } => notes.push(format!(
                "disk full: {available} bytes free, writes need {reserve} in reserve"
            )),
            Writes::Failed(why) => notes.push(format!("writing failed: {why}; restart routerd")),
        }
        if health.notes_dropped > 0 {
            notes.push(format!("{} more notes", health.notes_dropped));
        }
        Self {
            id: id.to_string(),
            revision,
            healthy: health.is_ok(),
            writable: health.writes == Writes::Ok,
            notes,
            scrubbed: health.scrub_done,
        }
    }
}

fn note(note: &HealthNote) -> String {
    match note {
        HealthNote::Quarantined { path, why } => {
            format!("a database lies in quarantine at {}: {why}", path.display())
        }
        HealthNote::Damaged(why) => format!("stored rows are damaged: {why}"),
        HealthNote::Defect(what) => what.clone(),
    }
}

/// One ConfigOutput.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputStatus {
    /// Its name.
    pub name: String,
    /// The file.
    pub path: String,
    /// Whether the file, and its hook, are up to date; absent until it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<bool>,
    /// A CamelCase word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Control {
    /// The node on one page.
    pub fn status(&self) -> Result<StatusView, ApiError> {
        self.status_with(self.live().map(|live| live.config()))
    }

    /// The same with what somebody else knows of the config: nobody watches it without a daemon.
    pub fn status_with(&self, config: Option<ConfigReport>) -> Result<StatusView, ApiError> {
        let reader = self.reader();
        let live = self.live();
        let effective = self.effective_so_far()?;
        let pending = live.map(|live| live.pending(false)).unwrap_or_default();
        let store = StoreStatus::of(reader.store().id(), reader.store().head(), &reader.health());
        let (subscriptions, parts) = self.subscription_figures(effective.parts())?;
        let groups = self.group_figures()?;
        let plugins = self.plugin_figures()?;
        let mut status = StatusView {
            node: groups.first().map_or("routerd", |group| &group.node_name).to_owned(),
            version: super::VERSION.to_owned(),
            now: reader.now(),
            running: live.is_some(),
            started_at: live.map(|live| live.started_at()),
            conditions: live.map(|live| live.conditions()).unwrap_or_default(),
            store,
            config,
            objects: reader.count_objects()?,
            groups,
            peers: self.peers()?.into_iter().map(PeerStatus::from).collect(),
            subscriptions,
            plugins,
            outputs: self.output_figures()?,
            parts,
            effective: EffectiveStatus {
                revision: effective.revision,
                digest: effective.digest.clone(),
                left_out: effective.config.report.left_out.len() as u64,
            },
            pending_total: pending.len() as u64,
            pending: pending.into_iter().take(MAX_PENDING_LISTED).collect(),
            notices: Vec::new(),
        };
        status.notices = notices(&status);
        Ok(status)
    }

    fn group_figures(&self) -> Result<Vec<GroupStatus>, ApiError> {
        let known = self.live().map(|live| live.groups());
        let groups = self.reader().typed::<federation::EventGroupSpec>("EventGroup")?;
        groups
            .into_iter()
            .map(|(name, spec)| {
                let figures = match &known {
                    Some(known) => known.get(&name).copied().unwrap_or_default(),
                    None => self.reader().count_group(&name, spec.retention.max_age.get())?,
                };
                Ok(GroupStatus {
                    listener: self.live().and_then(|live| live.listener(&name)),
                    name,
                    node_name: spec.node_name,
                    live_facts: figures.live_facts,
                    max_live_facts: spec.limits.max_live_facts,
                    stored_events: figures.stored_events,
                })
            })
            .collect()
    }

    fn subscription_figures(
        &self,
        effective: u64,
    ) -> Result<(Vec<SubscriptionStatus>, PartFigures), ApiError> {
        let reader = self.reader();
        let matched = self.live().map(|live| live.matched());
        // Row by row it is tens of milliseconds at ten thousand parts: too much for a status that
        // is asked for again and again.
        let work = match self.live().and_then(|live| live.work()) {
            Some(counted) => counted,
            None => reader.work_figures()?,
        };
        let subscriptions = reader
            .typed::<federation::EventSubscriptionSpec>("EventSubscription")?
            .into_iter()
            .map(|(name, spec)| {
                let own = work.subscriptions.get(&name).cloned().unwrap_or_default();
                SubscriptionStatus {
                    group: spec.group_ref,
                    plugin: spec.trigger.plugin_ref,
                    suspended: spec.suspend,
                    matched: matched.as_ref().map(|m| m.get(&name).copied().unwrap_or(0)),
                    parts: own.parts,
                    retiring: own.retiring,
                    failing: own.failing,
                    dead_lettered: own.dead,
                    last_failure: own.last_failure.map(FailureStatus::from),
                    name,
                }
            })
            .collect();
        let parts = PartFigures { total: work.parts, effective, retiring: work.retiring };
        Ok((subscriptions, parts))
    }

    fn output_figures(&self) -> Result<Vec<OutputStatus>, ApiError> {
        let reader = self.reader();
        reader
            .typed::<config::ConfigOutputSpec>("ConfigOutput")?
            .into_iter()
            .map(|(name, spec)| {
                let conditions = reader.conditions(&super::kinds::key("ConfigOutput", &name))?;
                let applied = conditions.into_iter().find(|c| c.r#type == "Applied");
                let is_true = |c: &Condition| c.status == ConditionStatus::True;
                Ok(OutputStatus {
                    name,
                    path: spec.path,
                    applied: applied.as_ref().map(is_true),
                    reason: applied.as_ref().map_or_else(String::new, |c| c.reason.clone()),
                    message: applied.map_or_else(String::new, |c| c.message),
                })
            })
            .collect()
    }

    fn plugin_figures(&self) -> Result<Vec<PluginStatus>, ApiError> {
        let reader = self.reader();
        reader
            .typed::<plugin::PluginSpec>("Plugin")?
            .into_iter()
            .map(|(name, spec)| {
                let conditions = reader.conditions(&super::kinds::key("Plugin", &name))?;
                let ready = conditions.into_iter().find(|c| c.r#type == "PluginReady");
                let (ready, reason, message) = match ready {
                    Some(Condition {
                        status: ConditionStatus::Unknown, reason, message, ..
                    }) => (None, reason, message),
                    Some(c) => (Some(c.status == ConditionStatus::True), c.reason, c.message),
                    None => (None, String::new(), String::new()),
                };
                let runs = self.live().and_then(|live| live.runs(&name));
                Ok(PluginStatus { name, executable: spec.executable, ready, reason, message, runs })
            })
            .collect()
    }
}

impl From<PeerView> for PeerStatus {
    fn from(peer: PeerView) -> Self {
        let PeerView { name, group, direction, delivering, reason, message, .. } = peer;
        let (pending, dead) = (peer.pending, peer.dead);
        Self { name, group, direction, delivering, reason, message, pending, dead }
    }
}

/// `1 fact`, `2 facts`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
