//! What stands in the effective config and where it came from; which of two proposals wins.
//!
//! Pure. Shared by the definition and the index, so that both weigh proposals by one rule.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::body;
use crate::api::accepted::Accepted;
use crate::api::kinds::redact::redact;
use crate::api::object::{ObjectKey, Resource};
use crate::api::part::Part;
use crate::api::value::Value;

/// One resource that one part proposes. Compares by who proposes it (subscription, fact, place in
/// the part), not by content.
#[derive(Debug, Clone)]
pub struct Proposal {
    part: Arc<Part>,
    index: usize,
}

impl Proposal {
    /// The proposals of a part, in the order of its resources.
    pub(super) fn all(part: &Arc<Part>) -> impl Iterator<Item = Self> + '_ {
        (0..part.resources.len()).map(|index| Self { part: Arc::clone(part), index })
    }

    /// The part that proposes.
    pub fn part(&self) -> &Arc<Part> {
        &self.part
    }

    /// The resource as the plugin wrote it.
    pub fn resource(&self) -> &Resource {
        &self.part.resources[self.index]
    }

    /// The identity that is proposed.
    pub fn key(&self) -> &ObjectKey {
        &self.resource().key
    }

    fn identity(&self) -> (&str, &[u8; 16], usize) {
        (&self.part.subscription, &self.part.fact.0, self.index)
    }

    /// The order within one subscription: what goes first wins. The newest observation, then the
    /// larger event id; the rest only makes the order total.
    fn newest_first(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.part, &other.part);
        b.event_observed_at
            .cmp(&a.event_observed_at)
            .then_with(|| b.event_id.cmp(&a.event_id))
            .then_with(|| self.identity().cmp(&other.identity()))
    }

    /// The order between the winners of different subscriptions: what goes first wins.
    fn longest_first(&self, other: &Self) -> Ordering {
        self.part.since.cmp(&other.part.since).then_with(|| self.identity().cmp(&other.identity()))
    }

    /// Subscription by subscription, each with its winner first.
    pub(super) fn contest_order(&self, other: &Self) -> Ordering {
        self.part.subscription.cmp(&other.part.subscription).then_with(|| self.newest_first(other))
    }

    /// The winner among those that are each the first of their subscription.
    pub(super) fn between<'a>(firsts: impl Iterator<Item = &'a Self>) -> Option<&'a Self> {
        firsts.min_by(|a, b| a.longest_first(b))
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Proposal {}

impl PartialOrd for Proposal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Proposal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// Where a resource of the effective config came from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// From the manifests.
    Startup(Arc<Accepted>),
    /// From a part.
    Dynamic(Proposal),
}

impl Origin {
    /// The identity.
    pub fn key(&self) -> &ObjectKey {
        &self.resource().key
    }

    /// The resource as it was written, keys and all: not for showing.
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Startup(accepted) => &accepted.resource,
            Self::Dynamic(proposal) => proposal.resource(),
        }
    }

    /// The resource as it is shown: inline keys redacted, a dynamic one with the four annotations
    /// that name its cause.
    pub fn body(&self) -> Cow<'_, Value> {
        match self {
            Self::Startup(accepted) => redact(&accepted.resource.body, accepted.key()),
            Self::Dynamic(proposal) => Cow::Owned(body::annotated(proposal)),
        }
    }

    /// The order of output: startup resources as they stand in the files, then dynamic ones by
    /// identity.
    pub(super) fn output_order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Startup(a), Self::Startup(b)) => {
                a.source.cmp(&b.source).then_with(|| a.key().cmp(b.key()))
            }
            (Self::Startup(_), Self::Dynamic(_)) => Ordering::Less,
            (Self::Dynamic(_), Self::Startup(_)) => Ordering::Greater,
            (Self::Dynamic(a), Self::Dynamic(b)) => a.key().cmp(b.key()),
        }
    }
}
