//! Each rule of the design's §7, from scratch.

use std::sync::Arc;

use serde_json::json;

use super::fixtures::*;
use crate::api::part::Part;
use crate::render::{Change, Index};

/// The dynamic part of the output.
fn dynamic(effective: &crate::render::Effective) -> Vec<String> {
    names(effective).split_off(3)
}

#[test]
fn startup_resources_stand_in_file_order_and_dynamic_ones_by_identity() {
    let mut world = base();
    world.push(accepted_in("0.yaml", 9, resource("Interface", "z", &json!({}))));
    let out = render(
        &world,
        vec![
            part("s", 1, vec![claim("b", "domain", "10.0.0.2/32")]),
            part("s", 2, vec![claim("a", "domain", "10.0.0.1/32"), overlay("o")]),
        ],
    );
    assert_eq!(
        names(&out),
        [
            "Interface/z",
            "AddressMobilityDomain/domain",
            "OverlayPeer/peer",
            "CloudProviderProfile/cloud",
            "OverlayPeer/o",
            "RemoteAddressClaim/a",
            "RemoteAddressClaim/b",
        ]
    );
    assert_eq!(left_out(&out), [""; 0]);
}

#[test]
fn a_mask_needs_a_policy_for_its_own_source_and_a_startup_target_that_steers_nothing() {
    let target = key("OverlayPeer", "old");
    let mut world = base();
    world.push(accepted(4, overlay("old")));
    world.push(accepted(5, resource("EventGroup", "g", &json!({"nodeName": "n"}))));
    let masks = |targets: &[_]| targets.iter().cloned().fold(part("s", 1, vec![]), masking);
    let missing = key("OverlayPeer", "none");
    let control = key("EventGroup", "g");

    let denied = render(&world, vec![masks(std::slice::from_ref(&target))]);
    assert!(names(&denied).contains(&"OverlayPeer/old".into()));
    assert_eq!(
        left_out(&denied),
        ["OverlayPeer/old s: MaskNotAllowed: no DynamicOverridePolicy allows \
            EventSubscription/s to mask OverlayPeer/old"]
    );

    let all = [target.clone(), missing, control];
    world.push(accepted(6, policy("other", "EventSubscription/t", &all)));
    assert_eq!(left_out(&render(&world, vec![masks(&all[..1])])).len(), 1, "another's policy");

    world.push(accepted(7, policy("own", "EventSubscription/s", &all)));
    let allowed = render(&world, vec![masks(&all)]);
    assert!(!names(&allowed).contains(&"OverlayPeer/old".into()));
    assert!(names(&allowed).contains(&"EventGroup/g".into()));
    assert_eq!(
        left_out(&allowed),
        [
            "EventGroup/g s: MaskTargetControl: EventGroup is a Kind that nothing may mask",
            "OverlayPeer/none s: MaskTargetMissing: the manifests have no OverlayPeer/none",
        ]
    );
    let [masked] = &allowed.report.masked[..] else { panic!("{:?}", allowed.report.masked) };
    assert_eq!((masked.object.to_string(), masked.source.line), ("OverlayPeer/old".into(), 4));
    assert_eq!(masked.by[0].policy, "own");
    assert_eq!(masked.by[0].reason, "it moved to the cloud");
    assert_eq!(masked.since, at(60));
}

#[test]
fn what_a_policy_allows_late_is_masked_since_then() {
    let target = key("OverlayPeer", "old");
    let mut late = Arc::unwrap_or_clone(accepted(
        5,
        policy("p", "EventSubscription/s", std::slice::from_ref(&target)),
    ));
    late.accepted_at = at(90);
    let world = [accepted(4, overlay("old")), Arc::new(late)];
    let masks = masking(part("s", 1, vec![]), target.clone());
    let out = render(&world, vec![masks.clone()]);
    assert_eq!(out.report.masked[0].since, at(90), "the part is there since 60");
    let mut index = Index::new(at(100));
    for accepted in world {
        index.apply(Change::PutAccepted(accepted));
    }
    index.apply(Change::PutPart(Arc::new(masks)));
    assert_eq!(index.masked(&target).map(|masked| masked.since), Some(at(90)));
}

#[test]
fn a_startup_resource_keeps_its_identity_until_it_is_masked() {
    let mut world = base();
    world.push(accepted(4, overlay("x")));
    let mut proposal = part("s", 1, vec![overlay("x")]);
    let out = render(&world, vec![proposal.clone()]);
    assert_eq!(names(&out).len(), 4);
    assert_eq!(
        left_out(&out),
        ["OverlayPeer/x s: StartupWins: the manifests have OverlayPeer/x at a.yaml:4"]
    );

    world.push(accepted(5, policy("p", "EventSubscription/s", &[key("OverlayPeer", "x")])));
    proposal = masking(proposal, key("OverlayPeer", "x"));
    let out = render(&world, vec![proposal]);
    assert_eq!(names(&out).last().unwrap(), "OverlayPeer/x");
    assert!(matches!(out.resources.last(), Some(crate::render::Origin::Dynamic(_))));
    assert_eq!(left_out(&out), [""; 0]);
}

#[test]
fn each_unresolved_reference_is_named_with_its_field_and_nothing_else_suffers() {
    let table = [
        (0, "spec.domainRef: AddressMobilityDomain/domain is not in the effective config"),
        (1, "spec.delivery.peerRef: OverlayPeer/peer is not in the effective config"),
        (2, "spec.capture.providerRef: CloudProviderProfile/cloud is not in the effective config"),
    ];
    for (missing, message) in table {
        let mut world = base();
        world.remove(missing);
        let claims = part("s", 1, vec![claim("a", "domain", "10.0.0.1/32"), overlay("o")]);
        let out = render(&world, vec![claims]);
        assert_eq!(names(&out).last().unwrap(), "OverlayPeer/o");
        assert_eq!(left_out(&out), [format!("RemoteAddressClaim/a s: Unresolved: {message}")]);
    }
}

#[test]
fn dynamic_resources_may_lean_on_each_other_and_fall_together() {
    let lone = resource(
        "AddressMobilityDomain",
        "far",
        &json!({"prefix": "10.9.0.0/16", "peerRef": "far-peer"}),
    );
    let chain = part("s", 1, vec![claim("a", "far", "10.9.1.1/32"), lone]);
    let support = part("t", 2, vec![overlay("far-peer")]);
    let out = render(&base(), vec![chain.clone(), support]);
    assert_eq!(dynamic(&out).len(), 3, "{:?}", left_out(&out));

    let out = render(&base(), vec![chain]);
    assert_eq!(dynamic(&out), [""; 0]);
    assert_eq!(
        left_out(&out),
        [
            "AddressMobilityDomain/far s: Unresolved: spec.peerRef: OverlayPeer/far-peer is not \
                in the effective config",
            "RemoteAddressClaim/a s: Unresolved: spec.domainRef: AddressMobilityDomain/far is \
                not in the effective config",
        ]
    );
}

#[test]
fn a_masked_reference_is_no_reference() {
    let mut world = base();
    let target = key("AddressMobilityDomain", "domain");
    world.push(accepted(4, policy("p", "EventSubscription/s", std::slice::from_ref(&target))));
    let claims = part("s", 1, vec![claim("a", "domain", "10.0.0.1/32")]);
    assert_eq!(left_out(&render(&world, vec![claims.clone()])), [""; 0]);
    let out = render(&world, vec![masking(claims, target)]);
    assert!(left_out(&out)[0].contains("Unresolved: spec.domainRef"), "{:?}", left_out(&out));
}

#[test]
fn a_claim_outside_its_domain_or_without_an_address_is_left_out() {
    let claims = |address| part("s", 1, vec![claim("a", "domain", address)]);
    let out = render(&base(), vec![claims("10.0.1.1/32")]);
    assert_eq!(
        left_out(&out),
        ["RemoteAddressClaim/a s: OutsideDomain: spec.address: 10.0.1.1 is outside 10.0.0.0/24, \
            the prefix of AddressMobilityDomain/domain"]
    );
    let out = render(&base(), vec![claims("10.0.0.0/30")]);
    assert!(left_out(&out)[0].contains("\"10.0.0.0/30\" is not one IPv4 address"));
    let mut world = base();
    world[0] = accepted(1, domain("domain", "ten"));
    let out = render(&world, vec![claims("10.0.0.1/32")]);
    assert!(left_out(&out)[0].contains("no prefix that could hold 10.0.0.1"));
}

/// Which event's version of `OverlayPeer/x` stands.
fn winner(parts: Vec<Part>) -> (String, Vec<String>) {
    let out = render(&[], parts);
    let crate::render::Origin::Dynamic(proposal) = &out.resources[0] else { panic!() };
    (proposal.part().event_id.clone(), left_out(&out))
}

#[test]
fn within_a_subscription_the_newest_observation_wins_then_the_larger_event_id() {
    let older = part("s", 1, vec![overlay("x")]);
    let mut newer = part("s", 2, vec![overlay("x")]);
    let (won, lost) = winner(vec![older.clone(), newer.clone()]);
    assert_eq!(won, "event-2");
    assert_eq!(
        lost,
        ["OverlayPeer/x s: Conflicted: DynamicConfigPart/s-0202020202020202 wins: its \
            observation of 1970-01-01T00:01:42Z is the subscription's newest"]
    );
    newer.event_observed_at = older.event_observed_at;
    assert_eq!(winner(vec![newer.clone(), older.clone()]).0, "event-2");
    newer.event_id = "event-0".into();
    assert_eq!(winner(vec![newer, older]).0, "event-1");
}

#[test]
fn between_subscriptions_the_fact_that_has_been_live_longest_wins_then_the_name() {
    let longer = part("z", 1, vec![overlay("x")]);
    let mut other = part("a", 2, vec![overlay("x")]);
    let (won, lost) = winner(vec![other.clone(), longer.clone()]);
    assert_eq!(won, "event-1");
    assert_eq!(
        lost,
        ["OverlayPeer/x a: Conflicted: DynamicConfigPart/z-0101010101010101 wins: its fact has \
            been live the longest, since 1970-01-01T00:00:51Z"]
    );
    other.since = longer.since;
    assert_eq!(winner(vec![longer, other]).0, "event-2");
}

#[test]
fn a_subscription_enters_the_contest_with_its_newest_observation() {
    // The oldest fact of all belongs to `a`, but within `a` it lost.
    let oldest = part("a", 1, vec![overlay("x")]);
    let newest_of_a = part("a", 9, vec![overlay("x")]);
    let other = part("b", 5, vec![overlay("x")]);
    assert_eq!(winner(vec![oldest, newest_of_a, other]).0, "event-5");
}

#[test]
fn an_unresolved_proposal_takes_no_identity_from_a_sound_one() {
    let mut world = base();
    world.remove(2);
    let broken = part("a", 1, vec![claim("x", "domain", "10.0.0.1/32")]);
    let mut good = claim("x", "domain", "10.0.0.1/32");
    let spec = good.body.as_map_mut().unwrap().get_mut("spec").unwrap().as_map_mut().unwrap();
    spec.remove("capture");
    let out = render(&world, vec![broken, part("b", 2, vec![good])]);
    assert_eq!(names(&out).last().unwrap(), "RemoteAddressClaim/x");
    assert_eq!(out.report.left_out.len(), 1);
    assert_eq!(out.report.left_out[0].subscription, "a");
}

#[test]
fn an_address_of_a_domain_belongs_to_one_claim() {
    let first = part("s", 1, vec![claim("first", "domain", "10.0.0.1/32")]);
    let second = part("t", 2, vec![claim("second", "domain", "10.0.0.1/32")]);
    let out = render(&base(), vec![second.clone(), first.clone()]);
    assert_eq!(dynamic(&out), ["RemoteAddressClaim/first"]);
    assert_eq!(
        left_out(&out),
        ["RemoteAddressClaim/second t: AddressConflict: 10.0.0.1/32 is claimed by \
            RemoteAddressClaim/first of DynamicConfigPart/s-0101010101010101, which wins: its fact has \
            been live the longest, since 1970-01-01T00:00:51Z"]
    );

    let mut world = base();
    world.push(accepted(4, claim("manual", "domain", "10.0.0.1/32")));
    let out = render(&world, vec![first.clone()]);
    assert_eq!(
        left_out(&out),
        [
            "RemoteAddressClaim/first s: AddressConflict: 10.0.0.1/32 is claimed in the manifests by \
            RemoteAddressClaim/manual at a.yaml:4"
        ]
    );

    let mut world = base();
    world.push(accepted(4, domain("other", "10.0.0.0/16")));
    let elsewhere = part("t", 2, vec![claim("second", "other", "10.0.0.1/32")]);
    let out = render(&world, vec![first, elsewhere]);
    assert_eq!(out.report.left_out, [], "two domains, two addresses");
}

#[test]
fn who_lost_an_identity_does_not_compete_for_an_address() {
    let winner = part("a", 1, vec![claim("x", "domain", "10.0.0.1/32")]);
    let loser = part("b", 2, vec![claim("x", "domain", "10.0.0.2/32")]);
    let third = part("c", 3, vec![claim("y", "domain", "10.0.0.2/32")]);
    let out = render(&base(), vec![winner, loser, third]);
    assert_eq!(dynamic(&out), ["RemoteAddressClaim/x", "RemoteAddressClaim/y"]);
}

#[test]
fn faults_of_startup_resources_are_told_and_never_take_them_out() {
    let mut world = base();
    world.remove(1);
    world.push(accepted(4, claim("a", "domain", "10.0.0.1/32")));
    world.push(accepted(5, claim("b", "domain", "10.0.0.1/32")));
    let out = render(&world, vec![]);
    assert_eq!(names(&out).len(), 4);
    let told: Vec<_> =
        out.report.startup_problems.iter().map(|p| (p.source.line, p.reason.as_str())).collect();
    assert_eq!(told, [(4, "Unresolved"), (5, "Unresolved"), (5, "AddressConflict")]);
    assert!(out.report.startup_problems[2].message.contains("RemoteAddressClaim/a at a.yaml:4"));
}

#[test]
fn the_faults_of_a_masked_resource_are_told_of_nobody() {
    let target = key("RemoteAddressClaim", "a");
    let mut world = base();
    world.push(accepted(4, claim("a", "nowhere", "10.0.0.1/32")));
    world.push(accepted(5, policy("p", "EventSubscription/s", std::slice::from_ref(&target))));
    assert_eq!(render(&world, vec![]).report.startup_problems.len(), 1);
    let replacing = masking(part("s", 1, vec![claim("a", "domain", "10.0.0.1/32")]), target);
    let out = render(&world, vec![replacing]);
    assert_eq!(names(&out).last().unwrap(), "RemoteAddressClaim/a");
    assert_eq!(out.report.startup_problems, []);
}

#[test]
fn a_part_is_out_from_the_very_moment_of_its_end() {
    let mut ending = masking(part("s", 1, vec![overlay("x")]), key("OverlayPeer", "peer"));
    ending.expires_at = at(201);
    assert_eq!(render(&[], vec![ending.clone()]).resources.len(), 1);
    ending.expires_at = at(200);
    let out = render(&[], vec![ending]);
    assert!(out.resources.is_empty());
    assert_eq!(out.report.left_out.len(), 2);
    assert!(out.report.left_out.iter().all(|l| l.reason.as_str() == "Expired"));
    assert_eq!(out.report.left_out[0].since, at(200));
}

#[test]
fn a_kind_that_steers_the_program_is_never_taken_from_a_part() {
    let out = render(&[], vec![part("s", 1, vec![resource("EventGroup", "g", &json!({}))])]);
    assert!(out.resources.is_empty());
    assert_eq!(
        left_out(&out),
        ["EventGroup/g s: ControlKind: EventGroup is a Kind that no part may propose"]
    );
}

#[test]
fn what_is_left_out_is_so_since_both_sides_were_there() {
    let mut first = part("a", 1, vec![overlay("x")]);
    let mut second = part("b", 2, vec![overlay("x")]);
    (first.created_at, second.created_at) = (at(90), at(70));
    let out = render(&[], vec![first, second]);
    assert_eq!(out.report.left_out[0].since, at(90));
}
