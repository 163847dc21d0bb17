//! The whole path over a network: a client that the on-premises node sees becomes a claim on the
//! cloud node. Two network namespaces joined by a veth pair, the manifests as they are shipped.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Daemon, Network, Node, neighbours, wait_for};

/// Where the shipped manifests look for the group's secret.
const SECRETS: &str = "/usr/local/etc/routerd/secrets";

/// Gives a node the secrets directory that its manifest names, below the node's own.
fn with_own_secrets(node: &Node, manifest: &str) -> String {
    std::fs::create_dir(node.path("secrets")).expect("directory");
    manifest.replace(SECRETS, &node.path("secrets").display().to_string())
}

/// How long the link is down.
const OUTAGE: Duration = Duration::from_secs(2);

fn claim(node: &Node) -> Option<Value> {
    node.effective().into_iter().find(|resource| resource["kind"] == "RemoteAddressClaim")
}

/// Both nodes as shipped, with one secret, not started.
fn nodes() -> (Node, Node) {
    let (cloud, onprem) = (Node::of_the_guide(), Node::new());
    let shipped = std::fs::read_to_string(cloud.conf("router.yaml")).expect("manifest");
    cloud.write("router.yaml", &with_own_secrets(&cloud, &shipped));
    let shipped = include_str!("../../examples/event-federation/sender-onprem.yaml");
    onprem.write("router.yaml", &with_own_secrets(&onprem, shipped));
    let secret = onprem.path("secrets/cloudedge.secret").display().to_string();
    onprem.ctl_args(&["federation", "keygen", &secret]).exits(0);
    std::fs::copy(&secret, cloud.path("secrets/cloudedge.secret")).expect("the other's secret");
    (cloud, onprem)
}

#[test]
fn a_neighbour_on_premises_becomes_a_claim_in_the_cloud() {
    let network = match Network::lay() {
        Err(why) => return println!("skipped: needs network namespaces: {why}"),
        Ok(network) => network,
    };
    let (cloud, onprem) = nodes();
    let _cloud = cloud.serve_in(&network, "cloud");
    let _onprem = onprem.serve_in(&network, "onprem");
    let program = neighbours();
    let mut observer = network.command("onprem", program.to_str().expect("a path in UTF-8"));
    observer.args("--group cloudedge --interface lan --ttl 30m".split(' '));
    observer.args(["--payload", "domain=cloudedge-same-subnet"]);
    observer.env("ROUTERD_SOCKET", onprem.path("state/control.sock"));
    let _observer = Daemon::start(observer, &onprem.path("observer.log"));
    network.talk("onprem", "10.88.60.9");

    let claim = wait_for("the claim in the cloud", &cloud.log_path(), || {
        claim(&cloud).ok_or_else(|| onprem.log())
    });
    let observed = onprem.ctl("get events -o json").json();
    assert_eq!(claim["metadata"]["annotations"]["routerd.net/event-id"], observed[0]["id"]);
    assert_eq!(claim["spec"]["address"], "10.88.60.9/32");

    // The kernel of the on-premises node asks, and nobody answers any more.
    network.ip("onprem", "neigh change 10.88.60.9 dev lan nud failed").expect("it is known");
    wait_for("the claim to go", &cloud.log_path(), || {
        self::claim(&cloud).map_or(Ok(()), |claim| Err(claim.to_string()))
    });
}

#[test]
fn what_is_observed_while_the_link_is_down_arrives_when_it_is_up_again() {
    let network = match Network::lay() {
        Err(why) => return println!("skipped: needs network namespaces: {why}"),
        Ok(network) => network,
    };
    let (cloud, onprem) = nodes();
    let _cloud = cloud.serve_in(&network, "cloud");
    let _onprem = onprem.serve_in(&network, "onprem");
    let emit = |what: &str| {
        let subject = "--subject 10.88.60.9/32 --payload domain=cloudedge-same-subnet --ttl 30m";
        let event = format!("--type routerd.client.ipv4.{what} {subject}");
        onprem.ctl(&format!("emit --group cloudedge {event}")).exits(0);
    };
    for (end, what, there) in [("onprem", "observed", true), ("cloud", "expired", false)] {
        network.ip(end, "link set wg-hybrid down").expect("it is there");
        emit(what);
        // The fault itself, not a wait: long enough for what is on its way to be lost.
        std::thread::sleep(OUTAGE);
        assert_eq!(claim(&cloud).is_some(), !there, "nothing came through");
        network.ip(end, "link set wg-hybrid up").expect("it is there");
        wait_for("what was observed meanwhile", &cloud.log_path(), || {
            if claim(&cloud).is_some() == there { Ok(()) } else { Err(onprem.log()) }
        });
    }
}
