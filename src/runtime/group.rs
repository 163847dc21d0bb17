//! The tasks of a process: named, watched, and stopped together.
//!
//! A daemon whose reflector has died looks alive and does nothing. So a critical task that ends
//! before it was asked to brings the whole group down, with its name and its error, and the
//! supervisor of the process starts it afresh from its state.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, warn};

use super::describe::{panic_message, with_sources};
use super::shutdown::Shutdown;

/// How long a task that was told to abort may take to do so by itself.
const TO_OBEY: Duration = Duration::from_millis(250);

type BoxError = Box<dyn Error + Send + Sync>;

/// Tasks that live and end together. Dropping the group aborts them.
#[derive(Debug)]
pub struct TaskGroup {
    shutdown: Shutdown,
    tasks: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, Member>,
}

#[derive(Clone, Debug)]
struct Member {
    name: Arc<str>,
    critical: bool,
}

/// Why a group ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// A critical task failed.
    #[error("task {task} failed")]
    Failed {
        /// Which one.
        task: Arc<str>,
        /// Why.
        source: BoxError,
    },
    /// A critical task panicked.
    #[error("task {task} panicked: {message}")]
    Panicked {
        /// Which one.
        task: Arc<str>,
        /// What the panic said.
        message: String,
    },
    /// A critical task ended, without an error, although nobody asked it to.
    #[error("task {task} ended before it was asked to")]
    Ended {
        /// Which one.
        task: Arc<str>,
    },
    /// Tasks that were asked to stop had to be aborted.
    #[error("tasks did not stop in time: {}", tasks.join(", "))]
    Overdue {
        /// Which ones, by name.
        tasks: Vec<Arc<str>>,
    },
}

impl TaskGroup {
    /// An empty group that stops by `shutdown`, and sets it off when a critical task ends.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tasks: JoinSet::new(), names: HashMap::new() }
    }

    /// Starts a task that must run until it is asked to stop.
    pub fn critical<E: Into<BoxError>>(
        &mut self,
        name: impl Into<Arc<str>>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.spawn(Member { name: name.into(), critical: true }, task);
    }

    /// Starts a task that may end. If it fails, that is logged, and the others go on.
    pub fn background<E: Into<BoxError>>(
        &mut self,
        name: impl Into<Arc<str>>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.spawn(Member { name: name.into(), critical: false }, task);
    }

    fn spawn<E: Into<BoxError>>(
        &mut self,
        member: Member,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(task.id(), member);
    }

    /// Runs until all tasks have ended. Once `shutdown` drains, they have `grace` to end; what is
    /// left then, or when `shutdown` aborts, is aborted.
    ///
    /// Fails with what brought the group down, or else with the tasks that had to be aborted.
    pub async fn run(mut self, grace: Duration) -> Result<(), GroupError> {
        let mut first = None;
        let mut deadline = None;
        while !self.tasks.is_empty() {
            let (draining, due) = (deadline.is_some(), deadline.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                () = self.shutdown.aborting() => break,
                () = sleep_until(due), if draining => break,
                Some(ended) = self.tasks.join_next_with_id() => {
                    if let Err(error) = self.judge(ended) {
                        self.shutdown.drain();
                        first.get_or_insert(error);
                    }
                }
                () = self.shutdown.draining(), if !draining => {
                    // A grace beyond all time is no limit; a year is as good.
                    let grace = grace.min(Duration::from_secs(365 * 24 * 3600));
                    deadline = Some(Instant::now() + grace);
                }
            }
        }
        let overdue = self.abort_the_rest().await;
        match first {
            Some(error) => Err(error),
            None if overdue.is_empty() => Ok(()),
            None => Err(GroupError::Overdue { tasks: overdue }),
        }
    }

    /// What the end of a task means.
    fn judge(
        &mut self,
        ended: Result<(Id, Result<(), BoxError>), JoinError>,
    ) -> Result<(), GroupError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(Member { name: task, critical }) = self.names.remove(&id) else { return Ok(()) };
        let error = match ended {
            Ok((_, Ok(()))) if critical && !self.shutdown.is_draining() => {
                GroupError::Ended { task }
            }
            Ok((_, Ok(()))) => {
                debug!(%task, "task ended");
                return Ok(());
            }
            Ok((_, Err(source))) => GroupError::Failed { task, source },
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => {
                    GroupError::Panicked { task, message: panic_message(&*panic).to_owned() }
                }
                // Only a tokio runtime that shuts down cancels a task of ours.
                Err(_) => return Ok(()),
            },
        };
        let text = with_sources(&error);
        if critical {
            error!(error = text, "stopping all tasks");
            return Err(error);
        }
        warn!(error = text, "background task is lost");
        Ok(())
    }

    /// Aborts what is still there. Returns the names, sorted, of what outlived its grace, or of what
    /// did not obey an abort.
    async fn abort_the_rest(&mut self) -> Vec<Arc<str>> {
        let grace_is_over = !self.shutdown.is_aborting();
        let late = if grace_is_over { self.remaining() } else { Vec::new() };
        self.shutdown.abort();
        // Controllers obey by themselves, and should be seen to.
        let obeyed = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                // The group has its verdict already; this is for the log.
                let _ = self.judge(ended);
            }
        };
        let _ = timeout(TO_OBEY, obeyed).await;
        self.tasks.abort_all();
        if grace_is_over { late } else { self.remaining() }
    }

    fn remaining(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> =
            self.names.values().map(|member| Arc::clone(&member.name)).collect();
        names.sort_unstable();
        names
    }
}
