//! Retraction and liveness, one sentence each.

use super::*;

const MAX_AGE: Duration = Duration::from_secs(1000);

fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

/// A fact of the observer `n` in the group `g`; `what` is its type, subject and dedupeKey.
fn fact(what: [&str; 3], observed: i64) -> Fact {
    let [r#type, subject, dedupe_key] = what.map(str::to_owned);
    let event = Event {
        id: format!("{type}-{subject}-{dedupe_key}-{observed}"),
        group: "g".into(),
        r#type,
        source_node: "n".into(),
        subject,
        dedupe_key,
        payload: crate::api::payload::Payload::default(),
        observed_at: Some(at(observed)),
        expires_at: None,
    };
    of(event, observed)
}

fn of(event: Event, observed: i64) -> Fact {
    let (from, to) = (at(observed), at(observed + 1000));
    Fact {
        id: FactId::of(&event),
        seq: 1,
        observed_at: at(observed),
        stretches: vec![Stretch { from, to }],
        ended: None,
        event,
    }
}

fn facts(all: impl IntoIterator<Item = Fact>) -> Facts {
    let mut facts = Facts::default();
    all.into_iter().for_each(|fact| facts.put(Arc::new(fact), MAX_AGE));
    facts
}

fn retracted(facts: &Facts, fact: &Fact) -> Option<i64> {
    facts.retracted_at(fact, &["gone".to_owned()]).map(Time::as_second)
}

#[test]
fn a_retraction_ends_the_facts_of_its_subject_or_its_dedupe_key() {
    for (seen, gone, ended) in [
        (["seen", "s", ""], ["gone", "s", ""], true),
        (["seen", "s", "d"], ["gone", "s", ""], true),
        (["seen", "s", "d"], ["gone", "other", "d"], true),
        (["seen", "s", "d"], ["gone", "", "d"], true),
        (["seen", "", "d"], ["gone", "s", "d"], true),
        (["seen", "s", ""], ["gone", "other", ""], false),
        (["seen", "s", "d"], ["gone", "other", "e"], false),
        (["seen", "s", ""], ["gone", "", "s"], false),
        (["seen", "", ""], ["gone", "", ""], false),
        (["seen", "s", ""], ["leaving", "s", ""], false),
    ] {
        let seen = fact(seen, 10);
        let facts = facts([seen.clone(), fact(gone, 20)]);
        assert_eq!(retracted(&facts, &seen), ended.then_some(20), "{gone:?}");
    }
}

#[test]
fn only_the_observer_itself_retracts_and_only_in_the_group() {
    let seen = fact(["seen", "s", "d"], 10);
    let gone = fact(["gone", "s", "d"], 20);
    let elsewhere = Event { source_node: "n2".into(), ..gone.event.clone() };
    let other_group = Event { group: "g2".into(), ..gone.event.clone() };
    let facts = facts([seen.clone(), of(elsewhere, 20), of(other_group, 20)]);
    assert_eq!(retracted(&facts, &seen), None);
}

#[test]
fn what_was_observed_not_later_ends_and_only_a_strictly_later_observation_revives() {
    for (seen, gone, ended) in [(10, 20, true), (20, 20, true), (21, 20, false)] {
        let fact_seen = fact(["seen", "s", ""], seen);
        let facts = facts([fact_seen.clone(), fact(["gone", "s", ""], gone)]);
        assert_eq!(retracted(&facts, &fact_seen), ended.then_some(gone), "{seen} {gone}");
    }
}

#[test]
fn the_order_of_arrival_does_not_matter_to_a_retraction() {
    let (seen, gone) = (fact(["seen", "s", ""], 10), fact(["gone", "s", ""], 20));
    let later = fact(["seen", "s", ""], 30);
    let mut early = facts([gone.clone()]);
    early.put(Arc::new(seen.clone()), MAX_AGE);
    assert_eq!(retracted(&early, &seen), Some(20), "the retraction came first");
    early.put(Arc::new(later.clone()), MAX_AGE);
    assert_eq!(retracted(&early, &later), None);
    let mut late = facts([later.clone()]);
    late.put(Arc::new(gone), MAX_AGE);
    assert_eq!(retracted(&late, &later), None, "the retraction came last");
}

#[test]
fn the_earliest_of_several_retractions_is_when_the_fact_ended() {
    let seen = fact(["seen", "s", "d"], 10);
    let others = [["gone", "s", ""], ["gone", "x", "d"], ["gone", "s", "early"]];
    let times = [30, 20, 5];
    let gone = others.into_iter().zip(times).map(|(what, time)| fact(what, time));
    let facts = facts(gone.chain([seen.clone()]));
    assert_eq!(retracted(&facts, &seen), Some(20), "and none that was observed before it");
}

#[test]
fn without_retract_types_nothing_is_retracted() {
    let seen = fact(["seen", "s", ""], 10);
    let facts = facts([seen.clone(), fact(["gone", "s", ""], 20)]);
    assert_eq!(facts.retracted_at(&seen, &[]), None);
    let types = ["away".to_owned(), "gone".to_owned()];
    assert_eq!(facts.retracted_at(&seen, &types), Some(at(20)));
}

#[test]
fn siblings_are_the_other_facts_of_the_same_thing_and_forgotten_ones_are_none() {
    let seen = fact(["seen", "s", "d"], 10);
    let (by_subject, by_key) = (fact(["a", "s", ""], 1), fact(["b", "x", "d"], 1));
    let stranger = fact(["a", "x", ""], 1);
    let mut facts = facts([seen.clone(), by_subject.clone(), by_key.clone(), stranger]);
    let siblings = |facts: &Facts| {
        let mut ids: Vec<FactId> = facts.siblings(&seen).map(|fact| fact.id).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let mut expected = vec![by_subject.id, by_key.id];
    expected.sort();
    assert_eq!(siblings(&facts), expected);
    facts.remove(&by_subject.id, MAX_AGE);
    assert_eq!(siblings(&facts), [by_key.id]);
}

#[test]
fn a_newer_event_of_a_fact_takes_the_place_of_the_older_everywhere() {
    let old = fact(["seen", "s", "d"], 10);
    // The same fact key (its dedupeKey), about another subject.
    let new = fact(["seen", "moved", "d"], 20);
    assert_eq!(old.id, new.id);
    let mut facts = facts([old.clone()]);
    facts.put(Arc::new(new.clone()), MAX_AGE);
    assert_eq!((facts.len(), facts.get(&old.id).unwrap().event.subject.as_str()), (1, "moved"));
    assert_eq!(facts.of_type("g", "seen").collect::<Vec<_>>(), [old.id]);
    assert_eq!((facts.live("g", at(1009)), facts.live("g", at(1020))), (1, 0));
    assert_eq!(facts.live("g", at(1015)), 1, "the end is that of the newer one");
    let about = |subject| fact(["gone", subject, ""], 30);
    assert_eq!(facts.siblings(&about("s")).count(), 0);
    assert_eq!(facts.siblings(&about("moved")).count(), 1);
}

#[test]
fn live_facts_are_those_whose_end_is_to_come() {
    let expiring = |subject: &str, end: i64| {
        let base = fact(["seen", subject, ""], 0);
        of(Event { expires_at: Some(at(end)), ..base.event }, 0)
    };
    let facts = facts([expiring("a", 50), expiring("b", 60), fact(["seen", "c", ""], 0)]);
    for (now, live, ended) in [(0, 3, 0), (49, 3, 0), (50, 2, 1), (60, 1, 2), (1000, 0, 3)] {
        assert_eq!(facts.live("g", at(now)), live, "{now}");
        assert_eq!(facts.ended("g", at(now)).count(), ended, "{now}");
    }
    assert_eq!(facts.live("g2", at(0)), 0);
    assert_eq!(facts.next_end("g", at(0)), Some(at(50)));
    assert_eq!(facts.next_end("g", at(50)), Some(at(60)));
    assert_eq!(facts.next_end("g", at(1000)), None);
}

#[test]
fn another_max_age_moves_the_ends_of_facts_without_an_expiry_and_no_others() {
    let own = fact(["seen", "own", ""], 0);
    let own = of(Event { expires_at: Some(at(500)), ..own.event }, 0);
    let bare = fact(["seen", "bare", ""], 0);
    let mut facts = facts([own, bare.clone()]);
    assert_eq!(facts.live("g", at(600)), 1);
    let shorter = Duration::from_secs(100);
    facts.set_max_age("g", shorter);
    assert_eq!((facts.live("g", at(99)), facts.live("g", at(100))), (2, 1));
    assert_eq!(facts.next_end("g", at(100)), Some(at(500)));
    assert!(facts.remove(&bare.id, shorter).is_some());
    assert_eq!(facts.ended("g", at(2000)).count(), 1, "nothing of it is left behind");
}

#[test]
fn what_is_taken_out_leaves_nothing_behind() {
    let all = [fact(["a", "s", "d"], 1), fact(["b", "s", ""], 2), fact(["b", "", ""], 3)];
    let mut facts = facts(all.clone());
    for fact in &all {
        assert!(facts.remove(&fact.id, MAX_AGE).is_some());
        assert!(facts.remove(&fact.id, MAX_AGE).is_none());
    }
    assert!(facts.is_empty() && facts.by_thing.is_empty());
    assert!(facts.by_type.values().all(HashMap::is_empty));
    assert!(facts.by_end.values().all(BTreeSet::is_empty));
}

#[test]
fn of_very_many_facts_about_one_thing_the_earliest_retraction_counts() {
    let mut all: Vec<Fact> = (0..500).map(|n| fact(["seen", "s", &format!("d{n}")], n)).collect();
    all.extend((0..50).map(|n| fact(["gone", "s", &format!("g{n}")], 100 + 10 * n)));
    let facts = facts(all.clone());
    for own in &all {
        // By looking at each of them, as the rule is written.
        let slowly = all
            .iter()
            .filter(|other| other.id != own.id && other.event.r#type == "gone")
            .filter(|other| other.observed_at >= own.observed_at)
            .map(|other| other.observed_at.as_second())
            .min();
        assert_eq!(retracted(&facts, own), slowly, "{}", own.event.id);
    }
    assert_eq!(facts.siblings_of_type(&all[0], "gone").count(), 50);
    assert_eq!(facts.siblings(&all[0]).count(), 549);
}

#[test]
fn facts_whose_end_is_not_on_record_are_counted_by_type() {
    let mut facts = facts([fact(["seen", "a", ""], 0), fact(["seen", "b", ""], 0)]);
    let ended = Fact { ended: Some(at(5000)), ..fact(["seen", "a", ""], 0) };
    let count = |facts: &Facts| facts.unended_of_type("g", "seen");
    assert_eq!(count(&facts), 2);
    facts.put(Arc::new(ended.clone()), MAX_AGE);
    assert_eq!(count(&facts), 1);
    // Under a longer maxAge its end has not come.
    facts.set_max_age("g", Duration::from_secs(10_000));
    assert_eq!(count(&facts), 2);
    facts.remove(&ended.id, Duration::from_secs(10_000));
    assert_eq!(count(&facts), 1);
    assert_eq!(facts.unended_of_type("g", "gone"), 0);
}

#[test]
fn an_event_is_about_what_its_observer_has_spoken_of() {
    let facts = facts([fact(["seen", "s", "d"], 0), fact(["gone", "s", ""], 1)]);
    let about = |what: [&str; 3]| facts.is_about(&fact(what, 9).event, |t| t != "gone");
    assert!(about(["gone", "s", ""]));
    assert!(about(["gone", "", "d"]));
    assert!(about(["gone", "other", "d"]), "the key names it");
    assert!(!about(["gone", "s", "fresh"]), "one that nobody has heard of names another fact");
    assert!(!about(["gone", "other", ""]));
    assert!(!about(["gone", "", "s"]));
}
