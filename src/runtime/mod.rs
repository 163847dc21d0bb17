//! runtime
mod backoff;
mod controller;
pub mod queue;
mod readiness;
mod reconciler;
mod shared;
mod shutdown;
mod stats;
mod trigger;

pub use self::backoff::{Backoff, Jitter};
pub use self::controller::Controller;
pub use self::queue::{Depth, KeyState, Outcome, Queue, Run, Trigger};
pub use self::readiness::{NeverReady, Ready, ReadySetter, readiness};
pub use self::reconciler::{Action, Failure, Reconciler};
pub use self::shutdown::Shutdown;
pub use self::stats::{Counters, KeyError, Observer, Pending, Phase, Stats, Stopped};
pub use self::trigger::TriggerSender;
