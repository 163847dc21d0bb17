//! The rules of the design's "From fact to part", one sentence each.

use super::*;
use crate::api::event::Event;
use crate::api::fact::{FactId, Stretch};
use crate::api::run::{Failing, Intent, Success};

fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A situation; a test changes what its sentence is about.
struct Case {
    now: i64,
    subscription: Option<(&'static str, EventSubscriptionSpec)>,
    has_group: bool,
    effect: Option<&'static str>,
    fact: Option<Fact>,
    end: i64,
    ended: bool,
    matches: bool,
    retracted_at: Option<i64>,
    work: Option<Work>,
    part: Option<Part>,
    executable: Option<&'static str>,
}

/// At 100 s: a matching fact, observed at 0 s as event `e1`, that ends at 1000 s.
fn fresh() -> Case {
    Case {
        now: 100,
        subscription: Some(("uid-1", spec())),
        has_group: true,
        effect: Some("effect-1"),
        fact: Some(fact("e1", 0)),
        end: 1000,
        ended: false,
        matches: true,
        retracted_at: None,
        work: None,
        part: None,
        executable: None,
    }
}

/// The same with a part that a run at 0 s made, with a ttl of 300 s.
fn served() -> Case {
    let succeeded = Some(Success { run_key: key("e1", 0), renewal: 0 });
    let work = Work { succeeded, ..Work::new("sub", fact("e1", 0).id, "uid-1") };
    Case { part: Some(part()), work: Some(work), ..fresh() }
}

impl Case {
    fn plan(&self) -> Plan {
        let observed = self.fact.as_ref().map(|fact| Observed {
            fact,
            end: at(self.end),
            ended: self.ended,
            matches: self.matches,
            retracted_at: self.retracted_at.map(at),
        });
        let subscription = self.subscription.as_ref().map(|(uid, spec)| Subscribed {
            uid,
            spec,
            has_group: self.has_group,
            effect: self.effect,
        });
        plan(&Inputs {
            now: at(self.now),
            subscription,
            fact: observed,
            work: self.work.as_ref(),
            part: self.part.as_ref(),
            executable: self.executable,
        })
    }

    /// The plan carried out, as far as it concerns the part.
    fn then(mut self, now: i64) -> Self {
        match self.plan().part {
            PartStep::Keep => {}
            PartStep::Put(part) => self.part = Some(*part),
            PartStep::Delete => self.part = None,
        }
        self.now = now;
        self
    }

    fn due(&self) -> Option<(String, u64)> {
        self.plan().run.map(|due| (due.run_key, due.renewal))
    }

    fn grace(mut self, grace: u64) -> Self {
        let (_, spec) = self.subscription.as_mut().unwrap();
        spec.retire.grace = crate::api::duration::GoDuration::from_secs(grace);
        if let Some(part) = &mut self.part {
            part.grace = seconds(grace);
        }
        self
    }

    fn suspended(mut self) -> Self {
        self.subscription.as_mut().unwrap().1.suspend = true;
        self
    }
}

fn spec() -> EventSubscriptionSpec {
    serde_json::from_value(serde_json::json!({
        "groupRef": "g", "match": {"types": ["t"]}, "trigger": {"pluginRef": "p"},
    }))
    .unwrap()
}

fn event(id: &str, observed: i64) -> Event {
    Event {
        id: id.into(),
        group: "g".into(),
        r#type: "t".into(),
        source_node: "n".into(),
        subject: "10.0.0.1/32".into(),
        dedupe_key: String::new(),
        payload: crate::api::payload::Payload::default(),
        observed_at: Some(at(observed)),
        expires_at: None,
    }
}

fn fact(id: &str, observed: i64) -> Fact {
    let event = event(id, observed);
    Fact {
        id: FactId::of(&event),
        seq: 1,
        observed_at: at(observed),
        stretches: vec![Stretch { from: at(0), to: at(1000) }],
        ended: None,
        event,
    }
}

fn key(event: &str, renewal: u64) -> String {
    run_key("uid-1", "g", event, "effect-1", renewal)
}

fn part() -> Part {
    Part {
        subscription: "sub".into(),
        fact: fact("e1", 0).id,
        subscription_uid: "uid-1".into(),
        uid: "part-uid".into(),
        group: "g".into(),
        event_id: "e1".into(),
        subject: "10.0.0.1/32".into(),
        source_node: "n".into(),
        event_type: "t".into(),
        event_observed_at: at(0),
        since: at(0),
        plugin: "p".into(),
        run_key: key("e1", 0),
        generation: 1,
        created_at: at(0),
        observed_at: at(0),
        result_expires_at: at(300),
        expires_at: at(300),
        grace: Duration::ZERO,
        retiring: None,
        digest: "d".into(),
        resources: Vec::new(),
        directives: Vec::new(),
        action_plans: Vec::new(),
    }
}

fn failing(key: String, not_before: i64) -> Failing {
    Failing {
        run_key: key,
        attempts: 1,
        since: at(0),
        last_at: at(50),
        not_before: at(not_before),
        reason: "ExitCode".into(),
        message: String::new(),
        stderr: String::new(),
        run: 1,
        cohort: None,
        dead: false,
        executable: Some("file-1".into()),
    }
}

fn failed(not_before: i64) -> Case {
    let failing = Some(failing(key("e1", 0), not_before));
    let work = Work { failing, ..Work::new("sub", fact("e1", 0).id, "uid-1") };
    Case { work: Some(work), ..fresh() }
}

fn dead() -> Case {
    let mut case = failed(60);
    case.work.as_mut().unwrap().failing.as_mut().unwrap().dead = true;
    Case { executable: Some("file-1"), ..case }
}

fn retired(step: PartStep) -> (Time, Retiring) {
    match step {
        PartStep::Put(part) => (part.expires_at, part.retiring.expect("it retires")),
        other => panic!("{other:?}"),
    }
}

// Wanted and gone.

#[test]
fn a_live_matching_fact_without_a_part_is_due_at_once() {
    let plan = fresh().plan();
    let due = Due { run_key: key("e1", 0), renewal: 0, event_id: "e1".to_owned(), retry: false };
    assert_eq!(plan.run, Some(due));
    assert_eq!(plan.part, PartStep::Keep);
    assert_eq!(plan.wake, Some(at(1000)), "asked again when the fact ends");
}

#[test]
fn every_way_of_not_being_wanted_starts_no_run_and_retires_the_part_with_its_reason() {
    use RetireReason as R;
    type Way = (RetireReason, i64, fn(&mut Case));
    let ways: [Way; 9] = [
        (R::SubscriptionDeleted, 100, |c| c.subscription = None),
        (R::GroupDeleted, 100, |c| c.has_group = false),
        (R::PluginDeleted, 100, |c| c.effect = None),
        (R::FactExpired, 100, |c| c.fact = None),
        (R::NoLongerMatches, 100, |c| c.matches = false),
        (R::FactExpired, 90, |c| c.end = 90),
        (R::FactExpired, 100, |c| c.end = 100),
        (R::FactRetracted, 80, |c| c.retracted_at = Some(80)),
        (R::FactRetracted, 80, |c| (c.retracted_at, c.end) = (Some(80), 90)),
    ];
    for (reason, since, change) in ways {
        let mut case = served().grace(60);
        change(&mut case);
        let plan = case.plan();
        assert_eq!(plan.run, None, "{reason:?}");
        let expected = (at(since + 60), Retiring { since: at(since), reason });
        assert_eq!(retired(plan.part), expected);
        assert_eq!(plan.wake, Some(at(since + 60)), "{reason:?}");
        let mut without = Case { part: None, ..served() };
        change(&mut without);
        assert_eq!((without.plan().run, without.plan().part), (None, PartStep::Keep));
    }
}

#[test]
fn what_ended_first_is_the_reason() {
    let case = Case { end: 70, retracted_at: Some(80), ..served().grace(60) };
    let (_, retiring) = retired(case.plan().part);
    assert_eq!(retiring, Retiring { since: at(70), reason: RetireReason::FactExpired });
}

#[test]
fn a_retraction_from_a_clock_that_is_ahead_counts_from_its_receipt() {
    // The fact's own observer may be ahead as well: order is by their times, effect is at once.
    let case = Case { retracted_at: Some(130), ..served().grace(60) };
    let (expires_at, retiring) = retired(case.plan().part);
    assert_eq!(retiring, Retiring { since: at(100), reason: RetireReason::FactRetracted });
    assert_eq!(expires_at, at(160));
}

// Retiring.

#[test]
fn without_grace_a_part_goes_the_moment_its_reason_does() {
    let case = Case { end: 100, ..served() };
    assert_eq!(case.plan().part, PartStep::Delete);
}

#[test]
fn retiring_is_written_once_and_the_grace_runs_from_the_first_reason() {
    let mut case = Case { end: 90, ..served().grace(60) };
    let first = retired(case.plan().part);
    case = case.then(120);
    case.matches = false;
    assert_eq!(case.plan().part, PartStep::Keep, "another reason moves nothing");
    assert_eq!(case.plan().wake, Some(at(150)));
    assert_eq!(case.part.as_ref().unwrap().expires_at, first.0);
    case = case.then(149);
    assert_eq!(case.plan().part, PartStep::Keep);
    case.now = 150;
    assert_eq!(case.plan().part, PartStep::Delete);
}

#[test]
fn the_grace_is_the_one_last_stored_on_the_part() {
    let mut case = Case { subscription: None, ..served() };
    case.part.as_mut().unwrap().grace = seconds(30);
    assert_eq!(retired(case.plan().part).0, at(130));
}

#[test]
fn a_late_look_takes_away_what_is_over_instead_of_serving_it_again() {
    let case = Case { now: 2000, ..served().grace(60) };
    assert_eq!(case.plan().part, PartStep::Delete, "the grace is over too");
    // The result ended at 300 s, nobody looked until the fact had ended at 1000 s.
    let case = Case { now: 1010, ..served().grace(60) };
    assert_eq!(case.plan().part, PartStep::Delete, "a part is never served after its expiry");
}

#[test]
fn a_fact_that_revives_keeps_the_part_and_the_end_that_its_result_gives_it() {
    let mut case = Case { end: 90, ..served().grace(60) }.then(120);
    assert!(case.part.as_ref().unwrap().retiring.is_some());
    case.fact = Some(fact("e2", 115));
    case.end = 1000;
    let plan = case.plan();
    let PartStep::Put(kept) = plan.part else { panic!("{:?}", plan.part) };
    assert_eq!((kept.retiring, kept.expires_at), (None, at(300)));
    assert_eq!((kept.uid.as_str(), kept.generation, kept.event_id.as_str()), ("part-uid", 1, "e1"));
    assert_eq!(plan.run.unwrap().run_key, key("e2", 1), "a new observation runs");
}

#[test]
fn a_fact_that_revives_in_the_grace_keeps_the_part_also_when_its_result_is_over() {
    // Retracted at 280 s, result over at 300 s, observed again at 310 s, grace until 340 s.
    let mut case = Case { now: 280, retracted_at: Some(280), ..served().grace(60) }.then(310);
    case.retracted_at = None;
    case.fact = Some(Fact { id: fact("e1", 0).id, ..fact("e1", 305) });
    let plan = case.plan();
    assert_eq!(plan.run.unwrap().run_key, key("e1", 1), "and is renewed at once");
    let PartStep::Put(kept) = plan.part else { panic!("{:?}", plan.part) };
    assert_eq!((kept.retiring.clone(), kept.expires_at), (None, at(340)));
    let case = Case { part: Some(*kept), now: 320, ..case };
    assert_eq!(case.plan().part, PartStep::Keep, "looking again changes nothing");
    assert_eq!(Case { now: 340, ..case }.plan().part, PartStep::Delete);
}

#[test]
fn a_subscription_made_anew_keeps_the_part_and_runs_under_its_own_key() {
    let case = Case { subscription: Some(("uid-2", spec())), ..served() };
    let plan = case.plan();
    assert_eq!(plan.part, PartStep::Keep);
    assert_eq!(plan.run.unwrap().run_key, run_key("uid-2", "g", "e1", "effect-1", 0));
}

// What follows a fact without a run.

#[test]
fn a_refresh_runs_nothing_and_moves_what_follows_from_the_fact() {
    let mut case = Case { end: 200, ..served().grace(10) };
    case.part.as_mut().unwrap().expires_at = at(210);
    assert_eq!(case.plan().part, PartStep::Keep);
    case.fact = Some(fact("e1", 95));
    case.end = 1000;
    let plan = case.plan();
    assert_eq!(plan.run, None);
    let PartStep::Put(touched) = plan.part else { panic!("{:?}", plan.part) };
    assert_eq!((touched.expires_at, touched.event_observed_at), (at(300), at(95)));
    assert_eq!((touched.generation, touched.since), (1, at(0)));
}

#[test]
fn a_newer_observation_leaves_the_old_content_until_its_run_succeeds() {
    let case = Case { fact: Some(fact("e2", 95)), ..served() };
    let plan = case.plan();
    assert_eq!(plan.part, PartStep::Keep);
    assert_eq!(plan.run.unwrap().event_id, "e2");
}

#[test]
fn a_part_ends_with_its_result_or_with_its_fact_and_the_grace() {
    for (result, fact_end, grace, end) in
        [(300, 1000, 60, 300), (300, 200, 0, 200), (300, 200, 60, 260), (300, 300, 60, 360)]
    {
        assert_eq!(expires_at(at(result), at(fact_end), seconds(grace)), at(end));
    }
}

#[test]
fn a_changed_grace_is_stored_on_the_part_while_it_lives() {
    let mut case = served();
    case.subscription.as_mut().unwrap().1.retire.grace =
        crate::api::duration::GoDuration::from_secs(45);
    let PartStep::Put(part) = case.plan().part else { panic!("{:?}", case.plan().part) };
    assert_eq!(part.grace, seconds(45));
}

// Renewal.

#[test]
fn a_renewal_is_due_at_two_thirds_of_the_lifetime_and_not_before() {
    let mut case = Case { now: 199, ..served() };
    assert_eq!((case.due(), case.plan().wake), (None, Some(at(200))));
    case.now = 200;
    assert_eq!(case.due(), Some((key("e1", 1), 1)));
    assert_eq!(case.plan().wake, Some(at(300)), "the part's end is looked at");
}

#[test]
fn nothing_is_renewed_when_the_facts_end_is_what_caps_the_part() {
    for end in [250, 300] {
        let mut case = Case { now: 249, end, ..served() };
        case.part.as_mut().unwrap().expires_at = at(end);
        assert_eq!((case.due(), case.plan().wake), (None, Some(at(end))), "{end}");
    }
    let case = Case { now: 249, end: 301, ..served() };
    assert_eq!(case.due(), Some((key("e1", 1), 1)));
}

#[test]
fn a_renewal_whose_intent_is_durable_keeps_its_key_after_a_crash() {
    let mut case = Case { now: 200, ..served() };
    let intent = Intent { run_key: key("e1", 1), at: at(200) };
    case.work.as_mut().unwrap().intent = Some(intent);
    assert_eq!(case.due(), Some((key("e1", 1), 1)));
    let succeeded = Success { run_key: key("e1", 1), renewal: 1 };
    case.work.as_mut().unwrap().succeeded = Some(succeeded);
    case.part.as_mut().unwrap().observed_at = at(200);
    case.part.as_mut().unwrap().result_expires_at = at(500);
    case.part.as_mut().unwrap().expires_at = at(500);
    assert_eq!((case.due(), case.plan().wake), (None, Some(at(400))));
}

#[test]
fn a_part_that_is_gone_though_its_run_succeeded_is_made_again_under_another_key() {
    let case = Case { part: None, ..served() };
    assert_eq!(case.due(), Some((key("e1", 1), 1)));
    let case = Case { now: 300, ..served() };
    assert_eq!(case.plan().part, PartStep::Delete, "never served after its expiry");
    assert_eq!(case.due(), Some((key("e1", 1), 1)));
}

// The run key.

#[test]
fn a_run_that_succeeded_is_not_due_again_and_whatever_makes_a_new_key_is() {
    assert_eq!(served().due(), None);
    let event = Case { fact: Some(fact("e2", 95)), ..served() };
    assert_eq!(event.due(), Some((key("e2", 1), 1)));
    let effect = Case { effect: Some("effect-2"), ..served() };
    assert_eq!(effect.due(), Some((run_key("uid-1", "g", "e1", "effect-2", 1), 1)));
    let mut rerun = served();
    rerun.work.as_mut().unwrap().renewal = 7;
    assert_eq!(rerun.due(), Some((key("e1", 7), 7)));
}

#[test]
fn an_effect_that_comes_back_after_another_succeeded_does_not_get_its_old_key() {
    let mut case = served();
    let succeeded = Success { run_key: run_key("uid-1", "g", "e1", "effect-2", 1), renewal: 1 };
    case.work.as_mut().unwrap().succeeded = Some(succeeded);
    assert_eq!(case.due(), Some((key("e1", 2), 2)));
    // The other one never succeeded: what is there is what would be made again.
    let mut case = served();
    let other = run_key("uid-1", "g", "e1", "effect-2", 1);
    case.work.as_mut().unwrap().intent = Some(Intent { run_key: other, at: at(50) });
    assert_eq!(case.due(), None);
}

#[test]
fn a_fact_whose_end_was_seen_is_not_revived_by_a_clock_that_goes_back() {
    let case = Case { ended: true, ..fresh() };
    assert_eq!((case.due(), case.plan().wanted), (None, None));
    let plan = Case { ended: true, ..served() }.plan();
    assert_eq!((plan.part, plan.ended), (PartStep::Delete, Some(at(1000))));
}

#[test]
fn windows_retries_and_the_grace_make_no_new_key() {
    let mut case = served();
    let (_, spec) = case.subscription.as_mut().unwrap();
    spec.trigger.retry.max_attempts = 50;
    spec.trigger.debounce = crate::api::duration::GoDuration::from_secs(9);
    spec.trigger.batch_window = crate::api::duration::GoDuration::from_secs(9);
    spec.retire.grace = crate::api::duration::GoDuration::from_secs(9);
    assert_eq!(case.due(), None);
}

// Suspension.

#[test]
fn suspension_starts_neither_runs_nor_renewals_and_parts_live_to_their_end() {
    assert_eq!(fresh().suspended().due(), None);
    let case = Case { now: 250, ..served().suspended() };
    assert_eq!((case.due(), case.plan().part), (None, PartStep::Keep));
    assert_eq!(case.plan().wake, Some(at(300)));
    let case = Case { now: 300, ..case };
    assert_eq!((case.due(), case.plan().part), (None, PartStep::Delete));
    let ended = Case { end: 100, ..served().suspended() };
    assert_eq!(ended.plan().part, PartStep::Delete, "facts end as ever");
}

#[test]
fn whether_a_part_is_wanted_does_not_depend_on_a_run_being_due() {
    for (case, wanted) in [
        (fresh(), true),
        (fresh().suspended(), true),
        (served(), true),
        (dead(), true),
        (failed(160), true),
        (Case { matches: false, ..served() }, false),
        (Case { end: 100, ..fresh() }, false),
    ] {
        assert_eq!(case.plan().wanted, wanted.then(|| at(1000)));
    }
}

// Failure.

#[test]
fn a_failed_run_waits_for_its_backoff_and_is_then_due_as_a_retry() {
    let case = failed(160);
    assert_eq!((case.due(), case.plan().wake), (None, Some(at(160))));
    let due = Case { now: 160, ..case }.plan().run.unwrap();
    assert_eq!((due.run_key, due.retry), (key("e1", 0), true));
}

#[test]
fn what_failed_under_another_key_holds_nothing_back() {
    for change in [
        (|c| c.fact = Some(fact("e2", 95))) as fn(&mut Case),
        |c| c.effect = Some("effect-2"),
        |c| c.subscription = Some(("uid-2", spec())),
        |c| c.work.as_mut().unwrap().renewal = 1,
    ] {
        let mut case = failed(160);
        change(&mut case);
        assert!(case.plan().run.is_some_and(|due| !due.retry));
    }
}

#[test]
fn a_dead_letter_waits_for_a_new_observation_or_a_changed_plugin_file() {
    let mut case = dead();
    assert!(case.plan().dead);
    assert_eq!((case.due(), case.plan().wake), (None, Some(at(1000))));
    case.executable = Some("file-2");
    assert_eq!(case.due(), Some((key("e1", 0), 0)));
    assert!(!case.plan().dead);
    case.executable = None;
    assert_eq!(case.due(), None, "a file that is gone has not been mended");
    let observed = Case { fact: Some(fact("e2", 95)), ..dead() };
    assert_eq!(observed.due(), Some((key("e2", 0), 0)));
    let refreshed = Case { fact: Some(fact("e1", 95)), ..dead() };
    assert_eq!(refreshed.due(), None, "the same observation again is no news");
}

#[test]
fn a_dead_renewal_leaves_the_part_to_live_to_its_end() {
    let mut case = Case { now: 250, executable: Some("file-1"), ..served() };
    let work = case.work.as_mut().unwrap();
    work.renewal = 1;
    work.failing = Some(Failing { dead: true, ..failing(key("e1", 1), 0) });
    assert!(case.plan().dead);
    assert_eq!((case.plan().part, case.plan().wake), (PartStep::Keep, Some(at(300))));
    let case = Case { now: 300, ..case };
    assert_eq!((case.plan().part, case.due()), (PartStep::Delete, None));
}

// Forgetting.

#[test]
fn work_is_forgotten_with_its_subscription_or_its_fact_and_not_before() {
    let forgets = |change: fn(&mut Case)| {
        let mut case = served();
        change(&mut case);
        case.plan().forget_work
    };
    assert!(forgets(|c| c.subscription = None));
    assert!(forgets(|c| c.fact = None));
    assert!(forgets(|c| (c.subscription, c.matches) = (Some(("uid-2", spec())), false)));
    assert!(!forgets(|c| c.end = 100), "the fact may revive");
    assert!(!forgets(|c| c.matches = false), "it may match again");
    assert!(!forgets(|c| c.effect = None), "the plugin may come back");
    assert!(!forgets(|_| ()));
    assert!(!forgets(|c| (c.work, c.fact) = (None, None)), "there is nothing to forget");
}

#[test]
fn failures_are_forgotten_with_what_they_were_for_and_the_success_stays() {
    let forgets = |change: fn(&mut Case)| {
        let mut case = dead();
        change(&mut case);
        let plan = case.plan();
        (plan.forget_failure, plan.forget_work)
    };
    assert_eq!(forgets(|_| ()), (false, false), "it waits for an operator");
    assert_eq!(forgets(|c| c.end = 100), (true, false), "there is nothing to retry");
    assert_eq!(forgets(|c| c.retracted_at = Some(90)), (true, false));
    assert_eq!(forgets(|c| c.matches = false), (true, false));
    assert_eq!(forgets(|c| c.effect = None), (true, false));
    assert_eq!(forgets(|c| c.fact = None), (false, true), "all is forgotten");
    let mut served = served();
    served.end = 100;
    assert!(!served.plan().forget_failure, "it did not fail");
}

#[test]
fn a_plan_carried_out_asks_for_nothing_more() {
    for case in [
        served(),
        Case { end: 90, ..served().grace(60) },
        Case { retracted_at: Some(80), ..served().grace(60) },
        Case { fact: Some(fact("e1", 95)), end: 250, ..served().grace(7) },
        Case { subscription: None, ..served() },
    ] {
        let now = case.now;
        let again = case.then(now);
        assert_eq!(again.plan().part, PartStep::Keep);
    }
}

// What the plugin's manifest no longer allows.

#[test]
fn a_part_of_another_effect_retires_once_the_present_one_does_not_allow_what_is_proposed() {
    for (reason, made_under, retires) in [
        ("NotCapable", "effect-0", true),
        ("UnknownKind", "effect-0", true),
        ("ForbiddenKind", "effect-0", true),
        // What may be a passing fault leaves the part; so does a fault of the same rule.
        ("ExitCode", "effect-0", false),
        ("NotCapable", "effect-1", false),
    ] {
        let mut case = served().grace(30);
        let last = run_key("uid-1", "g", "e1", made_under, 0);
        let work = case.work.as_mut().unwrap();
        work.succeeded = Some(Success { run_key: last, renewal: 0 });
        // As it is when the run under the present effect was refused at 50 s.
        let renewal = work.next_renewal();
        work.failing = Some(Failing {
            reason: reason.into(),
            dead: true,
            since: at(50),
            ..failing(key("e1", renewal), 60)
        });
        case.executable = Some("file-1");
        if made_under == "effect-1" {
            // A renewal is due: else nothing would have run.
            case.now = 250;
        }
        let plan = case.plan();
        assert_eq!(plan.run, None, "{reason}");
        if !retires {
            assert_eq!(plan.part, PartStep::Keep, "{reason} {made_under}");
            continue;
        }
        // Its grace began when that was known, and is over at 80 s.
        assert_eq!(plan.part, PartStep::Delete, "{reason}");
        case.now = 70;
        let (expires_at, retiring) = retired(case.plan().part);
        assert_eq!((expires_at, retiring.since), (at(80), at(50)));
        assert_eq!(retiring.reason, RetireReason::NoLongerAllowed);
        // It stays so, with its failure, until the manifest is another one.
        let case = case.then(75);
        assert_eq!(case.plan().part, PartStep::Keep);
        assert!(!case.plan().forget_failure);
        // A newer observation is no reason to serve it longer.
        let mut newer = case;
        newer.fact = Some(fact("e2", 72));
        assert_eq!(newer.plan().part, PartStep::Keep);
        assert!(newer.plan().run.is_some(), "it is tried for the new observation");
        let mut case = newer;
        case.fact = Some(fact("e1", 0));
        let back = Case { effect: Some("effect-0"), ..case };
        match back.plan().part {
            PartStep::Put(part) => assert_eq!(part.retiring, None),
            other => panic!("{other:?}"),
        }
        assert_eq!(back.plan().run, None, "it has what it had");
    }
}
