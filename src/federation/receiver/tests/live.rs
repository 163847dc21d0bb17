//! What changes while requests come.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::{Client, status};
use super::*;
use crate::api::kinds::federation::PeerTls;
use crate::federation::authority::Authority;
use crate::federation::tls::ClientTls;

#[tokio::test]
async fn a_group_is_heard_while_it_is_to_listen_and_no_longer() {
    let stand = Stand::new(patient());
    let secret = stand.secret("s", "one");
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    assert!(stand.state().listening);
    assert_eq!(status(stand.at(8787), &post("one", &event("a"))).await, 200);
    let counts = stand.receivers.counts("g").unwrap();
    assert_eq!((counts.received, counts.duplicate), (1, 0));
    stand.put("EventGroup", "g", Some(json!({"nodeName": "cloud"}))).await;
    assert_eq!(stand.receivers.state("g"), None);
    until("the port to close", async || Client::connect(stand.at(8787)).await.is_err()).await;
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    assert_eq!(status(stand.at(8787), &post("one", &event("a"))).await, 200);
    stand.put("EventGroup", "g", None).await;
    until("the port to close", async || Client::connect(stand.at(8787)).await.is_err()).await;
}

#[tokio::test]
async fn without_a_secret_it_is_off_until_the_file_is_there() {
    let stand = Stand::new(patient());
    stand.group(8787, json!({})).await;
    assert_eq!((stand.state().listening, stand.state().reason), (false, "NoSecret"));
    assert!(Client::connect(stand.at(8787)).await.is_err());
    let path = stand.directory.path().join("later").display().to_string();
    stand.group(8787, json!({"auth": {"secretFile": path}})).await;
    assert_eq!(stand.state().reason, "SecretUnusable");
    stand.secret("later", "one");
    stand.look().await;
    until("the listener", async || stand.state().listening).await;
    assert_eq!(status(stand.at(8787), &post("one", &event("a"))).await, 200);
    std::fs::remove_file(&path).unwrap();
    stand.look().await;
    until("the listener to close", async || !stand.state().listening).await;
    stand.group(8787, json!({"auth": {"mode": "none"}})).await;
    let body = event("b");
    let unsigned = format!(
        "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(status(stand.at(8787), unsigned.as_bytes()).await, 200);
}

#[tokio::test]
async fn a_secret_is_changed_under_a_connection_that_stays() {
    let stand = Stand::new(patient());
    let secret = stand.secret("s", "old");
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    let mut client = Client::connect(stand.at(8787)).await.unwrap();
    assert_eq!(client.ask(&post("old", &event("a"))).await.unwrap().status, 200);
    stand.secret("s", "new\n");
    stand.look().await;
    until("the new secret to hold", async || {
        client.ask(&post("new", &event("b"))).await.unwrap().status == 200
    })
    .await;
    assert_eq!(client.ask(&post("old", &event("c"))).await.unwrap().status, 401);
}

#[tokio::test]
async fn both_secrets_of_a_peer_hold_while_they_are_rotated() {
    let stand = Stand::new(patient());
    let files = [stand.secret("old", "old"), stand.secret("new", "new")];
    stand.group(8787, json!({})).await;
    assert_eq!(stand.state().reason, "NoSecret");
    let peer = |files: &[String]| {
        Some(json!({"groupRef": "g", "nodeName": "onprem", "direction": "receive",
            "auth": {"secretFiles": files}}))
    };
    let mut client = None;
    for (files, good, bad) in [
        (&files[..1], &["old"][..], &["new"][..]),
        (&files[..], &["old", "new"][..], &["other"][..]),
        (&files[1..], &["new"][..], &["old"][..]),
    ] {
        stand.put("EventPeer", "p", peer(files)).await;
        let client = match &mut client {
            Some(client) => client,
            none => none.insert(Client::connect(stand.at(8787)).await.unwrap()),
        };
        for secret in good {
            assert_eq!(client.ask(&post(secret, &event("a"))).await.unwrap().status, 200);
        }
        for secret in bad {
            assert_eq!(client.ask(&post(secret, &event("a"))).await.unwrap().status, 401);
        }
    }
    stand.put("EventPeer", "p", None).await;
    assert_eq!(stand.state().reason, "NoSecret");
}

#[tokio::test]
async fn a_request_under_way_ends_well_when_the_address_moves() {
    let stand = Stand::new(patient());
    let secret = stand.secret("s", "one");
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    let mut client = Client::connect(stand.at(8787)).await.unwrap();
    let request = post("one", &event("a"));
    let (first, rest) = request.split_at(request.len() - 10);
    client.send(first).await.unwrap();
    // The head is read once its body is being waited for: another connection has been answered.
    assert_eq!(status(stand.at(8787), &post("one", &event("b"))).await, 200);
    stand.group(8788, json!({"auth": {"secretFile": secret}})).await;
    assert_eq!(status(stand.at(8788), &post("one", &event("c"))).await, 200);
    until("the old port to close", async || Client::connect(stand.at(8787)).await.is_err()).await;
    client.send(rest).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert!(client.ended().await, "it was its last");
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_said_and_taken_as_soon_as_it_can() {
    let stand = Stand::new(patient());
    let secret = stand.secret("s", "one");
    let taken = std::net::TcpListener::bind(stand.at(8787)).unwrap();
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    let state = stand.state();
    assert_eq!((state.listening, state.reason), (false, "AddressInUse"), "{}", state.message);
    drop(taken);
    until("the port", async || stand.state().listening).await;
    assert_eq!(status(stand.at(8787), &post("one", &event("a"))).await, 200);
    // TEST-NET-1: no host has it.
    let listen = json!({"address": "192.0.2.1", "port": 8787});
    stand.group(8787, json!({"auth": {"secretFile": secret}, "listen": listen})).await;
    let state = stand.state();
    assert_eq!((state.listening, state.reason), (false, "AddressNotAssigned"));
    assert_eq!(state.generation, 2);
    assert!(Client::connect(stand.at(8787)).await.is_err(), "the old address was given up");
}

async fn tls(stand: &Stand, spec: &PeerTls) -> Option<Client<impl AsyncStream>> {
    let config = ClientTls::open(&Files::new(), spec).config().unwrap();
    let stream = TcpStream::connect(stand.at(8787)).await.ok()?;
    let name = rustls::pki_types::ServerName::try_from(stand.host.clone()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    Some(Client::over(stream))
}

trait AsyncStream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> AsyncStream for S {}

async fn tls_status(stand: &Stand, spec: &PeerTls, bytes: &[u8]) -> u16 {
    let Some(mut client) = tls(stand, spec).await else { return 0 };
    client.ask(bytes).await.map_or(0, |answer| answer.status)
}

#[tokio::test]
async fn a_certificate_names_the_peer_and_is_replaced_under_way() {
    let stand = Stand::new(patient());
    let authority = Authority::new();
    authority.issue("server", &["old"]);
    authority.issue("onprem", &["onprem"]);
    authority.issue("branch", &["branch"]);
    let secret = stand.secret("s", "one");
    let listen = json!({
        "address": stand.host, "port": 8787, "tls": authority.listen("server", true),
    });
    stand.group(8787, json!({"auth": {"secretFile": secret}, "listen": listen})).await;
    assert!(stand.state().listening, "{}", stand.state().message);
    let (old, new) =
        (authority.peer(Some("onprem"), Some("old")), authority.peer(Some("onprem"), Some("new")));
    let mut client = tls(&stand, &old).await.unwrap();
    assert_eq!(client.ask(&post("one", &event("a"))).await.unwrap().status, 200);
    let branch = authority.peer(Some("branch"), Some("old"));
    assert_eq!(tls_status(&stand, &branch, &post("one", &event("b"))).await, 422);
    let nobody = authority.peer(None, Some("old"));
    assert_eq!(tls_status(&stand, &nobody, &post("one", &event("b"))).await, 0);
    assert_eq!(status(stand.at(8787), &post("one", &event("b"))).await, 0, "plain http");

    let request = post("one", &event("c"));
    let (first, rest) = request.split_at(request.len() - 10);
    client.send(first).await.unwrap();
    assert_eq!(tls_status(&stand, &old, &post("one", &event("a"))).await, 200);
    authority.issue("server", &["new"]);
    stand.look().await;
    until("the new certificate", async || {
        tls_status(&stand, &new, &post("one", &event("d"))).await == 200
    })
    .await;
    assert_eq!(tls_status(&stand, &old, &post("one", &event("d"))).await, 0);
    client.send(rest).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200, "what was under way");

    // Half of a replacement: what was in force stays, and says so.
    std::fs::write(authority.path("server.pem"), "").unwrap();
    stand.look().await;
    until("the problem to be told", async || stand.state().reason == "ListeningPartly").await;
    assert_eq!(tls_status(&stand, &new, &post("one", &event("e"))).await, 200);
}

#[tokio::test]
async fn while_it_is_not_known_whom_to_trust_nobody_is_heard() {
    let stand = Stand::new(patient());
    let authority = Authority::new();
    authority.issue("server", &["old"]);
    authority.issue("onprem", &["onprem"]);
    let auth = json!({"secretFile": stand.secret("s", "one")});
    let mut listen = json!({
        "address": stand.host, "port": 8787, "tls": authority.listen("server", true),
    });
    stand.group(8787, json!({"auth": auth, "listen": listen})).await;
    let peer = authority.peer(Some("onprem"), Some("old"));
    assert_eq!(tls_status(&stand, &peer, &post("one", &event("a"))).await, 200);
    // Other clients are to be trusted, and the file that says which is no certificate.
    let other = stand.directory.path().join("other.pem");
    std::fs::write(&other, "not a certificate").unwrap();
    listen["tls"]["clientCAFile"] = other.display().to_string().into();
    stand.group(8787, json!({"auth": auth, "listen": listen})).await;
    let state = stand.state();
    assert_eq!((state.listening, state.reason), (false, "TlsUnusable"), "{}", state.message);
    assert_eq!(tls_status(&stand, &peer, &post("one", &event("b"))).await, 0);
}

#[tokio::test]
async fn when_the_daemon_stops_requests_under_way_are_answered() {
    let stand = Stand::new(patient());
    let secret = stand.secret("s", "one");
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    let mut client = Client::connect(stand.at(8787)).await.unwrap();
    let request = post("one", &event("a"));
    let (first, rest) = request.split_at(request.len() - 10);
    client.send(first).await.unwrap();
    assert_eq!(status(stand.at(8787), &post("one", &event("b"))).await, 200);
    stand.shutdown.drain();
    until("the port to close", async || Client::connect(stand.at(8787)).await.is_err()).await;
    client.send(rest).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_secret_that_can_be_guessed_is_taken_and_told() {
    let stand = Stand::new(patient());
    let secret = stand.secret("s", "fifteen bytes..");
    stand.group(8787, json!({"auth": {"secretFile": secret}})).await;
    let state = stand.state();
    assert_eq!((state.listening, state.reason), (true, "SecretShort"));
    assert!(state.message.contains("shorter than 16 bytes"), "{}", state.message);
    assert!(state.message.contains("keygen"), "{}", state.message);
    assert_eq!(status(stand.at(8787), &post("fifteen bytes..", &event("a"))).await, 200);
    let other = stand.secret("t", "sixteen bytes...");
    stand.group(8787, json!({"auth": {"secretFile": other}})).await;
    assert_eq!((stand.state().listening, stand.state().reason), (true, "Listening"));
}
