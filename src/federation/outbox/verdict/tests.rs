use serde_json::json;

use super::*;

fn answer(status: u16, body: impl ToString) -> Answer {
    Answer { status, body: body.to_string().into(), ..Answer::default() }
}

fn accepted() -> serde_json::Value {
    json!({"accepted": true, "id": "e", "duplicate": false})
}

#[test]
fn each_status_is_a_verdict_on_the_event_or_on_the_peer() {
    let no = json!({"accepted": false, "error": "no"});
    let dead = |text: &str| Ok(Outcome::Dead(text.to_owned()));
    for (status, body, expected) in [
        (200, accepted(), Ok(Outcome::Delivered)),
        (201, accepted(), Ok(Outcome::Delivered)),
        (200, json!({"accepted": true, "duplicate": true}), Ok(Outcome::Delivered)),
        (400, no.clone(), dead("400: no")),
        (409, no.clone(), dead("409: no")),
        (413, no.clone(), dead("413: no")),
        (422, no.clone(), dead("422: no")),
        (429, no.clone(), Ok(Outcome::Parked(DEFAULT_PARK))),
        (301, no.clone(), Err("Redirected")),
        (401, no.clone(), Err("Unauthorized")),
        (402, no.clone(), Err("Refused")),
        (403, no.clone(), Err("ClockSkew")),
        (404, no.clone(), Err("NotARouterd")),
        (405, no.clone(), Err("Refused")),
        (408, no.clone(), Err("Refused")),
        (421, no.clone(), Err("OtherGroup")),
        (500, no.clone(), Err("PeerFailed")),
        (502, no.clone(), Err("PeerFailed")),
        (503, no.clone(), Err("Unavailable")),
        (507, no, Err("PeerFailed")),
    ] {
        let found = single(&answer(status, body), "e").map_err(|trouble| trouble.reason);
        assert_eq!(found, expected, "status {status}");
    }
}

#[test]
fn nothing_counts_as_delivered_unless_the_peer_says_so_in_so_many_words() {
    for body in [
        json!({"accepted": false}),
        json!({"accepted": true, "id": "another"}),
        json!({}),
        json!("ok"),
        json!([]),
    ] {
        let trouble = single(&answer(200, &body), "e").unwrap_err();
        assert_eq!(trouble.reason, "NotARouterd", "{body}");
    }
    for page in ["", "<html>Please log in</html>", "{\"accepted\": true"] {
        assert_eq!(single(&answer(200, page), "e").unwrap_err().reason, "NotARouterd", "{page}");
        assert_eq!(batch(&answer(200, page), &["e"]).unwrap_err().reason, "NotARouterd");
        assert_eq!(hello(&answer(200, page)).unwrap_err().reason, "NotARouterd", "{page}");
    }
}

#[test]
fn a_peer_may_say_how_long_to_wait_within_limits() {
    let park = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        single(&Answer { retry_after, ..answer(429, "") }, "e").unwrap()
    };
    assert_eq!(park(0), Outcome::Parked(Duration::from_secs(1)));
    assert_eq!(park(17), Outcome::Parked(Duration::from_secs(17)));
    assert_eq!(park(86_400), Outcome::Parked(MAX_PARK));
}

#[test]
fn a_batch_is_answered_event_by_event() {
    let result = |id: &str, status: u16| json!({"id": id, "status": status, "accepted": status == 200, "duplicate": false});
    let each = |results: Vec<serde_json::Value>| {
        batch(&answer(200, json!({"results": results})), &["a", "b", "c"])
    };
    let good = each(vec![result("a", 200), result("b", 409), result("c", 429)]).unwrap();
    let outcomes = vec![
        Some(Outcome::Delivered),
        Some(Outcome::Dead("409: ".into())),
        Some(Outcome::Parked(DEFAULT_PARK)),
    ];
    assert_eq!(good, Batch::Each(outcomes, None));
    let Batch::Each(outcomes, Some(trouble)) =
        each(vec![result("a", 200), result("b", 503), result("c", 503)]).unwrap()
    else {
        panic!("a store that fails is the peer's trouble");
    };
    assert_eq!(outcomes, [Some(Outcome::Delivered), None, None], "what is durable counts");
    assert_eq!((trouble.reason, trouble.status), ("Unavailable", Some(503)));
    // Half an answer, or another's, is none.
    for wrong in [
        vec![result("a", 200), result("b", 200)],
        vec![result("a", 200), result("c", 200), result("b", 200)],
    ] {
        assert_eq!(each(wrong).unwrap_err().reason, "NotARouterd");
    }
    let lie = json!({"id": "a", "status": 200, "accepted": false});
    let answer = batch(&answer(200, json!({"results": [lie]})), &["a"]).unwrap();
    assert!(matches!(answer, Batch::Each(each, Some(_)) if each == [None]));
}

#[test]
fn a_batch_that_is_refused_as_a_whole_condemns_no_event() {
    for (status, expected) in [
        (400, Ok(Batch::OneByOne)),
        (413, Ok(Batch::OneByOne)),
        (422, Ok(Batch::OneByOne)),
        (404, Ok(Batch::NotTaken)),
        (405, Ok(Batch::NotTaken)),
        (501, Ok(Batch::NotTaken)),
        (429, Ok(Batch::Wait(DEFAULT_PARK))),
        (401, Err("Unauthorized")),
        (403, Err("ClockSkew")),
        (421, Err("OtherGroup")),
        (503, Err("Unavailable")),
    ] {
        let found = batch(&answer(status, ""), &["a", "b"]).map_err(|trouble| trouble.reason);
        assert_eq!(found, expected, "status {status}");
    }
}

#[test]
fn who_answers_is_taken_from_what_it_says_and_a_node_that_says_little_is_an_old_one() {
    let full = json!({"node": "n", "group": "g", "storeID": "s-1", "features": ["batch"]});
    let found = hello(&answer(200, full)).unwrap();
    assert_eq!((found.store.as_str(), found.batch, found.node.as_str()), ("s-1", true, "n"));
    let old = json!({"node": "n", "group": "g", "received": 1, "storedEvents": 1});
    let found = hello(&answer(200, old)).unwrap();
    assert_eq!((found.store.as_str(), found.batch), ("", false));
    for status in [404, 405, 501] {
        assert_eq!(hello(&answer(status, "")).unwrap().store, "", "{status}");
    }
    for (status, reason) in [(401, "Unauthorized"), (503, "Unavailable"), (302, "Redirected")] {
        assert_eq!(hello(&answer(status, "")).unwrap_err().reason, reason);
    }
}

#[test]
fn what_the_peer_says_is_short_and_holds_no_control_characters() {
    let long = format!("{{\"error\": \"\\u001b[31m{}\"}}", "x".repeat(5_000));
    let Outcome::Dead(reason) = single(&answer(422, long), "e").unwrap() else { panic!("dead") };
    assert!(reason.len() < 300 && !reason.contains('\u{1b}'), "{reason}");
    assert_eq!(store_id(&format!("\n{}", "s".repeat(500))), "s".repeat(MAX_STORE_ID));
}
