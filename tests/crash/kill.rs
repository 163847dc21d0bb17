//! `kill -9` at random moments under load.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::load::{Ledger, Load};
use super::node::{Node, essence};
use super::random::Random;

const STREAMS: u64 = 3;

/// Kills the daemon `rounds` times, and compares the end with a run that nobody disturbed.
pub fn run(rounds: u64, random: &mut Random) {
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut node = Node::new();
    node.start();
    let (mut lost, mut early) = (0, 0);
    for round in 1..=rounds {
        let load = Load::start(&node, STREAMS, &ledger, random);
        random.pause(Duration::from_millis(350));
        node.kill();
        load.finish();
        if random.below(4) == 0 {
            // Once more while it starts and finishes what it had begun.
            node.spawn(&[]);
            random.pause(Duration::from_millis(250));
            node.kill();
            early += 1;
        }
        lost += check(&mut node, &ledger.lock().expect("the ledger"), round);
    }
    let ledger = ledger.lock().expect("the ledger");
    let refused = &ledger.refused;
    assert!(refused.is_empty(), "refused: {:?}", &refused[..refused.len().min(3)]);
    converges_to_an_undisturbed_run(&mut node, &ledger);
    println!(
        "kill -9: {rounds} rounds ({early} more while starting), sent: {}, acknowledged: {}, lost: {lost}",
        ledger.sent.len(),
        ledger.acknowledged.len(),
    );
    assert_eq!(lost, 0);
    assert!(ledger.acknowledged.len() as u64 > rounds, "the load was none");
}

/// Restarts and looks for everything that was promised.
fn check(node: &mut Node, ledger: &Ledger, round: u64) -> usize {
    node.start_busy();
    assert!(!node.has_quarantine(), "round {round}: quarantined\n{}", node.tail());
    // Parts first: an event that comes in between is no part without an event.
    let parts = node.parts();
    let kept = node.event_ids();
    for part in &parts {
        let event = part["status"]["eventId"].as_str().expect("an event's id");
        assert!(kept.contains(event), "round {round}: a part without its event {event}: {part}");
    }
    let missing = ledger.missing(&kept);
    if !missing.is_empty() {
        println!("round {round}: lost {missing:?}");
    }
    missing.len()
}

fn converges_to_an_undisturbed_run(node: &mut Node, ledger: &Ledger) {
    let accepted = |answers: Vec<serde_json::Value>| {
        assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
    };
    accepted(node.emit(&ledger.unknown()));
    node.converge();
    let mut undisturbed = Node::new();
    undisturbed.start();
    accepted(undisturbed.emit(&ledger.sent.values().cloned().collect::<Vec<_>>()));
    undisturbed.converge();
    assert_eq!(node.event_ids(), undisturbed.event_ids());
    assert_eq!(essence(&node.parts()), essence(&undisturbed.parts()), "the parts differ");
    assert_eq!(node.render(), undisturbed.render(), "the effective config differs");
    node.stop();
    undisturbed.stop();
}
