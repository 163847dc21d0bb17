//! The writer: a thread that drains the queue of transactions, or a lock in simulation.
//!
//! The queue is bounded in requests and bytes by a semaphore: a full queue makes `write` wait.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Revision;
use super::commit::{Committed, Committer, Job, JobError};
use super::error::{StoreError, WriteError};
use super::txn::Txn;

/// The pause between two slices of the scrub when the writer has nothing else to do: at most
/// 25,000 rows a second.
const SCRUB_PAUSE: Duration = Duration::from_millis(10);

/// What the writer is told.
pub(super) enum Message {
    Write(Queued),
    Close(oneshot::Sender<()>),
}

/// A transaction in the queue, with its share of the queue's bound.
pub(super) struct Queued {
    pub job: Box<dyn Job>,
    /// Given back when the transaction is taken into a group.
    pub permit: OwnedSemaphorePermit,
}

/// The thread's loop; ends when told to close or when every handle is gone.
pub(super) fn run(mut committer: Committer, queue: &Receiver<Message>) {
    let mut scrubbing = true;
    let mut close = None;
    while close.is_none() {
        let message = if scrubbing {
            match queue.recv_timeout(SCRUB_PAUSE) {
                Err(RecvTimeoutError::Timeout) => {
                    scrubbing = committer.scrub_slice();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => message,
            }
        } else {
            let Ok(message) = queue.recv() else { return };
            message
        };
        match message {
            Message::Write(first) => committer.commit(first.into_job(), || next(queue, &mut close)),
            Message::Close(done) => close = Some(done),
        }
    }
    // Engine first, answer second: whoever waits may open the database next.
    drop(committer);
    if let Some(done) = close {
        // The caller may have stopped waiting.
        _ = done.send(());
    }
}

fn next(
    queue: &Receiver<Message>,
    close: &mut Option<oneshot::Sender<()>>,
) -> Option<Box<dyn Job>> {
    if close.is_some() {
        return None;
    }
    match queue.try_recv() {
        Ok(Message::Write(queued)) => Some(queued.into_job()),
        Ok(Message::Close(done)) => {
            *close = Some(done);
            None
        }
        Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
    }
}

impl Queued {
    fn into_job(self) -> Box<dyn Job> {
        drop(self.permit);
        self.job
    }
}

/// Sends a message; `Closed` if the writer has ended.
pub(super) fn send(queue: &Sender<Message>, message: Message) -> Result<(), StoreError> {
    queue.send(message).map_err(|_| StoreError::Closed)
}

/// The answer a caller waits for.
pub(super) type Answer<R, E> = Result<Committed<R>, WriteError<E>>;

/// A transaction with its types.
struct TypedJob<R, E, F> {
    closure: Option<F>,
    result: Option<Result<R, WriteError<E>>>,
    caller: oneshot::Sender<Answer<R, E>>,
}

/// A job for `closure`, and where its answer will arrive.
pub(super) fn job<R, E, F>(closure: F) -> (Box<dyn Job>, oneshot::Receiver<Answer<R, E>>)
where
    F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send + 'static,
    R: Send + 'static,
    E: Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(TypedJob { closure: Some(closure), result: None, caller }), answer)
}

impl<R, E, F> Job for TypedJob<R, E, F>
where
    F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send,
    R: Send,
    E: Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> bool {
        let Some(closure) = self.closure.take() else { return false };
        let result = closure(txn);
        let keep = result.is_ok();
        self.result = Some(result.map_err(WriteError::Rejected));
        keep
    }

    fn refuse(&mut self, why: JobError) {
        self.result = Some(Err(match why {
            JobError::Panicked(message) => WriteError::Panicked(message),
            JobError::Store(error) => WriteError::Store(error),
        }));
    }

    fn finish(self: Box<Self>, revision: Revision) {
        let result = self.result.unwrap_or(Err(WriteError::Store(StoreError::Closed)));
        // The caller may have stopped waiting; the write stands all the same.
        _ = self.caller.send(result.map(|value| Committed { value, revision }));
    }
}
