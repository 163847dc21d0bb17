//! Single promises, each on two or three nodes of its own.

use std::time::Duration;

use routerd::api::event::Event;

use super::history::{Filter, group, peer};
use super::host::{GROUP, Host, name};
use super::net::{Link, Net};
use super::simulate;

const DAY: Duration = Duration::from_secs(24 * 3600);
const ALL: Filter = Filter { types: Vec::new(), prefixes: Vec::new() };

/// These many nodes; the first pushes to all others.
async fn lab(nodes: usize) -> (Net, Vec<Host>) {
    let net = Net::new(1);
    let mut hosts = Vec::new();
    for node in 0..nodes {
        let mut host = Host::new(node, &net, DAY);
        host.put(&group(node, DAY)).await;
        if node == 0 {
            for to in 1..nodes {
                host.put(&peer(to, &ALL)).await;
            }
        }
        host.start();
        hosts.push(host);
    }
    (net, hosts)
}

fn event(id: &str, subject: &str, host: &Host, ttl: u64) -> Event {
    Event {
        id: id.into(),
        group: GROUP.into(),
        r#type: "seen".into(),
        source_node: name(0),
        subject: subject.into(),
        dedupe_key: String::new(),
        payload: routerd::api::payload::Payload::default(),
        observed_at: Some(host.now()),
        expires_at: Some(host.now() + Duration::from_secs(ttl)),
    }
}

fn ids(host: &Host) -> Vec<String> {
    let mut ids: Vec<String> = host.facts().into_values().map(|(event, _)| event.id).collect();
    ids.sort();
    ids
}

#[test]
fn a_peer_that_does_not_answer_adds_nothing_to_what_another_waits() {
    simulate(async {
        let (net, hosts) = lab(4).await;
        net.set_link(0, 1, Link::Silent);
        net.set_link(0, 3, Link::Silent);
        for n in 0..50 {
            hosts[0].emit(event(&format!("e{n:02}"), &format!("s{n}"), &hosts[0], 3600)).await;
            // A request and its answer take 42 ms at most in this network; a silent peer 5 s.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(ids(&hosts[2]).len(), n + 1, "beside two that are silent");
        }
        assert!(ids(&hosts[1]).is_empty());
        net.heal();
        hosts[0].converge().await;
        assert_eq!(ids(&hosts[1]).len(), 50);
        assert_eq!(ids(&hosts[3]).len(), 50);
    });
}

#[test]
fn what_expires_before_the_cable_is_in_again_is_given_up_and_counted() {
    simulate(async {
        let (net, hosts) = lab(2).await;
        hosts[0].converge().await;
        net.set_link(0, 1, Link::Refused);
        hosts[0].emit(event("short", "a", &hosts[0], 60)).await;
        hosts[0].emit(event("long", "b", &hosts[0], 36_000)).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        net.heal();
        hosts[0].converge().await;
        assert_eq!(ids(&hosts[1]), ["long"]);
        let (deliveries, outboxes) = hosts[0].records();
        assert_eq!((outboxes[0].delivered, outboxes[0].expired, outboxes[0].dead), (1, 1, 0));
        let given_up: Vec<_> = deliveries.iter().filter(|row| row.is_given_up()).collect();
        assert_eq!(given_up.len(), 1);
        assert_eq!(given_up[0].event_id, "short");
    });
}

#[test]
fn a_store_that_was_replaced_is_offered_everything_without_a_restart_of_the_sender() {
    simulate(async {
        let (_, mut hosts) = lab(2).await;
        for n in 0..10 {
            hosts[0].emit(event(&format!("e{n}"), &format!("s{n}"), &hosts[0], 36_000)).await;
        }
        hosts[0].converge().await;
        assert_eq!(ids(&hosts[1]).len(), 10);
        hosts[1].wipe().await;
        hosts[1].start();
        assert!(ids(&hosts[1]).is_empty());
        // A peer is asked every minute.
        tokio::time::sleep(Duration::from_secs(61)).await;
        hosts[0].converge().await;
        assert_eq!(ids(&hosts[1]).len(), 10);
    });
}

#[test]
fn a_replaced_store_is_noticed_by_the_first_answer_that_comes_from_it() {
    simulate(async {
        let (_, mut hosts) = lab(2).await;
        hosts[0].emit(event("old", "s", &hosts[0], 36_000)).await;
        hosts[0].converge().await;
        hosts[1].wipe().await;
        hosts[1].start();
        hosts[0].emit(event("new", "t", &hosts[0], 36_000)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(ids(&hosts[1]), ["new", "old"]);
    });
}

#[test]
fn a_clock_an_hour_off_pauses_the_peer_and_loses_nothing() {
    for off in [3600, -3600] {
        simulate(async {
            let (_, hosts) = lab(2).await;
            hosts[0].clock.step(off);
            hosts[0].emit(event("e1", "a", &hosts[0], 36_000)).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
            assert!(ids(&hosts[1]).is_empty());
            let up = hosts[0].up.as_ref().unwrap();
            let state = up.outboxes.peer("n1").unwrap();
            assert_eq!((state.delivering, state.reason.as_str()), (Some(false), "ClockSkew"));
            assert_eq!(state.figures.owed, 1);
            hosts[0].clock.step(-off);
            hosts[0].converge().await;
            assert_eq!(ids(&hosts[1]), ["e1"]);
            assert!(hosts[0].dead().is_empty());
        });
    }
}

#[test]
fn a_secret_that_changes_heals_by_itself_and_an_answer_that_is_lost_is_no_loss() {
    simulate(async {
        let (net, hosts) = lab(2).await;
        net.set_faults(super::net::Faults { lost_answers: 50, twice: 50, slow: 0 });
        hosts[1].secret.set("second");
        hosts[0].emit(event("e1", "a", &hosts[0], 36_000)).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(ids(&hosts[1]).is_empty());
        hosts[0].secret.set("second");
        hosts[0].converge().await;
        assert_eq!(ids(&hosts[1]), ["e1"]);
        let (_, outboxes) = hosts[0].records();
        assert_eq!(outboxes[0].delivered, 1);
    });
}

#[test]
fn a_wider_filter_and_a_new_peer_are_offered_what_is_true_already() {
    simulate(async {
        let (_, mut hosts) = lab(3).await;
        let narrow = Filter { types: vec!["gone"], prefixes: Vec::new() };
        hosts[0].put(&peer(1, &narrow)).await;
        let key = super::history::FEDERATION;
        let key = routerd::api::object::ObjectKey::new(key, "EventPeer", "n2");
        hosts[0].delete(&key).await;
        hosts[0].emit(event("e1", "a", &hosts[0], 36_000)).await;
        hosts[0].converge().await;
        assert!(ids(&hosts[1]).is_empty() && ids(&hosts[2]).is_empty());
        hosts[0].put(&peer(1, &ALL)).await;
        hosts[0].put(&peer(2, &ALL)).await;
        hosts[0].converge().await;
        assert_eq!((ids(&hosts[1]), ids(&hosts[2])), (vec!["e1".into()], vec!["e1".into()]));
    });
}

#[test]
fn a_refreshed_event_is_sent_again_and_one_that_is_not_is_not() {
    simulate(async {
        let (net, hosts) = lab(2).await;
        let seen = event("e1", "a", &hosts[0], 600);
        hosts[0].emit(seen.clone()).await;
        hosts[0].converge().await;
        let posts = net.posts();
        hosts[0].emit(seen.clone()).await;
        hosts[0].converge().await;
        assert_eq!(net.posts(), posts, "a duplicate is no news");
        tokio::time::sleep(Duration::from_secs(300)).await;
        let again = event("e1", "a", &hosts[0], 600);
        hosts[0].emit(again.clone()).await;
        hosts[0].converge().await;
        assert_eq!(net.posts(), posts + 1);
        let (_, row) = hosts[1].facts().into_values().next().unwrap();
        assert_eq!((Some(row.observed_at), row.expires_at), (again.observed_at, again.expires_at));
    });
}
