//! What goes wrong between two nodes, and what is true afterwards.

use std::fs;

use super::harness::wait_for;
use super::pair::{Pair, receiver_manifest, write_secret};
use super::proxy::Mode;

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n:03}")).collect()
}

/// Emits events that the proxy spoils, and waits until it has.
#[track_caller]
fn spoil(pair: &Pair, mode: Mode, events: Vec<String>) {
    let before = pair.proxy.spoiled();
    pair.proxy.set(mode);
    pair.emit(events);
    wait_for("spoiled requests", &pair.onprem.log_path(), || {
        let spoiled = pair.proxy.spoiled() - before;
        if spoiled > 0 { Ok(()) } else { Err("none so far".to_owned()) }
    });
}

#[test]
fn lost_answers_doubled_requests_resets_and_stalls_lose_nothing_and_double_nothing() {
    let pair = Pair::start();
    pair.emit(ids("before", 20));
    pair.deliver();
    pair.check();
    for (prefix, mode) in [
        ("lost", Mode::LoseAnswer),
        ("half", Mode::Half),
        ("cut", Mode::Cut),
        ("stall", Mode::Stall),
    ] {
        spoil(&pair, mode, ids(prefix, 20));
        if mode != Mode::Stall {
            pair.trouble(&["Broken", "Unreachable"]);
        }
        pair.proxy.set(Mode::Pass);
        pair.deliver();
        pair.check();
    }
    pair.proxy.set(Mode::Twice);
    pair.emit(ids("twice", 20));
    pair.deliver();
    pair.proxy.set(Mode::Pass);
    pair.check();
    // What nothing happened to is not sent again.
    let posts = pair.proxy.posts();
    pair.onprem.ctl("federation retry").exits(0);
    pair.deliver();
    assert_eq!(pair.proxy.posts(), posts);
}

#[test]
fn a_receiver_that_is_killed_and_one_whose_store_is_gone_end_up_with_everything() {
    let mut pair = Pair::start();
    pair.emit(ids("before", 30));
    pair.deliver();
    pair.receiver.take().expect("it runs").kill();
    pair.emit(ids("down", 30));
    pair.trouble(&["Broken", "Unreachable"]);
    pair.receiver = Some(pair.cloud.serve());
    pair.deliver();
    pair.check();

    pair.receiver.take().expect("it runs").stop();
    fs::remove_dir_all(pair.cloud.path("state")).expect("the state goes");
    pair.receiver = Some(pair.cloud.serve());
    pair.emit(ids("new", 1));
    wait_for("everything on the new store", &pair.cloud.log_path(), || {
        let arrived = pair.arrived().len();
        if arrived == 61 { Ok(()) } else { Err(format!("{arrived} arrived")) }
    });
    pair.deliver();
    pair.check();
}

#[test]
fn a_receiver_that_is_restored_from_a_backup_is_sent_what_it_has_lost() {
    let mut pair = Pair::start();
    pair.emit(ids("before", 20));
    pair.deliver();
    pair.cloud.ctl("backup --to old").exits(0);
    pair.emit(ids("after", 20));
    pair.deliver();
    pair.check();

    pair.receiver.take().expect("it runs").stop();
    fs::remove_dir_all(pair.cloud.path("state")).expect("the state goes");
    pair.cloud.ctl("restore --from old").exits(0);
    assert_eq!(pair.arrived().len(), 20, "what the backup has");
    pair.receiver = Some(pair.cloud.serve());
    // By the id of the store the sender knows that it is another one.
    pair.emit(ids("new", 1));
    wait_for("everything on the restored store", &pair.cloud.log_path(), || {
        let arrived = pair.arrived().len();
        if arrived == 41 { Ok(()) } else { Err(format!("{arrived} arrived")) }
    });
    pair.deliver();
    pair.check();
}

#[test]
fn a_sender_that_is_killed_goes_on_where_it_was() {
    let mut pair = Pair::start();
    spoil(&pair, Mode::LoseAnswer, ids("a", 50));
    pair.sender.take().expect("it runs").kill();
    pair.proxy.set(Mode::Pass);
    pair.sender = Some(pair.onprem.serve());
    pair.deliver();
    pair.check();
}

#[test]
fn a_secret_that_is_changed_under_load_pauses_the_peer_until_both_have_it() {
    let pair = Pair::start();
    pair.emit(ids("before", 10));
    pair.deliver();
    write_secret(&pair.cloud.path("secret"), "another secret");
    let mut probes = 0;
    wait_for("a refusal", &pair.onprem.log_path(), || {
        // Each about a client of its own: one that is superseded before it was taken is not sent.
        probes += 1;
        let probe = format!("emit --group edge --type seen --subject probe-{probes} --ttl 1h");
        pair.onprem.ctl(&probe).exits(0);
        let peers = pair.onprem.ctl("federation peers -o json").json();
        if peers[0]["reason"] == "Unauthorized" { Ok(()) } else { Err(peers.to_string()) }
    });
    pair.emit(ids("during", 10));
    write_secret(&pair.onprem.path("secret"), "another secret");
    // The changed file is noticed, and the paused peer tried at once.
    let answer = pair.onprem.ctl("wait --converged --deliveries --timeout 25s");
    assert_eq!(answer.code, 0, "{}{}\n{}", answer.stdout, answer.stderr, pair.onprem.log());
    pair.check();
}

#[test]
fn a_group_that_is_absent_on_the_receiver_for_a_while_costs_time_and_nothing_else() {
    let pair = Pair::start();
    pair.emit(ids("before", 5));
    pair.deliver();
    pair.cloud.remove("group.yaml");
    wait_for("the group to go", &pair.cloud.log_path(), || {
        let groups = pair.cloud.ctl("get eventgroup -o json").json();
        if groups.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(groups.to_string()) }
    });
    pair.emit(ids("during", 5));
    let peer = pair.trouble(&["Unreachable", "Broken", "OtherGroup", "Unavailable"]);
    assert_eq!(peer["pending"], 5, "{peer:#}");
    pair.cloud.write("group.yaml", &receiver_manifest(&pair.cloud, pair.address));
    pair.deliver();
    pair.check();
}
