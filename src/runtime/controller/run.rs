//! One run of a reconciler, with a fence around it: whatever it does, the key comes back.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::timeout;
use tracing::{Instrument, debug_span, warn};

use super::super::describe::{panic_message, with_sources};
use super::super::queue::{Outcome, Run};
use super::super::reconciler::{Action, Failure, Reconciler};
use super::super::shared::Finished;
use super::super::stats::Ending;

/// Runs a key once. A panic or a timeout costs this key this attempt, and nothing else.
pub(super) async fn guarded<R: Reconciler>(
    name: Arc<str>,
    reconciler: Arc<R>,
    run: Run<R::Key>,
    limit: Duration,
) -> Finished<R::Key> {
    let span = debug_span!("reconcile", controller = %name, key = ?run.key);
    let attempt = AssertUnwindSafe(attempt(&*reconciler, &run.key, limit));
    // Unwind safe: of what the panic may have left half done, only the reconciler's own state
    // outlives it, and a reconciler starts from what it reads.
    let ended = attempt.catch_unwind().instrument(span).await;
    let (outcome, ending, error) = ended.unwrap_or_else(|panic| {
        (Outcome::Retry, Ending::Panic, Some(format!("panicked: {}", panic_message(&*panic))))
    });
    Finished { run, outcome, ending, error }
}

async fn attempt<R: Reconciler>(
    reconciler: &R,
    key: &R::Key,
    limit: Duration,
) -> (Outcome, Ending, Option<String>) {
    let Ok(result) = timeout(limit, reconciler.reconcile(key)).await else {
        return (Outcome::Retry, Ending::Timeout, Some(format!("took longer than {limit:?}")));
    };
    let error = match result {
        Ok(action) => return (action.into(), Ending::Success, None),
        Err(error) => error,
    };
    let message = Some(with_sources(&error));
    match reconciler.classify(&error) {
        Failure::Retry => (Outcome::Retry, Ending::Failure, message),
        Failure::Terminal => (Outcome::Terminal, Ending::TerminalFailure, message),
    }
}

impl From<Action> for Outcome {
    fn from(action: Action) -> Self {
        match action {
            Action::AwaitChange => Self::Done,
            Action::RequeueAfter(delay) => Self::RequeueAfter(delay),
            Action::HoldFor(delay) => Self::HoldFor(delay),
        }
    }
}

/// What the log says about a run that failed.
pub(super) struct Report<K> {
    key: K,
    attempt: u32,
    error: String,
    terminal: bool,
}

impl<K: Clone + Debug> Report<K> {
    /// Nothing for a success.
    pub(super) fn of(finished: &Finished<K>) -> Option<Self> {
        let error = finished.error.clone()?;
        let terminal = finished.outcome == Outcome::Terminal;
        Some(Self { key: finished.run.key.clone(), attempt: finished.run.attempt, error, terminal })
    }

    pub(super) fn log(&self, controller: &str, retry_in: Option<Duration>) {
        let Self { key, attempt, error, terminal } = self;
        if *terminal {
            warn!(controller, ?key, attempt, error, "reconcile failed until the spec changes");
        } else {
            warn!(controller, ?key, attempt, error, ?retry_in, "reconcile failed");
        }
    }
}
