//! What the receiver puts up with. Everything that comes in has a bound, and no bound waits for a
//! signature: what is refused here costs next to nothing.

use std::time::Duration;

use super::rate::Rate;
use crate::federation::wire::MAX_BATCH_BYTES;

/// Bounds of all listeners of a node together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; one more is closed unheard.
    pub connections: usize,
    /// Of these from one source: an IPv4 address, or the /64 of an IPv6 address.
    pub connections_per_source: usize,
    /// How long a TLS handshake, a request's head, or an idle connection may take; and how long a
    /// client may take nothing of an answer.
    pub head: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// Bytes of all bodies that are being read or worked on.
    pub bodies: usize,
    /// Of these from one source.
    pub bodies_per_source: usize,
    /// Requests of one source.
    pub requests: Rate,
    /// Requests of one source that carried no valid signature; beyond it the source is not heard.
    pub failures: Rate,
    /// How long requests under way may go on when a listener closes.
    pub drain: Duration,
    /// How often an address that this node does not have yet is tried again.
    pub rebind: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_source: 128,
            head: Duration::from_secs(15),
            body: Duration::from_secs(10),
            bodies: 32 * MAX_BATCH_BYTES,
            bodies_per_source: 4 * MAX_BATCH_BYTES,
            requests: Rate { per_second: 20_000.0, burst: 20_000.0 },
            failures: Rate { per_second: 20.0, burst: 200.0 },
            drain: Duration::from_secs(5),
            rebind: Duration::from_secs(1),
        }
    }
}
