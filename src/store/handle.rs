//! [`Store`]: the handle everything else holds.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, oneshot, watch};

use super::Revision;
use super::change_log::ChangeLog;
use super::commit::{Committed, Committer};
use super::engine::{Engine, EngineError, RawRows};
use super::error::{StoreError, WriteError};
use super::health::{Health, HealthNote, Writes};
use super::memory::MemoryEngine;
use super::meta::Meta;
use super::record::{Record, row_key};
use super::rows::{self, Rows};
use super::scan::Scan;
use super::scrub::Scrub;
use super::txn::Txn;
use super::watch::{Feed, Watch};
use super::writer::{self, Message, Queued};

/// Bounds of the queue and of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Transactions that may wait; one more makes its caller wait.
    pub queue_requests: u32,
    /// Bytes that waiting transactions may carry, as declared to [`Store::write_sized`].
    pub queue_bytes: u32,
    /// Transactions that share one sync.
    pub group_requests: usize,
    /// Bytes of rows after which a group takes no further transaction.
    pub group_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_requests: 1024,
            queue_bytes: 64 * 1024 * 1024,
            group_requests: 512,
            group_bytes: 4 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// The queue's budget is counted in shares; each request takes at least one.
    fn share_bytes(&self) -> u32 {
        (self.queue_bytes / self.queue_requests.max(1)).max(1)
    }

    fn shares(&self, bytes: usize) -> u32 {
        let shares = bytes.div_ceil(self.share_bytes() as usize).max(1);
        u32::try_from(shares).unwrap_or(u32::MAX).min(self.queue_requests.max(1))
    }
}

/// What the writer and the readers share.
pub(super) struct Shared {
    pub engine: Arc<dyn Engine>,
    pub feed: Arc<Feed>,
    pub limits: Limits,
    health: watch::Sender<Health>,
}

impl Shared {
    pub(super) fn update_health(&self, update: impl FnOnce(&mut Health)) {
        self.health.send_if_modified(|health| {
            let before = health.clone();
            update(health);
            *health != before
        });
    }

    pub(super) fn set_writes(&self, writes: Writes) {
        self.health.send_if_modified(|health| {
            let changed = health.writes != writes;
            if changed {
                health.writes = writes;
            }
            changed
        });
    }

    pub(super) fn note(&self, note: HealthNote) {
        self.update_health(|health| health.note(note));
    }
}

/// The store. Clones share it; the database is released with the last one.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    id: [u8; 16],
    writer: Writer,
}

enum Writer {
    Thread { queue: Sender<Message>, budget: Arc<Semaphore>, thread: Option<JoinHandle<()>> },
    Inline(Mutex<Option<Committer>>),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl Store {
    /// A store in memory. Commits happen inside `write`, on the caller's task: no thread, no
    /// timing, the same order in every run. A restart is a new `Store` on the same engine.
    pub fn in_memory(engine: MemoryEngine) -> Self {
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let meta = Meta::load(&*engine).expect("memory holds what was put there");
        let meta = meta.unwrap_or(Meta::new([0; 16], 1));
        Self::inline(engine, meta, Limits::default(), Health::default())
            .expect("memory does not fail to read")
    }

    /// A store in memory whose writer has a thread of its own, as on disk.
    #[cfg(test)]
    pub(crate) fn threaded_in_memory(engine: &MemoryEngine) -> Self {
        let meta = Meta::new([7; 16], 1);
        Self::start(Arc::new(engine.clone()), meta, Limits::default(), Health::default(), false)
            .expect("memory does not fail to read")
    }

    /// A store on an opened engine that commits inside `write`, on the caller's task.
    pub(super) fn inline(
        engine: Arc<dyn Engine>,
        meta: Meta,
        limits: Limits,
        health: Health,
    ) -> Result<Self, StartError> {
        let shared = Self::share(engine, meta, limits, health)?;
        let committer = Committer::new(Arc::clone(&shared), meta, None);
        Ok(Self::assemble(shared, meta, Writer::Inline(Mutex::new(Some(committer)))))
    }

    /// A store on an opened engine, with its writer thread.
    pub(super) fn start(
        engine: Arc<dyn Engine>,
        meta: Meta,
        limits: Limits,
        health: Health,
        scrub: bool,
    ) -> Result<Self, StartError> {
        let shared = Self::share(engine, meta, limits, health)?;
        let (queue, receiver) = std::sync::mpsc::channel();
        let committer = Committer::new(Arc::clone(&shared), meta, scrub.then(Scrub::new));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer::run(committer, &receiver))?;
        let budget = Arc::new(Semaphore::new(limits.queue_requests.max(1) as usize));
        Ok(Self::assemble(shared, meta, Writer::Thread { queue, budget, thread: Some(thread) }))
    }

    fn share(
        engine: Arc<dyn Engine>,
        meta: Meta,
        limits: Limits,
        health: Health,
    ) -> Result<Arc<Shared>, EngineError> {
        let feed = Feed::new(ChangeLog::load(&*engine, meta.revision)?);
        Ok(Arc::new(Shared { engine, feed, limits, health: watch::Sender::new(health) }))
    }

    fn assemble(shared: Arc<Shared>, meta: Meta, writer: Writer) -> Self {
        Self { inner: Arc::new(Inner { shared, id: meta.id, writer }) }
    }

    /// The store's random identity: another store, another id.
    pub fn id(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.inner.id)
    }

    /// Runs `f` on the writer, in order with all other writes, and returns when what it wrote is
    /// durable. If `f` refuses, nothing of it is written; if it changes nothing, there is no new
    /// revision and no sync of its own. Waits while the queue is full. `f` must not block: every
    /// other writer waits for it.
    ///
    /// Dropping the future does not undo the write once it is queued.
    pub async fn write<R, E, F>(&self, f: F) -> Result<Committed<R>, WriteError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
    {
        self.write_sized(size_of::<F>(), f).await
    }

    /// [`write`](Self::write) for a closure that carries much: `bytes` counts against the bound of
    /// the queue.
    pub async fn write_sized<R, E, F>(
        &self,
        bytes: usize,
        f: F,
    ) -> Result<Committed<R>, WriteError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
    {
        let closed = || WriteError::Store(StoreError::Closed);
        let (job, answer) = writer::job(f);
        match &self.inner.writer {
            Writer::Thread { queue, budget, .. } => {
                let shares = self.inner.shared.limits.shares(bytes);
                let permit = Arc::clone(budget).acquire_many_owned(shares).await;
                let queued = Queued { job, permit: permit.map_err(|_| closed())? };
                writer::send(queue, Message::Write(queued)).map_err(WriteError::Store)?;
            }
            Writer::Inline(committer) => {
                let mut committer = committer.lock().unwrap_or_else(PoisonError::into_inner);
                committer.as_mut().ok_or_else(closed)?.commit(job, || None);
            }
        }
        // The writer answers every job it takes; one it never took is dropped with the queue.
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// [`write`](Self::write) for callers outside an async context.
    pub fn write_blocking<R, E, F>(&self, f: F) -> Result<Committed<R>, WriteError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
    {
        futures::executor::block_on(self.write(f))
    }

    /// The row with this key, as last applied: it may belong to a group that is being synced.
    /// What must rest on durable state belongs into a [`write`](Self::write).
    pub fn get<T: Record>(&self, key: &T::Key) -> Result<Option<T>, StoreError> {
        rows::read(&self.inner.shared.engine, &row_key::<T>(key))
    }

    /// The rows of a range. No snapshot: a row that changes meanwhile is seen before or after the
    /// change. For a consistent list take [`head`](Self::head) first, list, and
    /// [`watch`](Self::watch) from there; or scan inside a `write`.
    pub fn scan<T: Record>(&self, scan: &Scan) -> Rows<'_, T> {
        Rows::new(self.raw::<T>(scan), &self.inner.shared.engine)
    }

    /// [`scan`](Self::scan) for those who need little of each row: fields that `V` does not name are
    /// passed over.
    pub fn scan_as<T: Record, V: DeserializeOwned>(&self, scan: &Scan) -> Rows<'_, T, V> {
        Rows::new(self.raw::<T>(scan), &self.inner.shared.engine)
    }

    /// How many rows a range holds. Decodes none of them.
    pub fn count<T: Record>(&self, scan: &Scan) -> Result<u64, StoreError> {
        Ok(self.raw::<T>(scan).try_fold(0, |count, row| row.map(|_| count + 1))?)
    }

    fn raw<T: Record>(&self, scan: &Scan) -> RawRows<'_> {
        match scan.bounds(T::TABLE.prefix) {
            Some((from, to)) => self.inner.shared.engine.range(from, to, scan.is_reverse()),
            None => Box::new(std::iter::empty()),
        }
    }

    /// The rows as they are stored, for a backup.
    pub(super) fn engine(&self) -> &Arc<dyn Engine> {
        &self.inner.shared.engine
    }

    /// The last durable revision.
    pub fn head(&self) -> Revision {
        self.inner.shared.feed.durable()
    }

    /// The last revision whose rows are read, at most one group ahead of [`head`](Self::head).
    pub fn applied(&self) -> Revision {
        self.inner.shared.feed.applied()
    }

    /// Waits until everything that was read by now is durable, at most one group. For who acts outside
    /// of the store on what it has read. An error if the store failed or was closed first.
    pub async fn settled(&self) -> Result<(), StoreError> {
        if self.inner.shared.feed.settled().await {
            return Ok(());
        }
        Err(match &self.inner.shared.health.borrow().writes {
            Writes::Failed(why) => StoreError::Failed(why.clone()),
            _ => StoreError::Closed,
        })
    }

    /// Tells what changed durably after `from`. A cursor that is older than the log, or newer than
    /// the store, is told that it lags.
    pub fn watch(&self, from: Revision) -> Watch {
        Watch::of_durable(Arc::clone(&self.inner.shared.feed), from)
    }

    /// [`watch`](Self::watch) for those who get ready while a group is being synced: told of what is
    /// applied. What acts on it outside of the store waits for [`settled`](Self::settled) first; what
    /// writes need not, for writes become durable in order.
    pub fn watch_applied(&self, from: Revision) -> Watch {
        Watch::of_applied(Arc::clone(&self.inner.shared.feed), from)
    }

    /// The store's condition, now and whenever it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.shared.health.subscribe()
    }

    /// Finishes what is queued and ends the writer; later writes are refused, watches end. The
    /// database is released when the last clone of the store is dropped.
    pub async fn close(self) {
        match &self.inner.writer {
            Writer::Thread { queue, .. } => {
                let (done, closed) = oneshot::channel();
                if writer::send(queue, Message::Close(done)).is_ok() {
                    // An error means that the thread is gone already, which is what was asked for.
                    _ = closed.await;
                }
            }
            Writer::Inline(committer) => {
                committer.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        }
        self.inner.shared.feed.close();
    }
}

/// Why a store on an opened engine does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the writer thread does not start")]
    Thread(#[from] std::io::Error),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.feed.close();
        if let Writer::Thread { queue, thread, .. } = &mut self.writer {
            // Dropping the only sender ends the thread; its engine must be gone when we return.
            *queue = std::sync::mpsc::channel().0;
            if let Some(thread) = thread.take()
                && thread.thread().id() != std::thread::current().id()
            {
                // A panic was reported by its hook when it happened.
                _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
