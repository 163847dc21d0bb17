//! The two steps of stopping: drain, then abort.

use tokio_util::sync::CancellationToken;

/// Tells every task to stop, in two steps. Clones share one state.
///
/// *Drain* means: start nothing new, finish what runs. *Abort* means: stop now. An operator who
/// sends a second signal has decided not to wait; [`request`](Self::request) does what each signal
/// means.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Shutdown {
    /// Nobody has asked to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One signal: the first drains, the second aborts.
    pub fn request(&self) {
        if self.drain.is_cancelled() {
            self.abort.cancel();
        }
        self.drain.cancel();
    }

    /// Asks everyone to finish what they do and stop.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Asks everyone to stop now.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// True once anyone asked to stop.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// True once anyone asked to stop at once.
    pub fn is_aborting(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// A token that is cancelled when anyone asks to stop; for code that knows only tokens.
    pub fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Waits until anyone asks to stop, in either way.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until anyone asks to stop at once.
    pub async fn aborting(&self) {
        self.abort.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_drains_and_the_second_aborts() {
        let shutdown = Shutdown::new();
        shutdown.request();
        assert!(shutdown.is_draining() && !shutdown.is_aborting());
        shutdown.request();
        assert!(shutdown.is_aborting());
    }

    #[test]
    fn an_abort_is_also_a_drain() {
        let shutdown = Shutdown::new();
        shutdown.clone().abort();
        assert!(shutdown.is_draining());
    }
}
