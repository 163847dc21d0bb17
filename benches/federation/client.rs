//! A sender that costs little: whole requests written to a kept connection, answers only counted.

use std::net::SocketAddr;

use routerd::api::Time;
use routerd::federation::signature::Key;
use routerd::federation::wire::{BATCH_PATH, EVENTS_PATH, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::node::{GROUP, SECRET};

/// Clients that are observed in turns: seeing them again is the normal case.
const CLIENTS: u64 = 4096;

/// One connection to the receiver.
pub struct Client {
    stream: TcpStream,
    key: Key,
    read: Vec<u8>,
}

/// One event, as another node would have it.
pub fn event(connection: usize, number: u64) -> Value {
    let client = (number * 64 + connection as u64) % CLIENTS;
    let address = format!("10.88.{}.{}/32", client / 256, client % 256);
    json!({
        "id": format!("{connection}-{number}"), "group": GROUP,
        "type": "routerd.client.ipv4.observed", "sourceNode": "onprem-router",
        "subject": address, "observedAt": Time::now().to_string(),
        "payload": {"address": address, "domain": "cloudedge-same-subnet", "ownerSide": "onprem",
            "peerRef": "onprem-main", "providerRef": "example-provider"},
    })
}

impl Client {
    pub async fn connect(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).await.expect("the receiver listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, key: Key::new(SECRET.as_bytes()), read: Vec::new() }
    }

    /// Sends one event, or many in one request, and waits until they are acknowledged.
    pub async fn send(&mut self, mut events: Vec<Value>) {
        let count = events.len();
        let (path, body) = if count == 1 {
            (EVENTS_PATH, events.remove(0).to_string())
        } else {
            (BATCH_PATH, json!({"events": events}).to_string())
        };
        let now = Time::now().as_second();
        let signature = self.key.sign(now, body.as_bytes());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\n{TIMESTAMP_HEADER}: {now}\r\n\
             {SIGNATURE_HEADER}: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("the receiver reads");
        let answer = self.answer().await;
        let accepted = answer.matches("\"accepted\":true").count();
        assert_eq!(accepted, count, "{answer}");
    }

    async fn answer(&mut self) -> String {
        self.read.clear();
        loop {
            let read = self.stream.read_buf(&mut self.read).await.expect("an answer");
            assert!(read > 0, "the receiver hung up");
            let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if self.read.len() >= end + 4 + length {
                return String::from_utf8_lossy(&self.read).into_owned();
            }
        }
    }
}
