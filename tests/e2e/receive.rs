//! What another node pushes, on the real daemon: from a signed request to a claim.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use routerd::federation::signature::Key;
use serde_json::{Value, json};

use crate::harness::{Daemon, Node, soon, wait_for};

/// A loopback address for one test, also beside another run on the same machine.
fn address(test: u32) -> String {
    let run = std::process::id();
    format!("127.{}.{test}.{}", 80 + run / 254 % 40, 1 + run % 254)
}

/// The receiving node as it is shipped, but for its address and the place of its secret.
fn shipped(host: &str) -> Node {
    let node = Node::of_the_guide();
    let text = std::fs::read_to_string(node.conf("router.yaml")).expect("manifest");
    let own = node.path("secrets").display().to_string();
    let text = text
        .replace(
            "address: 169.254.110.2\n          port",
            &format!("address: {host}\n          port"),
        )
        .replace("/usr/local/etc/routerd/secrets", &own);
    assert!(text.contains(&format!("address: {host}")), "{text}");
    node.write("router.yaml", &text);
    node
}

fn keygen(node: &Node) -> String {
    let file = node.path("secrets").join("cloudedge.secret").display().to_string();
    node.ctl_args(&["federation", "keygen", &file]).exits(0);
    let refused = node.ctl_args(&["federation", "keygen", &file]).exits(1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    std::fs::read_to_string(file).expect("a secret").trim().to_owned()
}

/// Pushes an event as a node that knows `secret`; the status and the body.
fn push(host: &str, secret: &str, event: &Value) -> std::io::Result<(u16, Value)> {
    post(host, secret, "application/json", &event.to_string())
}

fn post(host: &str, secret: &str, kind: &str, body: &str) -> std::io::Result<(u16, Value)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("before the end of time");
    let signature = Key::new(secret.as_bytes()).sign(now, body.as_bytes());
    let mut stream = TcpStream::connect((host, 8787))?;
    write!(
        stream,
        "POST /v1/events HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nX-Routerd-Timestamp: {now}\r\nX-Routerd-Signature: {signature}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((status.unwrap_or(0), serde_json::from_str(body).unwrap_or_default()))
}

fn observed(id: &str) -> Value {
    json!({
        "id": id, "group": "cloudedge", "type": "routerd.client.ipv4.observed",
        "sourceNode": "onprem-router", "subject": "10.88.60.9/32",
        "payload": {"address": "10.88.60.9/32", "domain": "cloudedge-same-subnet"},
    })
}

fn listening(node: &Node) -> Value {
    let group = node.get("eventgroup", "cloudedge");
    let conditions = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == "Listening").unwrap_or_default()
}

#[test]
fn the_shipped_receiver_works_after_keygen_and_a_pushed_event_becomes_a_claim() {
    let host = &address(1);
    let node = shipped(host);
    let secret = keygen(&node);
    let _daemon = node.serve();
    node.converge();
    assert_eq!(listening(&node)["status"], "True", "{:?}", listening(&node));
    let (status, answer) = push(host, &secret, &observed("evt-1")).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer, json!({"accepted": true, "id": "evt-1", "duplicate": false}));
    node.converge();
    let resources = node.effective();
    let claim = resources.iter().find(|r| r["kind"] == "RemoteAddressClaim").expect("a claim");
    assert_eq!(claim["metadata"]["annotations"]["routerd.net/event-id"], "evt-1");
    let events = node.ctl("get events -o json").json();
    assert_eq!(events[0]["receivedFrom"], "onprem-router");
    assert_eq!(events[0]["verifiedBy"], "EventGroup/cloudedge");

    let (status, _) = push(host, "another", &observed("evt-2")).expect("an answer");
    assert_eq!(status, 401);
    let listener = &node.status()["groups"][0]["listener"];
    assert_eq!((&listener["received"], &listener["rejected"]["signature"]), (&json!(1), &json!(1)));
}

#[test]
fn what_the_cloud_events_project_s_own_crate_writes_becomes_a_claim() {
    use cloudevents::{EventBuilder, EventBuilderV10};
    let host = &address(12);
    let node = shipped(host);
    let secret = keygen(&node);
    let _daemon = node.serve();
    node.converge();
    let event = |id: &str, last: u8| {
        let address = format!("10.88.60.{last}/32");
        EventBuilderV10::new()
            .id(id)
            .ty("routerd.client.ipv4.observed")
            .source("/nodes/onprem-router")
            .subject(address.as_str())
            .time("2026-05-30T12:00:00Z")
            .extension("expirytime", "2099-05-30T12:00:00Z")
            .data(
                "application/json",
                json!({"address": address, "domain": "cloudedge-same-subnet"}),
            )
            .build()
            .expect("a CloudEvent")
    };
    let one = serde_json::to_string(&event("ce-1", 21)).expect("it encodes");
    let kind = "application/cloudevents+json; charset=utf-8";
    let (status, answer) = post(host, &secret, kind, &one).expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(true)), "{answer}");
    let list = serde_json::to_string(&[event("ce-1", 21), event("ce-2", 22), event("ce-3", 23)]);
    let kind = "application/cloudevents-batch+json";
    let (status, answer) =
        post(host, &secret, kind, &list.expect("it encodes")).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    let duplicates: Vec<_> = answer["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|result| result["duplicate"] == true)
        .collect();
    assert_eq!(duplicates, [true, false, false]);
    node.converge();
    let claims = node.effective();
    let names: Vec<_> = claims
        .iter()
        .filter(|r| r["kind"] == "RemoteAddressClaim")
        .map(|r| r["metadata"]["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["onprem-10-88-60-21", "onprem-10-88-60-22", "onprem-10-88-60-23"]);
}

#[test]
fn without_its_auth_lines_it_runs_and_says_which_are_missing() {
    let host = &address(2);
    let node = shipped(host);
    let secret = keygen(&node);
    let whole = std::fs::read_to_string(node.conf("router.yaml")).expect("manifest");
    let lines = whole.lines().filter(|line| !line.contains("cloudedge.secret"));
    // The provider has an `auth` as well; the group's is the first, and is empty now.
    let without = lines.collect::<Vec<_>>().join("\n").replacen("        auth:\n", "", 1) + "\n";
    node.write("router.yaml", &without);
    let _daemon = node.serve();
    node.converge();
    let told = listening(&node);
    assert_eq!((&told["status"], &told["reason"]), (&json!("False"), &json!("NoSecret")));
    let message = told["message"].as_str().unwrap_or_default();
    for part in ["router.yaml:", "auth:", "secretFile:", "cloudedge.secret", "keygen", "mode: none"]
    {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(node.log().contains("auth: {secretFile:"), "{}", node.log());
    let page = node.ctl("status").exits(0).stdout;
    assert!(page.contains("no (NoSecret)") && page.contains("keygen"), "{page}");
    assert!(push(host, &secret, &observed("evt-1")).is_err(), "nothing is bound");
    // All that is local works.
    node.ctl(crate::harness::GUIDE_EVENT).exits(0);
    node.converge();
    assert_eq!(node.parts().len(), 1);

    node.write("router.yaml", &whole);
    soon("the listener", &node.log_path(), || match push(host, &secret, &observed("evt-1")) {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    node.converge();
    assert_eq!(listening(&node)["status"], "True");
}

/// The node's daemon in a network of its own, which has a loopback interface and nothing else.
fn serve_apart(node: &Node) -> Option<Daemon> {
    let possible = Command::new("unshare").args(["-n", "ip", "link"]).output();
    if !possible.is_ok_and(|tried| tried.status.success()) {
        return None;
    }
    let plain = node.daemon_command(&[]);
    let mut command = Command::new("unshare");
    // Without any address at all the kernel takes every address for one of its own.
    command.args(["-n", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(Daemon::start(command, &node.log_path()))
}

#[test]
fn the_shipped_address_is_listened_on_as_soon_as_the_node_has_it() {
    let node = shipped("169.254.110.2");
    keygen(&node);
    let Some(daemon) = serve_apart(&node) else {
        return eprintln!("skipped: network namespaces are not allowed here");
    };
    let told = |expected: &'static str| {
        wait_for(expected, &node.log_path(), || {
            let answer = node.ctl("get eventgroup cloudedge -o json");
            if answer.code == 0 && listening(&node)["reason"] == expected {
                return Ok(());
            }
            Err(answer.stdout + &answer.stderr)
        });
    };
    told("AddressNotAssigned");
    let inside = |arguments: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &daemon.pid().to_string()]).args(arguments.split(' '));
        assert!(command.status().expect("nsenter runs").success(), "{arguments}");
    };
    inside("ip addr add 169.254.110.2/30 dev lo");
    told("Listening");
    node.converge();
    assert_eq!(listening(&node)["status"], "True");
}
