//! Why a resource is, or is not, in the effective config: the chain of its causes.
//!
//! Pure; reads an [`Effective`] only.

use serde::Serialize;

use super::effective::Effective;
use super::proposal::Origin;
use super::report::{LeftOut, Masked, StartupProblem};
use crate::api::Time;
use crate::api::accepted::SourceRef;
use crate::api::object::ObjectKey;

/// Everything that is known about one identity. More than one of the fields is set where, say, a
/// part proposes what the manifests have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The identity.
    pub object: ObjectKey,
    /// What put it into the effective config; absent if it is not in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What masks the startup resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<Masked>,
    /// Proposals and directives about it that are not in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What is wrong with the startup resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<StartupProblem>,
}

/// What put a resource in, from the nearest cause to the farthest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", rename_all = "camelCase")]
pub enum Cause {
    /// The manifests.
    #[serde(rename_all = "camelCase")]
    Startup {
        /// File, document, line and column.
        source: SourceRef,
        /// The object's uid.
        uid: String,
        /// Its generation.
        generation: u64,
        /// When this version was accepted.
        accepted_at: Time,
    },
    /// A part.
    #[serde(rename_all = "camelCase")]
    Dynamic {
        /// The DynamicConfigPart.
        part: String,
        /// Its generation.
        generation: u64,
        /// The EventSubscription that the part belongs to.
        subscription: String,
        /// The Plugin that made it.
        plugin: String,
        /// The run that made it.
        run_key: String,
        /// The event's group.
        group: String,
        /// The event that the run was about.
        event_id: String,
        /// Its type.
        event_type: String,
        /// Its subject.
        subject: String,
        /// Who observed it.
        source_node: String,
        /// When it was observed.
        event_observed_at: Time,
        /// Since when the fact has been live.
        since: Time,
        /// When the part ends if nothing renews it.
        expires_at: Time,
    },
}

impl Cause {
    fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Startup(accepted) => Self::Startup {
                source: accepted.source.clone(),
                uid: accepted.uid.clone(),
                generation: accepted.generation,
                accepted_at: accepted.accepted_at,
            },
            Origin::Dynamic(proposal) => {
                let part = proposal.part();
                Self::Dynamic {
                    part: part.name(),
                    generation: part.generation,
                    subscription: part.subscription.clone(),
                    plugin: part.plugin.clone(),
                    run_key: part.run_key.clone(),
                    group: part.group.clone(),
                    event_id: part.event_id.clone(),
                    event_type: part.event_type.clone(),
                    subject: part.subject.clone(),
                    source_node: part.source_node.clone(),
                    event_observed_at: part.event_observed_at,
                    since: part.since,
                    expires_at: part.expires_at,
                }
            }
        }
    }
}

/// What `effective` knows about `key`; `None` if nothing speaks of it.
pub fn explain(effective: &Effective, key: &ObjectKey) -> Option<Explanation> {
    let report = &effective.report;
    let of = |object: &ObjectKey| object == key;
    let explanation = Explanation {
        object: key.clone(),
        cause: effective.resources.iter().find(|origin| of(origin.key())).map(Cause::of),
        masked: report.masked.iter().find(|masked| of(&masked.object)).cloned(),
        left_out: report.left_out.iter().filter(|l| of(&l.object)).cloned().collect(),
        problems: report.startup_problems.iter().filter(|p| of(&p.object)).cloned().collect(),
    };
    let known = explanation.cause.is_some()
        || explanation.masked.is_some()
        || !explanation.left_out.is_empty();
    known.then_some(explanation)
}
