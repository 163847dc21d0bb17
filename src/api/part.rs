//! `DynamicConfigPart`: the validated result of one plugin run for one fact.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Time;
use super::fact::FactId;
use super::object::{ObjectKey, Resource};
use super::stored_time;
use super::value::Value;

/// What one subscription makes of one fact. Stored whole; what a reader sees is made from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The EventSubscription's name; with `fact` it is the part's identity.
    pub subscription: String,
    /// The fact that the part was made from.
    pub fact: FactId,
    /// The subscription's uid when the content was made.
    pub subscription_uid: String,
    /// UUIDv7 of this part, new when one is made after a collection.
    pub uid: String,
    /// The event's group.
    pub group: String,
    /// The event whose run made the content.
    pub event_id: String,
    /// That event's subject.
    pub subject: String,
    /// That event's observer.
    pub source_node: String,
    /// That event's type.
    pub event_type: String,
    /// When that event was observed; decides within a subscription.
    #[serde(with = "stored_time")]
    pub event_observed_at: Time,
    /// Since when the fact has been live; decides between subscriptions.
    #[serde(with = "stored_time")]
    pub since: Time,
    /// The plugin that made the content.
    pub plugin: String,
    /// The key of the run that made it.
    pub run_key: String,
    /// Counts changes of the content.
    pub generation: u64,
    /// When the part was first made.
    #[serde(with = "stored_time")]
    pub created_at: Time,
    /// When the plugin observed what it answered.
    #[serde(with = "stored_time")]
    pub observed_at: Time,
    /// `observedAt` + ttl, whatever the fact does.
    #[serde(with = "stored_time")]
    pub result_expires_at: Time,
    /// When the part ends if nothing else happens: the result's own end, or the fact's plus the
    /// grace where that comes first.
    #[serde(with = "stored_time")]
    pub expires_at: Time,
    /// `retire.grace` as last stored, in force also when the subscription is gone.
    pub grace: Duration,
    /// Set once when the part lost its reason.
    pub retiring: Option<Retiring>,
    /// Digest of the content.
    pub digest: String,
    /// Proposed resources, as the plugin wrote them.
    pub resources: Vec<Resource>,
    /// Proposed directives.
    pub directives: Vec<Directive>,
    /// Proposed provider actions: stored and shown, never executed.
    pub action_plans: Vec<Value>,
}

/// Why and since when a part is on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retiring {
    /// The moment the part lost its reason.
    #[serde(with = "stored_time")]
    pub since: Time,
    /// What took it.
    pub reason: RetireReason,
}

/// What a part loses its reason by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetireReason {
    /// The fact's time ran out.
    FactExpired,
    /// A retraction named it.
    FactRetracted,
    /// The fact stopped matching the subscription.
    NoLongerMatches,
    /// The subscription was deleted.
    SubscriptionDeleted,
    /// The subscription's plugin was deleted.
    PluginDeleted,
    /// The subscription's group was deleted.
    GroupDeleted,
    /// The plugin's manifest was changed, and does not allow what the plugin proposes for the fact.
    NoLongerAllowed,
}

impl RetireReason {
    /// The CamelCase word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FactExpired => "FactExpired",
            Self::FactRetracted => "FactRetracted",
            Self::NoLongerMatches => "NoLongerMatches",
            Self::NoLongerAllowed => "NoLongerAllowed",
            Self::SubscriptionDeleted => "SubscriptionDeleted",
            Self::PluginDeleted => "PluginDeleted",
            Self::GroupDeleted => "GroupDeleted",
        }
    }
}

/// A request to leave a startup resource out of the effective config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Directive {
    /// What to do; `mask` is the only one.
    pub op: DirectiveOp,
    /// The startup resource.
    pub target: ObjectKey,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a directive does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DirectiveOp {
    /// Leaves the target out.
    Mask,
}

impl Part {
    /// `<subscription>-<first 16 hex of the fact key's digest>`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.subscription, self.fact.short())
    }

    /// `EventSubscription/<name>`.
    pub fn source(&self) -> String {
        format!("EventSubscription/{}", self.subscription)
    }

    /// Whether the part may be served at `now`, by node time.
    pub fn is_served(&self, now: Time) -> bool {
        now < self.expires_at
    }
}
