use serde_json::json;

use super::*;
use crate::api::accepted::SourceRef;
use crate::api::kinds::federation::EventGroupSpec;
use crate::federation::files::FileError;

const NOW: i64 = 1_780_142_400;

fn place(line: u32) -> SourceRef {
    SourceRef { file: "router.yaml".into(), document: 0, index: None, line, column: 1 }
}

fn group(auth: serde_json::Value) -> EventGroupSpec {
    serde_json::from_value(json!({"nodeName": "cloud", "auth": auth})).unwrap()
}

fn membership(auth: serde_json::Value, peers: &[serde_json::Value]) -> Membership {
    let peer = |(index, spec): (usize, &serde_json::Value)| Peer {
        name: format!("p{index}"),
        source: place(20),
        spec: serde_json::from_value(spec.clone()).unwrap(),
    };
    Membership {
        source: place(7),
        generation: 1,
        name: "g".into(),
        spec: group(auth),
        peers: peers.iter().enumerate().map(peer).collect(),
    }
}

/// The secret in each file is the file's name; `missing` is not there.
fn secret(path: &str) -> Result<Key, SecretError> {
    if path == "missing" {
        let why = "it is not there".into();
        return Err(SecretError::File(FileError::Read { path: path.into(), why }));
    }
    Ok(Key::new(path.as_bytes()))
}

fn admission(auth: serde_json::Value, peers: &[serde_json::Value]) -> Admission {
    Admission::of(&membership(auth, peers), secret).unwrap().0
}

fn shared() -> serde_json::Value {
    json!({"secretFile": "shared"})
}

fn receiving(node: &str, more: serde_json::Value) -> serde_json::Value {
    let mut peer = json!({"groupRef": "g", "nodeName": node, "direction": "receive"});
    peer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    peer
}

fn signed(admission: &Admission, secret: &str, at: i64) -> Result<Speaker, Refusal> {
    let signature = Key::new(secret.as_bytes()).sign(at, b"body");
    let (timestamp, mut hint) = (at.to_string(), 0);
    admission.verify(
        Time::from_second(NOW).unwrap(),
        Header::Once(timestamp.as_bytes()),
        Header::Once(signature.as_bytes()),
        b"body",
        &mut hint,
    )
}

fn event(source: &str) -> Event {
    serde_json::from_value(json!({
        "id": "e", "group": "g", "type": "t", "sourceNode": source, "subject": "10.0.0.1/32",
    }))
    .unwrap()
}

/// The status of an event of `source`, signed with `secret`.
fn status(admission: &Admission, secret: &str, source: &str) -> u16 {
    let said = signed(admission, secret, NOW)
        .and_then(|speaker| admission.allows(&speaker, None, &event(source)));
    said.map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
}

#[test]
fn a_group_secret_speaks_for_any_node_but_this_one() {
    let admission = admission(shared(), &[]);
    assert_eq!(status(&admission, "shared", "onprem"), 200);
    assert_eq!(status(&admission, "shared", "another"), 200);
    assert_eq!(status(&admission, "shared", "cloud"), 422, "ours");
    assert_eq!(status(&admission, "shared", ""), 422);
    assert_eq!(status(&admission, "wrong", "onprem"), 401);
    let mut foreign = event("onprem");
    foreign.group = "h".into();
    let speaker = signed(&admission, "shared", NOW).unwrap();
    let refused = admission.allows(&speaker, None, &foreign).unwrap_err();
    assert_eq!(refused.status().as_u16(), 421);
    assert_eq!(&*speaker.verified_by, "EventGroup/g");
}

#[test]
fn where_receiving_peers_are_named_nobody_else_speaks() {
    let admission = admission(shared(), &[receiving("onprem", json!({}))]);
    assert_eq!(status(&admission, "shared", "onprem"), 200);
    assert_eq!(status(&admission, "shared", "another"), 422);
}

#[test]
fn a_peers_own_secret_speaks_for_that_peer_and_the_groups_no_longer_does() {
    let own = receiving("onprem", json!({"auth": {"secretFiles": ["old", "new"]}}));
    let admission = admission(shared(), &[own, receiving("branch", json!({}))]);
    for (secret, source, expected) in [
        ("old", "onprem", 200),
        ("new", "onprem", 200),
        ("old", "branch", 422),
        ("shared", "onprem", 422),
        ("shared", "branch", 200),
    ] {
        assert_eq!(status(&admission, secret, source), expected, "{secret} for {source}");
    }
    assert_eq!(&*signed(&admission, "new", NOW).unwrap().verified_by, "EventPeer/p0#2");
}

#[test]
fn a_peer_that_is_only_pushed_to_is_not_heard_but_keeps_its_name() {
    let pushed = json!({"groupRef": "g", "nodeName": "onprem", "endpoint": "http://h:1",
        "auth": {"secretFile": "own"}});
    let admission = admission(shared(), &[pushed]);
    assert_eq!(status(&admission, "own", "onprem"), 401);
    assert_eq!(status(&admission, "shared", "onprem"), 422);
    assert_eq!(status(&admission, "shared", "another"), 200);
}

#[test]
fn a_receiving_peers_filter_holds_for_what_it_sends() {
    let peer = receiving("onprem", json!({"types": ["t"], "subjectPrefixes": ["10."]}));
    let admission = admission(shared(), &[peer]);
    let speaker = signed(&admission, "shared", NOW).unwrap();
    assert_eq!(admission.allows(&speaker, None, &event("onprem")), Ok(()));
    let (mut other_type, mut other_subject) = (event("onprem"), event("onprem"));
    other_type.r#type = "u".into();
    other_subject.subject = "192.0.2.1/32".into();
    for event in [other_type, other_subject] {
        let refused = admission.allows(&speaker, None, &event).unwrap_err();
        assert_eq!(refused.status().as_u16(), 422);
    }
}

#[test]
fn a_certificate_narrows_a_key_to_the_names_in_it() {
    let admission = admission(shared(), &[]);
    let speaker = signed(&admission, "shared", NOW).unwrap();
    let names = ["onprem".to_owned()];
    assert_eq!(admission.allows(&speaker, Some(&names), &event("OnPrem")), Ok(()));
    assert!(admission.allows(&speaker, Some(&names), &event("branch")).is_err());
    assert!(admission.allows(&speaker, Some(&[]), &event("onprem")).is_err());
}

#[test]
fn without_a_secret_it_stays_off_and_says_which_lines_to_add() {
    let off = Admission::of(&membership(json!(null), &[]), secret).unwrap_err();
    assert_eq!(off.reason, "NoSecret");
    for part in ["router.yaml:7", "secretFile:", "keygen", "mode: none"] {
        assert!(off.message.contains(part), "{part}: {}", off.message);
    }
    let off = Admission::of(&membership(json!({"secretFile": "missing"}), &[]), secret);
    let off = off.unwrap_err();
    assert_eq!(off.reason, "SecretUnusable");
    assert!(off.message.contains("router.yaml:7: spec.auth.secretFile: cannot read missing"));
}

#[test]
fn a_key_that_cannot_be_read_takes_only_itself_away() {
    let peer = receiving("onprem", json!({"auth": {"secretFiles": ["missing", "new"]}}));
    let (admission, problems) = Admission::of(&membership(shared(), &[peer]), secret).unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(status(&admission, "new", "onprem"), 200);
    assert_eq!(status(&admission, "shared", "onprem"), 422, "it still has a secret of its own");
}

#[test]
fn auth_none_lets_anyone_in_and_still_tells_peers_with_a_secret_apart() {
    let own = receiving("onprem", json!({"auth": {"secretFile": "own"}}));
    let open = admission(json!({"mode": "none"}), &[own, receiving("branch", json!({}))]);
    let anyone = open
        .verify(Time::from_second(NOW).unwrap(), Header::Absent, Header::Absent, b"", &mut 0)
        .unwrap();
    assert_eq!(&*anyone.verified_by, "none");
    assert_eq!(open.allows(&anyone, None, &event("branch")), Ok(()));
    assert!(open.allows(&anyone, None, &event("onprem")).is_err());
    assert!(open.allows(&anyone, None, &event("cloud")).is_err());
    assert_eq!(status(&open, "own", "onprem"), 200);
    assert_eq!(status(&open, "whatever", "branch"), 200);
}

#[test]
fn a_timestamp_is_digits_given_once_and_within_the_window() {
    let admission = admission(shared(), &[]);
    for (offset, status) in [(0, 200), (300, 200), (-300, 200), (301, 403), (-301, 403)] {
        let said = signed(&admission, "shared", NOW + offset);
        let said = said.map_or_else(|refusal| refusal.status().as_u16(), |_| 200);
        assert_eq!(said, status, "{offset}");
    }
    let now = Time::from_second(NOW).unwrap();
    for bad in [
        "",
        "now",
        "+1780142400",
        "01780142400",
        "1780142400.5",
        "-1",
        " 1",
        "9".repeat(30).as_str(),
    ] {
        let header = Header::Once(bad.as_bytes());
        let refused = admission.verify(now, header, Header::Absent, b"", &mut 0).unwrap_err();
        assert_eq!(refused.status().as_u16(), 400, "{bad:?}");
    }
    for header in [Header::Absent, Header::Many, Header::Once(b"\xff")] {
        let refused = admission.verify(now, header, Header::Absent, b"", &mut 0).unwrap_err();
        assert_eq!(refused.status().as_u16(), 400);
    }
}

#[test]
fn the_key_that_held_is_tried_first_the_next_time() {
    let peers: Vec<_> = (0..5)
        .map(|n| receiving(&format!("n{n}"), json!({"auth": {"secretFile": format!("s{n}")}})))
        .collect();
    let admission = admission(shared(), &peers);
    let mut hint = 0;
    let signature = Key::new(b"s3").sign(NOW, b"body");
    let timestamp = NOW.to_string();
    let verified = admission.verify(
        Time::from_second(NOW).unwrap(),
        Header::Once(timestamp.as_bytes()),
        Header::Once(signature.as_bytes()),
        b"body",
        &mut hint,
    );
    assert_eq!(&*verified.unwrap().verified_by, "EventPeer/p3#1");
    assert_eq!(hint, 4);
}
