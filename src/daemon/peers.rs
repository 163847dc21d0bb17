//! The peers of the running daemon, as its control socket sees them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use tokio::sync::watch;

use super::node::Node;
use crate::control::{PeerFigures, Pending};
use crate::federation::outbox::{Outboxes, Running};
use crate::runtime::{KeyState, Shutdown, Stopped};

/// The outboxes that run.
#[derive(Clone)]
pub struct Peers {
    outboxes: Outboxes,
    running: Running,
}

impl Peers {
    /// Answers for these.
    pub fn new(outboxes: Outboxes, running: Running) -> Self {
        Self { outboxes, running }
    }

    /// Tries all peers at once when a secret or a certificate has changed.
    pub async fn follow(
        self,
        mut changes: watch::Receiver<u64>,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = shutdown.draining() => return Ok(()),
                changed = changes.changed() => if changed.is_err() {
                    shutdown.draining().await;
                    return Ok(());
                },
            }
            self.running.try_now(self.outboxes.peers());
        }
    }

    /// Tries these peers now.
    pub fn try_now(&self, peers: &[String]) {
        peers.iter().for_each(|peer| self.outboxes.unpark(peer));
        self.running.try_now(peers.iter().map(|peer| peer.as_str().into()));
    }

    /// Waits until the node has converged and the peers have everything.
    pub async fn converged(&self, node: &Node) -> Result<(), Stopped> {
        node.converged_with(self.running.progress(), self.running.observer()).await
    }

    /// What is owed and not delivered, at most `limit` peers.
    pub fn pending(&self, limit: usize) -> Vec<Pending> {
        let pending = self.running.observer().pending(limit);
        pending.into_iter().map(|pending| self.explain(&pending.key, pending.state)).collect()
    }

    fn explain(&self, key: &str, state: KeyState) -> Pending {
        let name = key.trim_matches('"');
        let peer = self.outboxes.peer(name);
        let owed = peer.as_ref().map_or(0, |peer| peer.figures.owed);
        let why = peer.map(|peer| peer.message).unwrap_or_default();
        let message = match why.as_str() {
            "" => format!("{owed} owed"),
            why => format!("{owed} owed; {why}"),
        };
        let state = match state {
            KeyState::Ready => "Ready",
            KeyState::Running => "Running",
            KeyState::BackingOff => "BackingOff",
            _ => "Waiting",
        };
        Pending {
            controller: "deliveries".to_owned(),
            key: name.to_owned(),
            state: state.to_owned(),
            due: None,
            message,
        }
    }

    /// Figures of the peers that are pushed to.
    pub fn figures(&self) -> BTreeMap<String, PeerFigures> {
        let names = self.outboxes.peers();
        let known = names.iter().filter_map(|name| Some((name, self.outboxes.peer(name)?)));
        known
            .map(|(name, peer)| {
                let own = peer.figures;
                let figures = PeerFigures {
                    pending: own.owed as u64,
                    delivered: own.delivered as u64,
                    dead: own.dead as u64,
                    oldest: own.oldest,
                    next_end: own.next_end,
                    tried_at: peer.tried_at,
                    failures: peer.failures,
                };
                (name.to_string(), figures)
            })
            .collect()
    }
}
