//! What is refused on the wire, and what a flood or a dawdler can do.

use super::client::{Client, status};
use super::*;
use crate::federation::wire::MAX_EVENT_BYTES;

async fn listening(limits: Limits) -> Stand {
    let stand = Stand::new(limits);
    let secret = stand.secret("s", "one");
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    stand
}

fn head(lines: &str) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).into_bytes()
}

#[tokio::test]
async fn the_documented_statuses_are_those_on_the_wire() {
    let stand = listening(patient()).await;
    let at = stand.at(8787);
    let stamped = |stamp: i64| {
        let signature = Key::new(b"one").sign(stamp, b"{}");
        let lines = format!(
            "POST /v1/events HTTP/1.1\nHost: h\nX-Routerd-Timestamp: {stamp}\n\
             X-Routerd-Signature: {signature}\nContent-Length: 2"
        );
        [head(&lines), b"{}".to_vec()].concat()
    };
    let large = MAX_EVENT_BYTES + 1;
    for (what, request, expected) in [
        ("another path", head("GET / HTTP/1.1\nHost: h"), 404),
        ("another method", head("GET /v1/events HTTP/1.1\nHost: h"), 405),
        (
            "compressed",
            head("POST /v1/events HTTP/1.1\nHost: h\nContent-Encoding: gzip\nContent-Length: 9"),
            415,
        ),
        (
            "compressed on the way",
            head("POST /v1/events HTTP/1.1\nHost: h\nTransfer-Encoding: gzip, chunked"),
            415,
        ),
        (
            "declared too large",
            head(&format!("POST /v1/events HTTP/1.1\nHost: h\nContent-Length: {large}")),
            413,
        ),
        (
            "a batch too large",
            head("POST /v1/events:batch HTTP/1.1\nHost: h\nContent-Length: 1048577"),
            413,
        ),
        ("no timestamp", head("POST /v1/events HTTP/1.1\nHost: h\nContent-Length: 0"), 400),
        ("stale", stamped(NOW - 3600), 403),
        ("future", stamped(NOW + 3600), 403),
        ("no event", stamped(NOW), 400),
        ("wrong key", post("two", &event("a")), 401),
        ("ours", post("one", &event("a").replace("onprem", "cloud")), 422),
        ("foreign group", post("one", &event("a").replace("\"g\"", "\"h\"")), 421),
        ("status", head("GET /v1/status HTTP/1.1\nHost: h"), 200),
        ("good", post("one", &event("a")), 200),
        ("conflict", post("one", &event("a").replace("\"t\"", "\"u\"")), 409),
    ] {
        assert_eq!(status(at, &request).await, expected, "{what}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_its_limit() {
    let stand = listening(patient()).await;
    let mut client = Client::connect(stand.at(8787)).await.unwrap();
    client
        .send(&head("POST /v1/events HTTP/1.1\nHost: h\nTransfer-Encoding: chunked"))
        .await
        .unwrap();
    let chunk = [b"8000\r\n".to_vec(), vec![b'x'; 0x8000], b"\r\n".to_vec()].concat();
    // It may hang up while we still send; the answer was sent before.
    for _ in 0..=(MAX_EVENT_BYTES / 0x8000) {
        if client.send(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(client.answer().await.map(|answer| answer.status), Some(413));
}

#[tokio::test]
async fn malformed_http_is_refused_and_harms_nobody() {
    let stand = listening(patient()).await;
    let at = stand.at(8787);
    let mut good = Client::connect(at).await.unwrap();
    let long = format!("GET /v1/status HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("GET /v1/status HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello to plain http"[..],
        b"NOT HTTP\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let mut client = Client::connect(at).await.unwrap();
        let answer = client.ask(garbage).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        assert!([0, 400, 431].contains(&status), "{answer:?}");
    }
    assert_eq!(good.ask(&post("one", &event("a"))).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_head_that_dawdles_is_cut_off_and_a_body_that_does_is_told() {
    let stand = listening(short()).await;
    let at = stand.at(8787);
    let mut silent = Client::connect(at).await.unwrap();
    let mut slow = Client::connect(at).await.unwrap();
    slow.send(b"POST /v1/events HTTP/1.1\r\nHost: h\r\n").await.unwrap();
    let mut body = Client::connect(at).await.unwrap();
    body.send(&head("POST /v1/events HTTP/1.1\nHost: h\nContent-Length: 10")).await.unwrap();
    body.send(b"12345").await.unwrap();
    assert_eq!(body.answer().await.unwrap().status, 408);
    assert!(silent.ended().await);
    assert_eq!(slow.answer().await.map_or(0, |answer| answer.status), 0);
}

#[tokio::test]
async fn who_reads_no_answers_is_hung_up_on() {
    let stand = listening(short()).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Client::over(socket.connect(stand.at(8787)).await.unwrap());
    let questions = b"GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100);
    let hung_up = async { while client.send(&questions).await.is_ok() {} };
    tokio::time::timeout(GENEROUS, hung_up).await.expect("the connection ends");
}

#[tokio::test]
async fn a_thousand_idle_connections_of_one_source_keep_nobody_else_out() {
    // As many descriptors as the system lets us have: both ends are in this process.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted).unwrap();
    if limit.maximum.is_some_and(|maximum| maximum < 4096) {
        eprintln!("skipped: {:?} descriptors are too few", limit.maximum);
        return;
    }
    let stand = listening(patient()).await;
    let at = stand.at(8787);
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(Client::connect_from("127.77.250.1", at).await.unwrap());
    }
    assert_eq!(status(at, &post("one", &event("a"))).await, 200);
    // Those beyond the limit of their source were closed unheard.
    for over in &mut idle[Limits::default().connections_per_source..] {
        assert!(over.ended().await);
    }
    let last = Limits::default().connections_per_source - 1;
    let heard = idle[last].ask(&post("one", &event("b"))).await;
    assert_eq!(heard.map(|answer| answer.status), Some(200));
}

#[tokio::test]
async fn many_connections_at_once_are_all_answered_and_each_event_is_there_once() {
    let stand = listening(patient()).await;
    let at = stand.at(8787);
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            tokio::spawn(async move {
                let mut client = Client::connect(at).await.unwrap();
                for i in 0..20 {
                    // Every id comes from two connections.
                    let body = event(&format!("e{}-{i}", n / 2));
                    let answer = client.ask(&post("one", &body)).await.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counts = stand.receivers.counts("g").unwrap();
    assert_eq!((counts.received, counts.duplicate), (320, 320));
}
