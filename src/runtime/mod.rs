//! A runtime for level-triggered controllers: keyed work queue, reconcile loop, reflectors, and the
//! means to start, watch and stop them. It knows tokio and tracing, and nothing of this program;
//! `examples/thermostat.rs` runs another domain on it.
//!
//! # How a reconciler thinks
//!
//! **An activation takes no input.** A [`Reconciler`] gets a key and nothing else: not the event
//! that woke it, not what changed, not how often. It reads what is wanted, reads what is, and acts
//! on the difference. If it were given the event, it would come to depend on getting every event
//! once and in order, and the first lost, doubled or swapped one would be a wrong state that
//! nothing ever repairs. A reconciler that reads state repairs whatever it finds.
//!
//! **There is one code path.** Created, changed, deleted, restarted after a crash, restored from
//! last week's backup: all of them are "the key was reconciled". A deletion is a key that names
//! nothing any more. So the path that runs after a power cut is the path that ran a thousand times
//! yesterday, and there is no other one to test.
//!
//! **Triggers are hints.** A [`TriggerSender`] says "look at this key soon". A thousand triggers
//! for a key that waits are one run; a trigger during a run is exactly one more run, because that
//! run may have read too early. Sending one too many costs a little time, so when in doubt, send.
//! Change the state first and trigger second.
//!
//! **Events, plus a slow full pass.** Events make it fast; [`Controller::full_pass`] makes it
//! right. It runs every key once in a while, so that a lost hint is a matter of latency, not of
//! truth. A design that needs the pass to be fast has lost its events; one that does not have it
//! has a bug it will never find.
//!
//! **Time is a trigger too.** What is due later is [`Action::RequeueAfter`]; work at hand that is
//! held back on purpose is [`Action::HoldFor`]. Neither outlives the process: after a restart the
//! full pass asks again, and the reconciler computes its deadline from the state.
//!
//! **Failures are ordinary.** An error [retries](Failure::Retry) with a growing delay, or, if only
//! another spec can help, [parks](Failure::Terminal) its key. A panic or a timeout costs one key
//! one attempt. No failing key delays another, and no busy neighbour hurries a failing one: a
//! [related](Trigger::Related) trigger never shortens a backoff, a [spec](Trigger::Spec) trigger
//! ends it.
//!
//! # The parts
//!
//! | part | what it is |
//! | -- | -- |
//! | [`queue`] | which key runs next, and when: plain, synchronous, no clock |
//! | [`Controller`] | the loop around a queue: runs, deadlines, timeouts, panics, shutdown |
//! | [`TriggerSender`] | the way into a controller, from any thread |
//! | [`Beat`] | when the slow passes come, together |
//! | [`Reflector`] | follows a [`Source`] into a [`Sink`]: list, follow, list again when behind |
//! | [`cache`], [`Ready`] | what reconcilers read, and whether it is filled |
//! | [`Observer`], [`converged`] | statistics; is it settled, and are all of them at once |
//! | [`Shutdown`], [`TaskGroup`] | drain, then abort; tasks that live and end together |

mod backoff;
mod beat;
mod cache;
mod controller;
mod converge;
mod describe;
mod errors;
mod group;
pub mod queue;
mod readiness;
mod reconciler;
mod reflector;
mod shared;
mod shutdown;
mod stats;
mod trigger;

pub use self::backoff::{Backoff, Jitter};
pub use self::beat::Beat;
pub use self::cache::{Cache, CacheWriter, cache};
pub use self::controller::Controller;
pub use self::converge::converged;
pub use self::errors::KeyError;
pub use self::group::{GroupError, TaskGroup};
pub use self::queue::{Depth, KeyState, Outcome, Queue, Run, Trigger};
pub use self::readiness::{NeverReady, Ready, ReadySetter, readiness};
pub use self::reconciler::{Action, Failure, Reconciler};
pub use self::reflector::{Progress, Reflector, Sink, Source, Step, Trouble};
pub use self::shutdown::Shutdown;
pub use self::stats::{Counters, Observer, Pending, Phase, Stats, Stopped};
pub use self::trigger::TriggerSender;
