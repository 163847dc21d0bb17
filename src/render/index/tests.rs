//! What the index promises beyond being right.

use std::sync::Arc;

use super::{Change, Index, PartKey};
use crate::render::tests::fixtures::*;

fn loaded() -> Index {
    let mut index = Index::new(at(0));
    for accepted in base() {
        index.apply(Change::PutAccepted(accepted));
    }
    index
}

#[test]
fn a_change_touches_those_it_concerns_and_no_others() {
    let mut index = loaded();
    for fact in 1..=100u8 {
        let name = format!("c{fact}");
        let claim = claim(&name, "domain", &format!("10.0.0.{fact}/32"));
        index.apply(Change::PutPart(Arc::new(part("s", fact, vec![claim]))));
    }
    index.take_touched();
    let again = part("s", 7, vec![claim("c7", "domain", "10.0.0.8/32")]);
    let own = PartKey::of(&again);
    assert!(index.apply(Change::PutPart(Arc::new(again))));
    let touched: Vec<_> = index.take_touched().parts.into_iter().collect();
    let rival = PartKey::of(&part("s", 8, vec![]));
    assert_eq!(touched, [own, rival], "the part itself, and the claim whose address it wants");
}

#[test]
fn a_renewal_that_shows_the_same_moves_nothing() {
    let mut index = loaded();
    let mut renewed = part("s", 1, vec![claim("c", "domain", "10.0.0.1/32")]);
    assert!(index.apply(Change::PutPart(Arc::new(renewed.clone()))));
    let (revision, digest) = (index.revision(), index.digest().to_owned());
    renewed.expires_at = at(2000);
    renewed.run_key = "another".into();
    assert!(!index.apply(Change::PutPart(Arc::new(renewed))));
    assert_eq!((index.revision(), index.digest()), (revision, digest.as_str()));
    assert_eq!(index.next_expiry(), Some(at(2000)));
}

#[test]
fn a_part_that_renames_its_claim_keeps_its_place_in_the_contest_for_the_address() {
    let mut index = loaded();
    let address = "10.0.0.1/32";
    let rival = part("t", 2, vec![claim("m", "domain", address)]);
    index.apply(Change::PutPart(Arc::new(rival)));
    // To a smaller name and to a larger one: the slots are settled by name.
    for name in ["n", "a", "z"] {
        let renamed = part("s", 1, vec![claim(name, "domain", address)]);
        index.apply(Change::PutPart(Arc::new(renamed)));
        let view = index.view();
        let shown = view.resources.iter().filter(|o| o.key().kind == "RemoteAddressClaim");
        let names: Vec<_> = shown.map(|o| o.key().name.as_str()).collect();
        assert_eq!(names, [name], "s has observed it for longer");
    }
}

#[test]
fn a_clock_that_is_set_back_serves_what_ends_later_and_ends_it_in_time() {
    let mut index = loaded();
    let part = part("s", 1, vec![overlay("x")]);
    let ends = part.expires_at;
    index.expire(at(50_000));
    assert!(!index.apply(Change::PutPart(Arc::new(part))), "it is over by that clock");
    assert!(index.set_back(at(100)));
    assert_eq!(index.next_expiry(), Some(ends));
    assert!(!index.set_back(at(90)), "told twice, nothing changes");
    assert!(index.expire(ends));
    assert_eq!(index.next_expiry(), None);
}

#[test]
fn a_file_that_is_renamed_without_changing_the_order_moves_nothing() {
    let mut index = loaded();
    for (line, resource) in [(1, domain("domain", "10.0.0.0/24")), (2, overlay("peer"))] {
        assert!(!index.apply(Change::PutAccepted(accepted_in("0.yaml", line, resource))));
    }
    assert!(index.apply(Change::PutAccepted(accepted_in("0.yaml", 0, profile("cloud")))));
}

#[test]
fn time_only_moves_forward_and_ends_what_is_due() {
    let mut index = loaded();
    let key = {
        let part = part("s", 1, vec![overlay("x")]);
        let key = PartKey::of(&part);
        index.apply(Change::PutPart(Arc::new(part)));
        key
    };
    assert!(!index.expire(at(999)));
    assert!(index.expire(at(1000)));
    assert_eq!(index.next_expiry(), None);
    assert!(!index.expire(at(5)), "an earlier now revives nothing");
    assert_eq!(index.now(), at(1000));
    assert_eq!(index.outcome_of(&key).unwrap().left_out[0].reason.as_str(), "Expired");
    assert!(!index.apply(Change::DeletePart(key.clone())));
    assert_eq!(index.outcome_of(&key), None);
}

#[test]
fn nothing_is_left_behind_when_everything_is_gone() {
    let mut index = loaded();
    let empty = Index::new(at(0)).digest().to_owned();
    let parts: Vec<_> = (1..9u8)
        .map(|fact| {
            part("s", fact, vec![claim(&format!("c{}", fact % 3), "domain", "10.0.0.1/32")])
        })
        .collect();
    for part in &parts {
        index.apply(Change::PutPart(Arc::new(part.clone())));
    }
    for accepted in base() {
        index.apply(Change::DeleteAccepted(accepted.key().clone()));
    }
    for part in &parts {
        index.apply(Change::DeletePart(PartKey::of(part)));
    }
    assert_eq!(index.digest(), empty);
    assert!(index.slots.is_empty(), "{:?}", index.slots);
    assert!(index.groups.is_empty(), "{:?}", index.groups);
    assert!(index.expiry.is_empty());
}

#[test]
fn a_newer_winner_of_a_crowd_concerns_the_old_one_and_nobody_else() {
    let mut index = loaded();
    let key = claim("c", "domain", "10.0.0.1/32").key;
    let propose = |index: &mut Index, fact: u8, observed: i64| {
        let mut part = part("s", fact, vec![claim("c", "domain", "10.0.0.1/32")]);
        part.event_observed_at = at(observed);
        index.apply(Change::PutPart(Arc::new(part)));
        index.take_touched().parts.len()
    };
    index.take_touched();
    for fact in 1..=16u8 {
        let told = propose(&mut index, fact, 100 + i64::from(fact));
        assert_eq!(told, usize::from(fact), "each of a few is told who won");
    }
    assert!(!index.is_crowded(&key));
    assert_eq!(propose(&mut index, 17, 117), 17, "once more, that they are many now");
    assert!(index.is_crowded(&key));
    for fact in 18..=100u8 {
        assert_eq!(
            propose(&mut index, fact, 100 + i64::from(fact)),
            2,
            "{fact} and who won before"
        );
    }
    // Observed again, one by one: each wins in its turn.
    for fact in 1..=50u8 {
        assert_eq!(propose(&mut index, fact, 300 + i64::from(fact)), 2);
    }
    for fact in (17..=100u8).rev() {
        let gone = PartKey::of(&part("s", fact, vec![]));
        index.apply(Change::DeletePart(gone));
        index.take_touched();
    }
    assert!(!index.is_crowded(&key));
    assert_eq!(propose(&mut index, 3, 500), 16, "a few again");
}
