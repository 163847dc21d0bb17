//! runtime
mod backoff;
pub mod queue;
mod reconciler;

pub use self::backoff::{Backoff, Jitter};
pub use self::queue::{Depth, KeyState, Outcome, Queue, Run, Trigger};
pub use self::reconciler::{Action, Failure, Reconciler};
