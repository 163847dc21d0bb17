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
