//! What a controller asks of its domain: reconcile one key, and judge one error.
//!
//! Only types: no I/O, no clock, no policy. The policy (how long to back off, how many at once) is
//! the controller's.

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

/// Brings one key's part of the world to its desired state.
///
/// An activation takes no input but the key: it reads the current state, compares, and acts on the
/// difference. It is never told what woke it, so there is one code path for "created", "changed",
/// "deleted", "restarted" and "nothing happened at all". See the [module](super) for the reasons.
pub trait Reconciler: Send + Sync + 'static {
    /// Names the thing to reconcile. It may name something that no longer exists: that is how a
    /// deletion arrives. Cheap to clone (a number, an `Arc<str>`).
    type Key: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// Why a reconcile did not reach the desired state.
    type Error: std::error::Error + Send + 'static;

    /// Reads, compares, acts, and says when to look again.
    ///
    /// Never runs twice at once for one key. The future is dropped at an await point when it
    /// exceeds the controller's timeout or the controller is aborted, so every await must be a
    /// place where stopping is safe; the next run picks up from the state, not from memory.
    fn reconcile(
        &self,
        key: &Self::Key,
    ) -> impl Future<Output = Result<Action, Self::Error>> + Send;

    /// Says whether running again with the same spec could help.
    fn classify(&self, error: &Self::Error) -> Failure;
}

/// When a key that was reconciled runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only when something triggers it. The key costs no memory until then.
    AwaitChange,
    /// After this long, or at an earlier trigger. For work that is due in the future (an expiry, a
    /// renewal): the present is settled, so it does not hold up convergence.
    RequeueAfter(Duration),
    /// After this long, or at an earlier trigger. For work that is known now and held back on
    /// purpose (a debounce, a batch window): the key counts as pending meanwhile.
    HoldFor(Duration),
}

impl Action {
    /// Nothing to do until something changes.
    pub const fn await_change() -> Self {
        Self::AwaitChange
    }

    /// Look again after `delay`; the present is settled.
    pub const fn requeue_after(delay: Duration) -> Self {
        Self::RequeueAfter(delay)
    }

    /// Look again after `delay`; there is work that waits for it.
    pub const fn hold_for(delay: Duration) -> Self {
        Self::HoldFor(delay)
    }
}

/// What a failed reconcile means for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Run again after a growing, jittered delay.
    Retry,
    /// Running again cannot help: park the key until its own spec changes.
    Terminal,
}
