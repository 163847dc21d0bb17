//! The definition of the effective config: everything from scratch, rule by rule.
//!
//! Pure and total. Written to be read next to the design's §7; it is the oracle that the index is
//! tested against, and what a `routerctl` without a daemon runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::document::Header;
use super::proposal::{Origin, Proposal};
use super::refs::{self, AddressKey, Facade, KeyRef};
use super::report::{self, MaskedBy, Reason, Report};
use super::{digest, rules};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::object::ObjectKey;
use crate::api::part::Part;

/// What the effective config is a function of. Each slice is a set: by identity, and by
/// (subscription, fact); of two entries for one the later counts.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The accepted manifests, policies among them, in any order.
    pub accepted: &'a [Arc<Accepted>],
    /// The stored parts, in any order.
    pub parts: &'a [Arc<Part>],
    /// Node time.
    pub now: Time,
}

/// The effective config, and what became of the rest. Cheap to hold and to send: resources are
/// shared with the inputs and take their shown form only when they are printed.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The document around the resources.
    pub header: Header,
    /// The resources in the order of output.
    pub resources: Vec<Origin>,
    /// What was left out, and why.
    pub report: Report,
}

impl Effective {
    /// A digest of the printed document: equal for equal bytes and only for those, as far as
    /// SHA-256 can tell. The one that the index keeps.
    pub fn digest(&self) -> String {
        let mut sum = digest::Sum::default();
        let mut previous = None;
        for origin in &self.resources {
            sum.add(&digest::link(previous, &digest::content(origin)));
            previous = Some(origin.key());
        }
        sum.finish(&digest::header(&self.header))
    }
}

/// The effective config of `input`.
pub fn effective(input: &Input<'_>) -> Effective {
    let mut work = Work::new(input);
    let masks = work.masks();
    work.startup(masks);
    let candidates = work.candidates();
    let mut claims = Vec::new();
    for same in candidates.chunk_by(|a, b| a.key == b.key) {
        match work.settle(same) {
            Some(winner) if refs::is_claim(winner.key) => claims.push(winner),
            Some(winner) => work.show(winner.key, Origin::Dynamic(winner.proposal.clone())),
            None => {}
        }
    }
    work.addresses(&claims);
    work.startup_problems();
    work.finish()
}

/// A proposal of a served part, beside what it is looked up by.
struct Candidate<'a> {
    rank: u8,
    key: &'a ObjectKey,
    proposal: Proposal,
}

type Masks<'a> = HashMap<&'a ObjectKey, Vec<(Time, MaskedBy)>>;

/// What is known so far.
struct Work<'a> {
    startup: Vec<&'a Arc<Accepted>>,
    /// The parts that are served.
    parts: Vec<&'a Arc<Part>>,
    /// What is in, by identity: what others see of it, and whether the manifests have it.
    shown: HashMap<KeyRef<'a>, (Facade, Option<&'a Arc<Accepted>>)>,
    resources: Vec<Origin>,
    report: Report,
}

impl<'a> Work<'a> {
    fn new(input: &Input<'a>) -> Self {
        let startup: BTreeMap<_, _> = input.accepted.iter().map(|a| (a.key(), a)).collect();
        let mut startup: Vec<_> = startup.into_values().collect();
        startup.sort_by_key(|accepted| (&accepted.source, accepted.key()));
        let all: BTreeMap<_, _> =
            input.parts.iter().map(|p| ((p.subscription.as_str(), p.fact), p)).collect();
        let (parts, expired): (Vec<_>, Vec<_>) =
            all.into_values().partition(|part| part.is_served(input.now));
        let mut report = Report::default();
        report.left_out.extend(expired.into_iter().flat_map(|part| report::expired(part)));
        Self { startup, parts, shown: HashMap::new(), resources: Vec::new(), report }
    }

    /// Rule 1: the masks in force, by target, each with the time since when it can be.
    fn masks(&mut self) -> Masks<'a> {
        let mut policies: BTreeMap<(String, ObjectKey), &Accepted> = BTreeMap::new();
        let mut by_name: Vec<_> =
            self.startup.iter().filter(|a| refs::is_policy(a.key())).collect();
        by_name.sort_by_key(|policy| &policy.key().name);
        for policy in by_name {
            for allowed in refs::allowed_masks(&policy.resource) {
                policies.entry(allowed).or_insert(policy);
            }
        }
        let startup: HashSet<&ObjectKey> = self.startup.iter().map(|a| a.key()).collect();
        let mut masks = Masks::new();
        for part in &self.parts {
            for directive in &part.directives {
                let target = &directive.target;
                let ignored = match policies.get(&(part.source(), target.clone())) {
                    _ if refs::is_control(target) => Reason::MaskTargetControl,
                    None => Reason::MaskNotAllowed,
                    Some(_) if !startup.contains(target) => Reason::MaskTargetMissing,
                    Some(policy) => {
                        let since = part.created_at.max(policy.accepted_at);
                        let by = report::masked_by(part, directive, &policy.key().name);
                        masks.entry(target).or_default().push((since, by));
                        continue;
                    }
                };
                self.report.left_out.push(report::mask_ignored(part, directive, ignored));
            }
        }
        masks
    }

    /// Puts in the startup resources that are not masked.
    fn startup(&mut self, mut masks: Masks<'a>) {
        for accepted in self.startup.clone() {
            if refs::is_router(accepted.key()) {
                continue;
            }
            if let Some(by) = masks.remove(accepted.key()) {
                let earliest = by.iter().map(|(time, _)| *time).min().unwrap_or(Time::MIN);
                let by = by.into_iter().map(|(_, by)| by).collect();
                self.report.masked.push(report::masked(accepted, by, earliest));
            } else {
                let facade = refs::facade(&accepted.resource);
                self.shown.insert(accepted.key().into(), (facade, Some(accepted)));
                self.resources.push(Origin::Startup(Arc::clone(accepted)));
            }
        }
    }

    fn show(&mut self, key: &'a ObjectKey, origin: Origin) {
        self.shown.insert(key.into(), (refs::facade(origin.resource()), None));
        self.resources.push(origin);
    }

    /// The proposals by rank and identity.
    fn candidates(&mut self) -> Vec<Candidate<'a>> {
        let mut out = Vec::with_capacity(self.parts.len());
        for &part in &self.parts {
            for (resource, proposal) in part.resources.iter().zip(Proposal::all(part)) {
                let key = &resource.key;
                if refs::is_control(key) {
                    self.report.left_out.push(report::control_kind(&proposal));
                } else {
                    out.push(Candidate { rank: refs::rank(key), key, proposal });
                }
            }
        }
        out.sort_by(|a, b| (a.rank, a.key).cmp(&(b.rank, b.key)));
        out
    }

    /// Rules 2, 3 and 4 for the proposals of one identity: the one that stands, if any does.
    fn settle<'c>(&mut self, proposals: &'c [Candidate<'a>]) -> Option<&'c Candidate<'a>> {
        let mut sound = Vec::with_capacity(1);
        for candidate in proposals {
            let proposal = &candidate.proposal;
            if let Some((_, Some(startup))) = self.shown.get(&candidate.key.into()) {
                self.report.left_out.push(report::startup_wins(proposal, startup));
                continue;
            }
            match rules::check(proposal.resource(), |key| self.facade(key)) {
                Ok(()) => sound.push(candidate),
                Err(why) => self.report.left_out.push(report::unsound(proposal, why)),
            }
        }
        let winner = winner(&sound)?;
        for loser in sound.iter().filter(|c| c.proposal != winner.proposal) {
            self.report.left_out.push(report::conflicted(&loser.proposal, &winner.proposal));
        }
        Some(winner)
    }

    fn facade(&self, key: KeyRef<'_>) -> Facade {
        self.shown.get(&key).map_or(Facade::Missing, |(facade, _)| *facade)
    }

    /// The startup resources that are in. The identity of a masked one may be in all the same.
    fn startup_shown(&self) -> impl Iterator<Item = &'a Arc<Accepted>> + '_ {
        self.startup.iter().copied().filter(|a| self.is_shown(a))
    }

    fn is_shown(&self, startup: &Accepted) -> bool {
        matches!(self.shown.get(&startup.key().into()), Some((_, Some(_))))
    }

    /// Rule 5: one claim for each address of a domain, a startup claim before all others.
    fn addresses(&mut self, claims: &[&Candidate<'a>]) {
        let mut startup: HashMap<AddressKey, &Arc<Accepted>> = HashMap::new();
        for accepted in self.startup_shown() {
            if let Some(address) = refs::claimed(&accepted.resource) {
                startup.entry(address).or_insert(accepted);
            }
        }
        let mut contests: HashMap<AddressKey, Vec<&Candidate<'a>>> =
            HashMap::with_capacity(claims.len());
        for claim in claims {
            if let Some(address) = refs::claimed(claim.proposal.resource()) {
                contests.entry(address).or_default().push(claim);
            }
        }
        let mut lost = HashSet::new();
        for (address, claims) in contests {
            let first = match startup.get(&address) {
                Some(claim) => Some(Origin::Startup(Arc::clone(claim))),
                None => winner(&claims).map(|claim| Origin::Dynamic(claim.proposal.clone())),
            };
            let Some(first) = first else { continue };
            for loser in claims.iter().filter(|claim| claim.key != first.key()) {
                self.report.left_out.push(report::address_conflict(&loser.proposal, &first));
                lost.insert(loser.key);
            }
        }
        for claim in claims.iter().filter(|claim| !lost.contains(claim.key)) {
            self.show(claim.key, Origin::Dynamic(claim.proposal.clone()));
        }
    }

    /// What is wrong with the startup resources that are in.
    fn startup_problems(&mut self) {
        let mut first: HashMap<AddressKey, &Arc<Accepted>> = HashMap::new();
        let mut problems = Vec::new();
        let routers = self.startup.iter().filter(|a| refs::is_router(a.key()));
        let routers: Vec<&Accepted> = routers.map(|a| &***a).collect();
        for accepted in &self.startup {
            if refs::is_router(accepted.key()) {
                problems.extend(report::member_conflicts(&routers, accepted));
                continue;
            }
            if !self.is_shown(accepted) {
                continue;
            }
            if let Err(why) = rules::check(&accepted.resource, |key| self.facade(key)) {
                problems.push(report::startup_problem(accepted, why));
            }
            let Some(address) = refs::claimed(&accepted.resource) else { continue };
            if let Some(other) = first.get(&address) {
                problems.push(report::startup_address_conflict(accepted, other));
            } else {
                first.insert(address, accepted);
            }
        }
        self.report.startup_problems = problems;
    }

    fn finish(mut self) -> Effective {
        let of = |is: fn(&ObjectKey) -> bool| {
            self.startup.iter().map(|a| &***a).filter(move |a: &&Accepted| is(a.key()))
        };
        let header = Header::of(of(refs::is_router), of(refs::is_group));
        self.resources.sort_by(Origin::output_order);
        self.report.sort();
        Effective { header, resources: self.resources, report: self.report }
    }
}

/// The first of each subscription, and of those the first.
fn winner<'c, 'a>(candidates: &[&'c Candidate<'a>]) -> Option<&'c Candidate<'a>> {
    if let [only] = candidates {
        return Some(only);
    }
    let mut firsts: BTreeMap<&str, &Candidate<'a>> = BTreeMap::new();
    for candidate in candidates {
        let subscription = &candidate.proposal.part().subscription;
        let first = firsts.entry(subscription).or_insert(candidate);
        if candidate.proposal.contest_order(&first.proposal).is_lt() {
            *first = candidate;
        }
    }
    let first = Proposal::between(firsts.into_values().map(|c| &c.proposal))?;
    candidates.iter().copied().find(|c| c.proposal == *first)
}
