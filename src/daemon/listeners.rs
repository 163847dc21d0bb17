//! The listeners of this node, as the daemon wires them and as the control socket sees them.

use std::sync::Arc;

use super::node::Node;
use crate::api::clock::Clock;
use crate::control::ListenerView;
use crate::federation::files::Files;
use crate::federation::receiver::{self, Receivers};
use crate::runtime::{Stopped, converged};
use crate::store::Store;

/// Listeners that are looked after.
#[derive(Clone)]
pub struct Listeners {
    receivers: Receivers,
    running: receiver::Running,
}

/// What the receiver is made of: the store, and what only the controllers know.
pub fn outside(
    store: &Store,
    clock: &Arc<dyn Clock>,
    files: &Arc<Files>,
    node: &Node,
) -> receiver::Outside {
    let counts = node.clone();
    receiver::Outside {
        store: store.clone(),
        clock: Arc::clone(clock),
        files: Arc::clone(files),
        reception: node.reception(),
        stored: Arc::new(move |group| counts.historian.stored(group).unwrap_or(0)),
    }
}

impl Listeners {
    /// Answers for these.
    pub fn new(receivers: Receivers, running: receiver::Running) -> Self {
        Self { receivers, running }
    }

    /// Waits until every listener is what the manifests ask for.
    pub async fn converged(&self, store: &Store) -> Result<(), Stopped> {
        let (store, running) = (store.clone(), &self.running);
        let progress = std::slice::from_ref(&running.progress);
        converged(move || store.head(), progress, std::slice::from_ref(&running.observer)).await
    }

    /// How the listener of a group fares; `None` if it is to have none.
    pub fn view(&self, group: &str) -> Option<ListenerView> {
        let state = self.receivers.state(group)?;
        let counts = self.receivers.counts(group).unwrap_or_default();
        Some(ListenerView {
            address: state.address,
            listening: state.listening,
            reason: state.reason.to_owned(),
            message: state.message,
            since: state.since,
            received: counts.received,
            duplicate: counts.duplicate,
            rejected: counts.rejected.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect(),
            ignored_members: counts.ignored,
        })
    }
}
