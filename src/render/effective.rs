//! The definition of the effective config: everything from scratch, rule by rule.
//!
//! Pure and total. Written to be read next to the design's §7; it is the oracle that the index is
//! tested against, and what a `routerctl` without a daemon runs.

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
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
    let masks = work.masks(input);
    work.startup(masks);
    let mut claims = Vec::new();
    for rank in refs::RANKS {
        for proposals in work.proposals_of(rank) {
            match work.settle(proposals) {
                Some(winner) if refs::is_claim(winner.key()) => claims.push(winner),
                Some(winner) => work.show(Origin::Dynamic(winner)),
                None => {}
            }
        }
    }
    work.addresses(claims);
    work.startup_problems();
    work.finish()
}

type ByKey<V> = hashbrown::HashMap<ObjectKey, V, RandomState>;

/// What is known so far.
struct Work {
    startup: BTreeMap<ObjectKey, Arc<Accepted>>,
    /// The parts that are served.
    parts: Vec<Arc<Part>>,
    /// Proposals that wait for their rank, by identity.
    waiting: BTreeMap<(u8, ObjectKey), Vec<Proposal>>,
    /// What is in, by identity.
    shown: ByKey<(Facade, Origin)>,
    report: Report,
}

impl Work {
    fn new(input: &Input<'_>) -> Self {
        let startup = input.accepted.iter().map(|a| (a.key().clone(), Arc::clone(a))).collect();
        let parts: BTreeMap<_, _> =
            input.parts.iter().map(|p| ((p.subscription.as_str(), p.fact), p)).collect();
        let mut report = Report::default();
        let (mut served, mut waiting) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for part in parts.into_values() {
            if !part.is_served(input.now) {
                report.left_out.extend(report::expired(part));
                continue;
            }
            served.push(Arc::clone(part));
            for proposal in Proposal::all(part) {
                if refs::is_control(proposal.key()) {
                    report.left_out.push(report::control_kind(&proposal));
                } else {
                    let key = (refs::rank(proposal.key()), proposal.key().clone());
                    waiting.entry(key).or_default().push(proposal);
                }
            }
        }
        Self { startup, parts: served, waiting, shown: ByKey::default(), report }
    }

    /// Rule 1: the masks in force, by target, each with the time since when it can be.
    fn masks(&mut self, input: &Input<'_>) -> BTreeMap<ObjectKey, Vec<(Time, MaskedBy)>> {
        let mut policies: BTreeMap<(String, ObjectKey), &str> = BTreeMap::new();
        let by_name: BTreeMap<_, _> = input
            .accepted
            .iter()
            .filter(|a| refs::is_policy(a.key()))
            .map(|a| (&a.key().name, a))
            .collect();
        for (name, policy) in by_name {
            for allowed in refs::allowed_masks(&policy.resource) {
                policies.entry(allowed).or_insert(name);
            }
        }
        let mut masks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for part in &self.parts {
            for directive in &part.directives {
                let target = &directive.target;
                let policy = policies.get(&(part.source(), target.clone()));
                let ignored = match policy {
                    _ if refs::is_control(target) => Reason::MaskTargetControl,
                    None => Reason::MaskNotAllowed,
                    Some(_) if !self.startup.contains_key(target) => Reason::MaskTargetMissing,
                    Some(policy) => {
                        let by = report::masked_by(part, directive, policy);
                        masks.entry(target.clone()).or_default().push((part.created_at, by));
                        continue;
                    }
                };
                self.report.left_out.push(report::mask_ignored(part, directive, ignored));
            }
        }
        masks
    }

    /// Puts in the startup resources that are not masked.
    fn startup(&mut self, mut masks: BTreeMap<ObjectKey, Vec<(Time, MaskedBy)>>) {
        for accepted in in_file_order(&self.startup) {
            if refs::is_router(accepted.key()) {
                continue;
            }
            if let Some(by) = masks.remove(accepted.key()) {
                let earliest = by.iter().map(|(time, _)| *time).min().unwrap_or(Time::MIN);
                let by = by.into_iter().map(|(_, by)| by).collect();
                self.report.masked.push(report::masked(&accepted, by, earliest));
            } else {
                self.show(Origin::Startup(accepted));
            }
        }
    }

    fn show(&mut self, origin: Origin) {
        let facade = refs::facade(origin.resource());
        self.shown.insert(origin.key().clone(), (facade, origin));
    }

    fn proposals_of(&mut self, rank: u8) -> Vec<Vec<Proposal>> {
        let later = self.waiting.split_off(&(rank + 1, ObjectKey::new("", "", "")));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }

    /// Rules 2, 3 and 4 for the proposals of one identity: the one that stands, if any does.
    fn settle(&mut self, proposals: Vec<Proposal>) -> Option<Proposal> {
        let mut sound = Vec::with_capacity(1);
        for proposal in proposals {
            if let Some((_, Origin::Startup(startup))) = self.shown.get(proposal.key()) {
                self.report.left_out.push(report::startup_wins(&proposal, startup));
                continue;
            }
            match rules::check(proposal.resource(), |key| self.facade(key)) {
                Ok(()) => sound.push(proposal),
                Err(why) => self.report.left_out.push(report::unsound(&proposal, why)),
            }
        }
        let winner = winner(&sound)?.clone();
        for loser in sound.iter().filter(|p| **p != winner) {
            self.report.left_out.push(report::conflicted(loser, &winner));
        }
        Some(winner)
    }

    /// Whether a startup resource is in, and not masked (its identity may be in all the same).
    fn is_in(&self, startup: &Accepted) -> bool {
        matches!(self.shown.get(startup.key()), Some((_, Origin::Startup(_))))
    }

    fn facade(&self, key: KeyRef<'_>) -> Facade {
        self.shown.get(&key).map_or(Facade::Missing, |(facade, _)| *facade)
    }

    /// Rule 5: one claim for each address of a domain, a startup claim before all others.
    fn addresses(&mut self, claims: Vec<Proposal>) {
        let mut startup: HashMap<AddressKey, Arc<Accepted>> = HashMap::new();
        for accepted in in_file_order(&self.startup) {
            if self.is_in(&accepted)
                && let Some(address) = refs::claimed(&accepted.resource)
            {
                startup.entry(address).or_insert(accepted);
            }
        }
        let mut contests: BTreeMap<AddressKey, Vec<Proposal>> = BTreeMap::new();
        for claim in claims {
            if let Some(address) = refs::claimed(claim.resource()) {
                contests.entry(address).or_default().push(claim);
            }
        }
        for (address, claims) in contests {
            let first = match startup.get(&address) {
                Some(claim) => Some(Origin::Startup(Arc::clone(claim))),
                None => winner(&claims).cloned().map(Origin::Dynamic),
            };
            let Some(first) = first else { continue };
            for loser in claims.iter().filter(|claim| claim.key() != first.key()) {
                self.report.left_out.push(report::address_conflict(loser, &first));
            }
            if matches!(first, Origin::Dynamic(_)) {
                self.show(first);
            }
        }
    }

    /// What is wrong with the startup resources that are in.
    fn startup_problems(&mut self) {
        let mut first: HashMap<AddressKey, Arc<Accepted>> = HashMap::new();
        for accepted in in_file_order(&self.startup) {
            if !self.is_in(&accepted) {
                continue;
            }
            if let Err(why) = rules::check(&accepted.resource, |key| self.facade(key)) {
                self.report.startup_problems.push(report::startup_problem(&accepted, why));
            }
            let Some(address) = refs::claimed(&accepted.resource) else { continue };
            if let Some(other) = first.get(&address) {
                let problem = report::startup_address_conflict(&accepted, other);
                self.report.startup_problems.push(problem);
            } else {
                first.insert(address, accepted);
            }
        }
    }

    fn finish(mut self) -> Effective {
        let startup = in_file_order(&self.startup);
        let of = |is: fn(&ObjectKey) -> bool| {
            startup.iter().map(AsRef::as_ref).filter(move |a: &&Accepted| is(a.key()))
        };
        let header = Header::of(of(refs::is_router), of(refs::is_group));
        let mut resources: Vec<Origin> =
            self.shown.into_values().map(|(_, origin)| origin).collect();
        resources.sort_unstable_by(Origin::output_order);
        self.report.sort();
        Effective { header, resources, report: self.report }
    }
}

fn in_file_order(startup: &BTreeMap<ObjectKey, Arc<Accepted>>) -> Vec<Arc<Accepted>> {
    let mut list: Vec<_> = startup.values().cloned().collect();
    list.sort_by(|a, b| a.source.cmp(&b.source).then_with(|| a.key().cmp(b.key())));
    list
}

/// The first of each subscription, and of those the first.
fn winner(proposals: &[Proposal]) -> Option<&Proposal> {
    let mut firsts: BTreeMap<&str, &Proposal> = BTreeMap::new();
    for proposal in proposals {
        let first = firsts.entry(&proposal.part().subscription).or_insert(proposal);
        if proposal.contest_order(first).is_lt() {
            *first = proposal;
        }
    }
    Proposal::between(firsts.into_values())
}
