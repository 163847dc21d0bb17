//! `kill -9` at each step between accept and commit: wherever the daemon dies, the effect of a
//! plugin is stored once, nothing acknowledged is missing, and the end is that of a run that
//! nobody disturbed.
//!
//! `cargo test --features failpoints --test failpoints`, after
//! `cargo build --example event-to-remote-claim`.

#[path = "crash/node.rs"]
#[allow(dead_code, reason = "shared with the crash tests, which use the rest")]
mod node;

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;

use node::{Node, essence, event_line};
use serde_json::Value;

const SIGKILL: i32 = 9;
const EVENTS: u32 = 6;
/// A point that is passed more often is passed in the same way.
const MOST_ARRIVALS: u64 = 24;

fn lines() -> Vec<String> {
    (1..=EVENTS).map(|n| event_line(&format!("event-{n}"), n, u64::from(n))).collect()
}

/// What is left when everything has settled.
struct End {
    parts: Vec<Value>,
    generations: Vec<u64>,
    rendered: String,
    events: HashSet<String>,
}

impl End {
    fn assert_is(&self, undisturbed: &Self, what: &str) {
        assert_eq!(self.events, undisturbed.events, "{what}: other events");
        assert_eq!(self.generations, undisturbed.generations, "{what}: an effect stored twice");
        let odd = self.parts.iter().find(|part| !undisturbed.parts.contains(part));
        assert!(odd.is_none(), "{what}: an undisturbed run has no such part: {odd:?}");
        assert_eq!(self.parts.len(), undisturbed.parts.len(), "{what}: parts are missing");
        assert_eq!(self.rendered, undisturbed.rendered, "{what}: another effective config");
    }
}

fn end_of(node: &Node) -> End {
    node.converge();
    let parts = node.parts();
    let generation = |part: &Value| part["spec"]["generation"].as_u64().expect("a generation");
    End {
        generations: parts.iter().map(generation).collect(),
        parts: essence(&parts),
        rendered: node.render(),
        events: node.event_ids(),
    }
}

fn undisturbed() -> End {
    let mut node = Node::new();
    node.start();
    assert!(node.emit(&lines()).iter().all(|answer| answer["accepted"] == true));
    let end = end_of(&node);
    assert_eq!((end.parts.len(), end.events.len()), (EVENTS as usize, EVENTS as usize));
    end
}

/// Emits one by one, so that the daemon dies between any two of them too; routerctl writes the
/// rest to the store itself. Returns the ids that were acknowledged.
fn emit_what_goes(node: &Node) -> HashSet<String> {
    // The manifests first, unless it dies over them.
    _ = node.ctl(&["wait", "--converged", "--timeout", "60s"]);
    let mut acknowledged = HashSet::new();
    for line in lines() {
        for answer in node.emit(&[line]) {
            if answer["accepted"] == true {
                acknowledged.insert(answer["id"].as_str().expect("an id").to_owned());
            }
        }
    }
    acknowledged
}

/// Goes on after a crash: nothing that was acknowledged may be missing, and sending everything
/// again is safe.
fn recover(node: &mut Node, acknowledged: &HashSet<String>, what: &str) -> End {
    node.start();
    assert!(!node.has_quarantine(), "{what}: a crash was taken for damage\n{}", node.tail());
    let kept = node.event_ids();
    let missing: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(missing.is_empty(), "{what}: acknowledged and lost: {missing:?}");
    assert!(node.emit(&lines()).iter().all(|answer| answer["accepted"] == true), "{what}");
    let end = end_of(node);
    node.stop();
    end
}

/// Lets the daemon die at the first, second … arrival at `point`, until one run does not get there
/// that often. Returns how often it died.
fn die_at_every_arrival(point: &str) -> u64 {
    let undisturbed = undisturbed();
    for arrival in 1..=MOST_ARRIVALS {
        let what = format!("{point}:{arrival}");
        let mut node = Node::new();
        let died_early = node.try_start(&[("ROUTERD_CRASH_AT", &what)]).is_some();
        let acknowledged = if died_early { HashSet::new() } else { emit_what_goes(&node) };
        if !died_early {
            let settled = node.ctl(&["wait", "--converged", "--timeout", "60s"]);
            if settled.code == Some(0) {
                // The status and conditions that are still being written may be the last arrival.
                node.stop();
                recover(&mut node, &acknowledged, &what).assert_is(&undisturbed, &what);
                return arrival - 1;
            }
            let status = node.wait_ended();
            assert_eq!(status.signal(), Some(SIGKILL), "{what}: {status}\n{}", node.tail());
        }
        recover(&mut node, &acknowledged, &what).assert_is(&undisturbed, &what);
    }
    MOST_ARRIVALS
}

macro_rules! points {
    ($($name:ident: $point:literal, at least $least:literal;)*) => {$(
        #[test]
        fn $name() {
            let died = die_at_every_arrival($point);
            println!("{}: died {died} times, nothing lost, the same end", $point);
            assert!(died >= $least, "{} was reached only {died} times", $point);
        }
    )*};
}

points! {
    dying_before_an_event_reaches_the_store_loses_nothing: "control::before_accept", at least 6;
    dying_before_the_answer_is_sent_loses_nothing: "control::before_answer", at least 6;
    dying_before_a_group_is_applied_loses_nothing: "store::before_apply", at least 12;
    dying_between_apply_and_sync_loses_nothing: "store::before_sync", at least 12;
    dying_after_the_sync_loses_nothing: "store::after_sync", at least 12;
    dying_before_the_acknowledgement_loses_nothing: "store::before_ack", at least 12;
    dying_after_the_intent_runs_the_plugin_again: "runner::after_intent", at least 1;
    dying_before_the_outcome_stores_the_effect_once: "runner::before_outcome", at least 1;
    dying_after_the_outcome_does_not_run_the_plugin_again: "runner::after_outcome", at least 1;
    dying_before_a_store_is_announced_to_be_whole_is_no_damage: "store::before_complete", at least 1;
    dying_before_a_store_has_its_first_row_is_no_damage: "store::after_announce", at least 1;
}

#[test]
fn a_plugin_that_kills_the_daemon_has_its_effect_stored_once() {
    let undisturbed = undisturbed();
    let moments = [
        ("before it reads", "once; exec \"$PLUGIN\""),
        ("before it answers", "\"$PLUGIN\" > \"$NODE/answer\"; once; cat \"$NODE/answer\""),
        ("after it answered", "\"$PLUGIN\"; once"),
    ];
    for (moment, script) in moments {
        let mut node = Node::new();
        node.wrap_plugin(&format!(
            "once() {{ test -e \"$NODE/killed\" || {{ : > \"$NODE/killed\"; kill -9 $PPID; }}; }}\n{script}"
        ));
        node.start();
        let acknowledged = emit_what_goes(&node);
        let status = node.wait_ended();
        assert_eq!(status.signal(), Some(SIGKILL), "{moment}: {status}\n{}", node.tail());
        recover(&mut node, &acknowledged, moment).assert_is(&undisturbed, moment);
    }
}

#[test]
fn dying_while_a_damaged_database_is_moved_aside_never_ends_in_a_silent_empty_state() {
    for arrival in 1..=2 {
        let what = format!("store::while_moving_aside:{arrival}");
        let mut node = Node::new();
        node.start();
        node.emit(&lines());
        node.stop();
        std::fs::write(node.state().join("db/db"), b"").expect("emptied");
        let status = node.try_start(&[("ROUTERD_CRASH_AT", &what)]).expect("it dies");
        assert_eq!(status.signal(), Some(SIGKILL), "{what}: {status}");
        node.start();
        let status = node.status();
        assert_eq!(status["store"]["healthy"], false, "{what}: {status}");
        assert!(node.log().contains("moved aside"), "{what}:\n{}", node.log());
    }
}

#[test]
fn dying_while_a_part_is_retired_ends_like_an_undisturbed_retirement() {
    let retract = |node: &Node| {
        let path = node.path("conf/router.yaml");
        let text = std::fs::read_to_string(&path).expect("manifests");
        let narrowed = text.replace("observed]}", "observed], subjectCIDRs: [10.0.0.4/30]}");
        assert_ne!(text, narrowed);
        std::fs::write(path, narrowed).expect("written");
    };
    let mut node = Node::new();
    node.start();
    node.emit(&lines());
    node.converge();
    retract(&node);
    let undisturbed = end_of(&node);
    assert_eq!(undisturbed.parts.len(), 3, "events 4, 5 and 6 still match");
    for arrival in 1..=3 {
        let what = format!("planner::before_write:{arrival}");
        let mut node = Node::new();
        assert!(node.try_start(&[("ROUTERD_CRASH_AT", &what)]).is_none());
        let acknowledged = emit_what_goes(&node);
        node.converge();
        retract(&node);
        let status = node.wait_ended();
        assert_eq!(status.signal(), Some(SIGKILL), "{what}: {status}\n{}", node.tail());
        recover(&mut node, &acknowledged, &what).assert_is(&undisturbed, &what);
    }
}
