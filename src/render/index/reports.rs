//! What the index says about outcomes: per part, per startup resource, and all together.
//!
//! Worked out when asked from what the slots hold; only the outcome itself is kept.

use std::sync::Arc;

use super::super::effective::Effective;
use super::super::proposal::{Origin, Proposal};
use super::super::refs;
use super::super::report::{self, LeftOut, Masked, Reason, Report, StartupProblem};
use super::super::rules;
use super::slot::{Group, Slot};
use super::{Index, PartKey};
use crate::api::accepted::Accepted;
use crate::api::object::ObjectKey;
use crate::api::part::{Directive, Part};

/// What became of all that a part proposes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartOutcome {
    /// Resources that are in, in the order of the part.
    pub effective: Vec<ObjectKey>,
    /// Startup resources that it masks.
    pub masks: Vec<ObjectKey>,
    /// The rest, in the order of the part: resources, then directives.
    pub left_out: Vec<LeftOut>,
}

impl Index {
    /// The effective config without the report, which takes longer than the rest.
    pub fn document(&self) -> Effective {
        Effective {
            header: self.header.clone(),
            resources: self.output.iter().cloned().collect(),
            report: Report::default(),
        }
    }

    /// The effective config and the report, as [`super::super::effective()`] would give them.
    /// Shares the resources: cheap to take and to send elsewhere for printing.
    pub fn view(&self) -> Effective {
        Effective { report: self.report(), ..self.document() }
    }

    /// What was left out, and why.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for part in self.parts.values() {
            report.left_out.extend(self.outcome(part).left_out);
        }
        for (startup, slot) in self.startup() {
            report.masked.extend(self.masked_slot(startup, slot));
            report.startup_problems.extend(self.problems_of(startup, slot));
        }
        report.sort();
        report
    }

    /// What became of a part; `None` if there is no such part.
    pub fn outcome_of(&self, key: &PartKey) -> Option<PartOutcome> {
        self.parts.get(key).map(|part| self.outcome(part))
    }

    /// The part of this name, served or not.
    pub fn part(&self, key: &PartKey) -> Option<&Arc<Part>> {
        self.parts.get(key)
    }

    /// Whether anything that a served part proposes is not in force.
    pub fn is_left_out(&self, key: &PartKey) -> bool {
        let Some(part) = self.parts.get(key).filter(|part| part.is_served(self.now)) else {
            return false;
        };
        Proposal::all(part).any(|proposal| self.why_out(&proposal).is_some())
            || part.directives.iter().any(|d| self.why_ignored(part, d).is_some())
    }

    /// Whether so many parts propose this, or claim its address, that a loser is not told who won.
    pub fn is_crowded(&self, key: &ObjectKey) -> bool {
        let Some(slot) = self.slots.get(key) else { return false };
        let group = slot.address.as_ref().and_then(|address| self.groups.get(address));
        slot.is_crowded() || group.is_some_and(Group::is_crowded)
    }

    /// What masks a startup resource; `None` if nothing does.
    pub fn masked(&self, key: &ObjectKey) -> Option<Masked> {
        let slot = self.slots.get(key)?;
        self.masked_slot(slot.startup.as_ref()?, slot)
    }

    /// What is wrong with a startup resource.
    pub fn startup_problems(&self, key: &ObjectKey) -> Vec<StartupProblem> {
        let slot = self.slots.get(key);
        let found = slot.and_then(|slot| Some((slot.startup.as_ref()?, slot)));
        found.map(|(startup, slot)| self.problems_of(startup, slot)).unwrap_or_default()
    }

    fn outcome(&self, part: &Arc<Part>) -> PartOutcome {
        let mut outcome = PartOutcome::default();
        if !part.is_served(self.now) {
            outcome.left_out.extend(report::expired(part));
            return outcome;
        }
        for proposal in Proposal::all(part) {
            match self.why_out(&proposal) {
                Some(left_out) => outcome.left_out.push(left_out),
                None => outcome.effective.push(proposal.key().clone()),
            }
        }
        for directive in &part.directives {
            match self.why_ignored(part, directive) {
                Some(reason) => {
                    outcome.left_out.push(report::mask_ignored(part, directive, reason));
                }
                None => outcome.masks.push(directive.target.clone()),
            }
        }
        outcome
    }

    /// Why a served proposal is not in; `None` if it is.
    fn why_out(&self, proposal: &Proposal) -> Option<LeftOut> {
        if refs::is_control(proposal.key()) {
            return Some(report::control_kind(proposal));
        }
        let slot = self.slots.get(proposal.key())?;
        let winner = match &slot.origin {
            Some(Origin::Startup(startup)) => {
                return Some(report::startup_wins(proposal, startup));
            }
            Some(Origin::Dynamic(winner)) => Some(winner),
            None => None,
        };
        if let Err(why) = rules::check(proposal.resource(), |key| self.facade(key)) {
            return Some(report::unsound(proposal, why));
        }
        if let Some(winner) = winner.filter(|winner| *winner != proposal) {
            return Some(report::conflicted(proposal, winner));
        }
        let first = self.groups.get(slot.address.as_ref()?)?.winner()?;
        (first.key() != proposal.key()).then(|| report::address_conflict(proposal, &first))
    }

    /// Why a served directive has no effect; `None` if it has.
    fn why_ignored(&self, part: &Part, directive: &Directive) -> Option<Reason> {
        let target = &directive.target;
        if refs::is_control(target) {
            Some(Reason::MaskTargetControl)
        } else if self.policies.allowing(&part.source(), target).is_none() {
            Some(Reason::MaskNotAllowed)
        } else if self.slots.get(target).is_none_or(|slot| slot.startup.is_none()) {
            Some(Reason::MaskTargetMissing)
        } else {
            None
        }
    }

    fn masked_slot(&self, startup: &Accepted, slot: &Slot) -> Option<Masked> {
        if refs::is_control(startup.key()) {
            return None;
        }
        let in_force = slot.masks.iter().filter_map(|mask| {
            let (policy, since) = self.policies.allowing(&mask.part.source(), startup.key())?;
            let by = report::masked_by(&mask.part, mask.directive(), policy);
            Some((mask.part.created_at.max(since), by))
        });
        let (times, by): (Vec<_>, Vec<_>) = in_force.unzip();
        let earliest = times.into_iter().min()?;
        Some(report::masked(startup, by, earliest))
    }

    fn problems_of(&self, startup: &Arc<Accepted>, slot: &Slot) -> Vec<StartupProblem> {
        if refs::is_router(startup.key()) {
            let routers: Vec<&Accepted> = self.routers().collect();
            return report::member_conflicts(&routers, startup);
        }
        if !matches!(slot.origin, Some(Origin::Startup(_))) {
            return Vec::new();
        }
        let unsound = rules::check(&startup.resource, |key| self.facade(key)).err();
        let first =
            slot.address.as_ref().and_then(|address| self.groups.get(address)?.startup.first());
        let taken = first
            .filter(|first| first.key() != startup.key())
            .map(|first| report::startup_address_conflict(startup, first));
        unsound.map(|why| report::startup_problem(startup, why)).into_iter().chain(taken).collect()
    }
}
