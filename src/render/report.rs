//! What is said about everything that did not get its way: one wording for `status`, conditions
//! and `render --report`.
//!
//! Plain data and pure constructors. The JSON is camelCase and stable; tables are the printers'.

use std::sync::Arc;

use serde::Serialize;

use super::proposal::{Origin, Proposal};
use super::rules::Unsound;
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::object::ObjectKey;
use crate::api::part::{Directive, DirectiveOp, Part};
use crate::api::value::{Map, Value, canonical_bytes};

/// Why something proposed is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Reason {
    /// No DynamicOverridePolicy lets the source mask the target.
    MaskNotAllowed,
    /// There is no such startup resource.
    MaskTargetMissing,
    /// The target steers the program itself.
    MaskTargetControl,
    /// The Kind steers the program itself and is never proposed.
    ControlKind,
    /// A startup resource has the identity.
    StartupWins,
    /// A hard reference names nothing.
    Unresolved,
    /// The claimed address is not in its domain.
    OutsideDomain,
    /// Another proposal of the identity wins.
    Conflicted,
    /// Another claim has the address.
    AddressConflict,
    /// Another Router has the member of `spec`.
    MemberConflict,
    /// The part is past its end.
    Expired,
}

impl Reason {
    /// The CamelCase word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaskNotAllowed => "MaskNotAllowed",
            Self::MaskTargetMissing => "MaskTargetMissing",
            Self::MaskTargetControl => "MaskTargetControl",
            Self::ControlKind => "ControlKind",
            Self::StartupWins => "StartupWins",
            Self::Unresolved => "Unresolved",
            Self::OutsideDomain => "OutsideDomain",
            Self::Conflicted => "Conflicted",
            Self::AddressConflict => "AddressConflict",
            Self::MemberConflict => "MemberConflict",
            Self::Expired => "Expired",
        }
    }
}

/// One proposed resource or directive that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The proposed resource, or the target of the directive.
    pub object: ObjectKey,
    /// Set for a directive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directive: Option<DirectiveOp>,
    /// The part that proposes it.
    pub part: String,
    /// The part's subscription.
    pub subscription: String,
    /// The event behind the part.
    pub event_id: String,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people: names the winner, or the field and what it lacks.
    pub message: String,
    /// The earliest moment at which what decides now had all appeared: the part, and the winner
    /// where there is one. The condition on the part knows when it last flipped.
    pub since: Time,
}

/// A startup resource that a directive took out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Masked {
    /// The startup resource.
    pub object: ObjectKey,
    /// Where it stands.
    pub source: SourceRef,
    /// Every directive that masks it, by part.
    pub by: Vec<MaskedBy>,
    /// The earliest moment at which the resource, a directive and the policy that allows it were all
    /// there; of the policy, the version in force counts.
    pub since: Time,
}

/// One directive that masks a startup resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaskedBy {
    /// The part.
    pub part: String,
    /// The part's subscription.
    pub subscription: String,
    /// The event behind the part.
    pub event_id: String,
    /// The DynamicOverridePolicy that allows it, the first by name.
    pub policy: String,
    /// What the plugin gave as its reason.
    pub reason: String,
}

/// Something wrong with a startup resource. It stays in the effective config all the same: it is
/// the operator's, and the condition on it says what to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StartupProblem {
    /// The startup resource.
    pub object: ObjectKey,
    /// Where it stands.
    pub source: SourceRef,
    /// `Unresolved`, `OutsideDomain`, `AddressConflict` or `MemberConflict`.
    pub reason: Reason,
    /// Names the field and what it lacks, or the other claim.
    pub message: String,
    /// When the version in force was accepted.
    pub since: Time,
}

/// All of the above, in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What parts proposed in vain; by object, then part.
    pub left_out: Vec<LeftOut>,
    /// Startup resources that are masked; in the order of the files.
    pub masked: Vec<Masked>,
    /// What is wrong with startup resources; in the order of the files.
    pub startup_problems: Vec<StartupProblem>,
}

impl Report {
    /// Puts the left out in their order. Stable, so that the items of one part keep theirs.
    pub(super) fn sort(&mut self) {
        self.left_out.sort_by(|a, b| {
            let key = |l: &LeftOut| (l.directive.is_some(), l.reason);
            (&a.object, &a.part).cmp(&(&b.object, &b.part)).then_with(|| key(a).cmp(&key(b)))
        });
    }
}

fn left_out(part: &Part, object: &ObjectKey, (reason, message): Unsound, since: Time) -> LeftOut {
    LeftOut {
        object: object.clone(),
        directive: None,
        part: part.name(),
        subscription: part.subscription.clone(),
        event_id: part.event_id.clone(),
        reason,
        message,
        since: since.max(part.created_at),
    }
}

/// A resource that cannot stand by itself.
pub(super) fn unsound(proposal: &Proposal, why: Unsound) -> LeftOut {
    let part = proposal.part();
    left_out(part, proposal.key(), why, part.created_at)
}

/// A resource of a Kind that no plugin may propose.
pub(super) fn control_kind(proposal: &Proposal) -> LeftOut {
    let kind = &proposal.key().kind;
    unsound(proposal, (Reason::ControlKind, format!("{kind} is a Kind that no part may propose")))
}

/// A resource whose identity a startup resource has.
pub(super) fn startup_wins(proposal: &Proposal, startup: &Accepted) -> LeftOut {
    let message = format!("the manifests have {} at {}", startup.key(), startup.source);
    let why = (Reason::StartupWins, message);
    left_out(proposal.part(), proposal.key(), why, startup.created_at)
}

/// A resource whose identity another proposal has.
pub(super) fn conflicted(proposal: &Proposal, winner: &Proposal) -> LeftOut {
    let message = format!("{} wins: {}", named(winner), why_it_wins(proposal, winner));
    let why = (Reason::Conflicted, message);
    left_out(proposal.part(), proposal.key(), why, winner.part().created_at)
}

/// A claim whose address another claim has.
pub(super) fn address_conflict(proposal: &Proposal, winner: &Origin) -> LeftOut {
    let written = super::refs::claimed_text(proposal.resource()).unwrap_or_default();
    let (message, since) = match winner {
        Origin::Startup(claim) => (
            format!("{written} is claimed in the manifests by {} at {}", claim.key(), claim.source),
            claim.created_at,
        ),
        Origin::Dynamic(claim) => (
            format!(
                "{written} is claimed by {} of {}, which wins: {}",
                claim.key(),
                named(claim),
                why_it_wins(proposal, claim)
            ),
            claim.part().created_at,
        ),
    };
    left_out(proposal.part(), proposal.key(), (Reason::AddressConflict, message), since)
}

fn named(winner: &Proposal) -> String {
    format!("DynamicConfigPart/{}", winner.part().name())
}

fn why_it_wins(loser: &Proposal, winner: &Proposal) -> String {
    let (lost, won) = (loser.part(), winner.part());
    if Arc::ptr_eq(lost, won) {
        "it comes first in the same part".to_owned()
    } else if lost.subscription == won.subscription {
        format!("its observation of {} is the subscription's newest", won.event_observed_at)
    } else {
        format!("its fact has been live the longest, since {}", won.since)
    }
}

/// A directive that has no effect.
pub(super) fn mask_ignored(part: &Part, directive: &Directive, reason: Reason) -> LeftOut {
    let (target, source) = (&directive.target, part.source());
    let message = match reason {
        Reason::MaskTargetControl => format!("{} is a Kind that nothing may mask", target.kind),
        Reason::MaskTargetMissing => format!("the manifests have no {target}"),
        _ => format!("no DynamicOverridePolicy allows {source} to mask {target}"),
    };
    let why = (reason, message);
    LeftOut { directive: Some(directive.op), ..left_out(part, target, why, part.created_at) }
}

/// Everything that a part past its end proposes.
pub(super) fn expired(part: &Part) -> impl Iterator<Item = LeftOut> + '_ {
    let item = |object: &ObjectKey, directive| LeftOut {
        directive,
        since: part.expires_at,
        ..left_out(
            part,
            object,
            (Reason::Expired, format!("the part ended at {}", part.expires_at)),
            part.expires_at,
        )
    };
    let resources = part.resources.iter().map(move |r| item(&r.key, None));
    resources.chain(part.directives.iter().map(move |d| item(&d.target, Some(d.op))))
}

/// One directive in force.
pub(super) fn masked_by(part: &Part, directive: &Directive, policy: &str) -> MaskedBy {
    MaskedBy {
        part: part.name(),
        subscription: part.subscription.clone(),
        event_id: part.event_id.clone(),
        policy: policy.to_owned(),
        reason: directive.reason.clone(),
    }
}

/// A startup resource that is out, by these directives (and the earliest time at which one of them
/// was allowed).
pub(super) fn masked(startup: &Accepted, mut by: Vec<MaskedBy>, earliest: Time) -> Masked {
    by.sort();
    Masked {
        object: startup.key().clone(),
        source: startup.source.clone(),
        by,
        since: earliest.max(startup.created_at),
    }
}

/// A fault of a startup resource.
pub(super) fn startup_problem(startup: &Accepted, (reason, message): Unsound) -> StartupProblem {
    StartupProblem {
        object: startup.key().clone(),
        source: startup.source.clone(),
        reason,
        message,
        since: startup.accepted_at,
    }
}

/// A startup claim for an address that an earlier startup claim has.
pub(super) fn startup_address_conflict(startup: &Accepted, first: &Accepted) -> StartupProblem {
    let written = super::refs::claimed_text(&startup.resource).unwrap_or_default();
    let message =
        format!("spec.address: {written} is claimed by {} at {} too", first.key(), first.source);
    startup_problem(startup, (Reason::AddressConflict, message))
}

/// Members of a Router's spec that a Router before it has as well, with another value: one document
/// is printed, and has room for one of them.
pub(super) fn member_conflicts(routers: &[&Accepted], of: &Accepted) -> Vec<StartupProblem> {
    fn spec(router: &Accepted) -> Option<&Map> {
        router.resource.body.get("spec").and_then(Value::as_map)
    }
    let before = routers.iter().take_while(|router| router.key() != of.key());
    let before: Vec<_> = before.filter_map(|router| Some((*router, spec(router)?))).collect();
    spec(of)
        .into_iter()
        .flat_map(Map::iter)
        .filter(|(member, _)| *member != "resources")
        .filter_map(|(member, value)| {
            let (first, shown) =
                before.iter().find_map(|(router, spec)| Some((router, spec.get(member)?)))?;
            let message = format!(
                "spec.{member}: {} at {} has it too and comes first; this value is not in the \
                 effective config",
                first.key(),
                first.source
            );
            (canonical_bytes(shown) != canonical_bytes(value))
                .then(|| startup_problem(of, (Reason::MemberConflict, message)))
        })
        .collect()
}
