//! The observer `neighbours`: a real neighbour entry in a network namespace becomes a fact.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Daemon, Network, Node, group, neighbours, wait_for};

/// A node in the on-premises namespace; `None`, with a report, where there are no namespaces.
fn onprem() -> Option<(Network, Node)> {
    match Network::lay() {
        Err(why) => {
            println!("skipped: needs network namespaces: {why}");
            None
        }
        Ok(network) => {
            let node = Node::new();
            node.write("group.yaml", &group());
            Some((network, node))
        }
    }
}

fn observe(network: &Network, node: &Node, more: &str) -> Daemon {
    let program = neighbours();
    let mut command = network.command("onprem", program.to_str().expect("a path in UTF-8"));
    command.args("--group edge --interface lan --ttl 1h --prefix 10.88.60.0/24".split(' '));
    command.args(more.split_whitespace());
    command.env("ROUTERD_SOCKET", node.path("state/control.sock"));
    Daemon::start(command, &node.path("observer.log"))
}

/// Ids of the live facts about a client that say that it is there.
fn live(node: &Node, client: &str) -> Vec<String> {
    let args = format!("get events --type routerd.client.ipv4.observed --subject {client}/32");
    let events = node.ctl(&format!("{args} -o json")).json();
    let live = events.as_array().expect("a list").iter().filter(|event| event["live"] == true);
    live.map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

/// How many events take back what was said of a client.
fn taken_back(node: &Node, client: &str) -> usize {
    let args = format!("get events --type routerd.client.ipv4.expired --subject {client}/32");
    node.ctl(&format!("{args} -o json")).json().as_array().map_or(0, Vec::len)
}

#[track_caller]
fn wait_here(node: &Node, client: &str) -> String {
    wait_for(&format!("the fact of {client}"), &node.path("observer.log"), || {
        let live = live(node, client);
        if live.len() == 1 { Ok(live[0].clone()) } else { Err(format!("{live:?}")) }
    })
}

#[track_caller]
fn wait_taken_back(node: &Node, client: &str, times: usize) {
    wait_for(&format!("{client} to be taken back"), &node.path("observer.log"), || {
        let found = taken_back(node, client);
        if found == times { Ok(()) } else { Err(format!("{found} times")) }
    });
}

#[test]
fn a_client_that_answers_is_told_of_and_one_that_does_not_is_taken_back() {
    let Some((network, node)) = onprem() else { return };
    let _daemon = node.serve();
    let observer = observe(&network, &node, "--payload domain=cloudedge-same-subnet");
    network.talk("onprem", "10.88.60.9");
    let id = wait_here(&node, "10.88.60.9");
    let events = node.ctl("get events -o json").json();
    let event: &Value = &events[0];
    assert_eq!(event["sourceNode"], node.get("EventGroup", "edge")["spec"]["nodeName"]);
    assert_eq!(event["payload"]["address"], "10.88.60.9/32");
    assert_eq!(event["payload"]["domain"], "cloudedge-same-subnet");

    // Started anew it goes on from there: nothing is told twice, nothing taken back.
    observer.stop();
    let observer = observe(&network, &node, "--payload domain=cloudedge-same-subnet");
    network
        .ip("onprem", "neigh replace 10.88.60.10 lladdr 02:00:00:00:00:0a dev lan nud reachable")
        .expect("a second client");
    wait_here(&node, "10.88.60.10");
    assert_eq!(wait_here(&node, "10.88.60.9"), id);
    assert_eq!(taken_back(&node, "10.88.60.9"), 0);

    // The kernel asked, and nobody answered.
    network.ip("onprem", "neigh change 10.88.60.9 dev lan nud failed").expect("it is known");
    wait_taken_back(&node, "10.88.60.9", 1);
    // Started anew it knows that, too.
    observer.stop();
    let _observer = observe(&network, &node, "--payload domain=cloudedge-same-subnet");
    // Another network, another matter.
    network
        .ip("onprem", "neigh replace 10.99.0.1 lladdr 02:00:00:00:00:0b dev lan nud reachable")
        .expect("a stranger");
    network.talk("onprem", "10.88.60.9");
    wait_for("a new stretch, which is a new event", &node.path("observer.log"), || {
        let live = live(&node, "10.88.60.9");
        if live.len() == 1 && live[0] != id { Ok(()) } else { Err(format!("{live:?}")) }
    });
    assert_eq!(live(&node, "10.99.0.1"), Vec::<String>::new());
}

#[test]
fn an_address_that_this_node_claims_is_taken_back_and_never_told() {
    let Some((network, node)) = onprem() else { return };
    let _daemon = node.serve();
    let _observer = observe(&network, &node, "");
    network.talk("onprem", "10.88.60.9");
    wait_here(&node, "10.88.60.9");
    // The client has moved to the other side: this node answers for it from now on.
    node.write("claim.yaml", CLAIM);
    wait_taken_back(&node, "10.88.60.9", 1);
    network
        .ip("onprem", "neigh replace 10.88.60.9 lladdr 02:00:00:00:00:0c dev lan nud reachable")
        .expect("it answers for itself");
    network
        .ip("onprem", "neigh replace 10.88.60.10 lladdr 02:00:00:00:00:0a dev lan nud reachable")
        .expect("a second client");
    wait_here(&node, "10.88.60.10");
    assert_eq!(node.ctl("get events -o json").json().as_array().map_or(0, Vec::len), 3);
}

#[test]
fn a_lease_is_evidence_until_it_is_given_back() {
    let Some((network, node)) = onprem() else { return };
    let _daemon = node.serve();
    let leases = node.path("leases");
    let lease = "0 02:00:00:00:00:14 10.88.60.20 laptop *\n";
    std::fs::write(&leases, lease).expect("write");
    let _observer = observe(&network, &node, &format!("--leases {}", leases.display()));
    wait_here(&node, "10.88.60.20");
    std::fs::write(&leases, "").expect("write");
    wait_taken_back(&node, "10.88.60.20", 1);
}

#[test]
fn an_observer_without_anything_to_observe_says_what_to_add() {
    let mut command = Command::new(neighbours());
    let said = command.args(["--group", "edge"]).stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("--interface"));
}

const CLAIM: &str = "\
apiVersion: hybrid.routerd.net/v1alpha1
kind: AddressMobilityDomain
metadata: {name: same-subnet}
spec: {prefix: 10.88.60.0/24, mode: selective-address}
---
apiVersion: hybrid.routerd.net/v1alpha1
kind: OverlayPeer
metadata: {name: cloud}
spec:
  role: cloud
  nodeID: cloud-router
  underlay: {type: wireguard, interface: wg-hybrid}
---
apiVersion: hybrid.routerd.net/v1alpha1
kind: RemoteAddressClaim
metadata: {name: moved}
spec:
  domainRef: same-subnet
  address: 10.88.60.9/32
  ownerSide: cloud
  capture: {type: proxy-arp, interface: lan}
  delivery: {peerRef: cloud, mode: route}
";
