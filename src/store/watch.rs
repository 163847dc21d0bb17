//! Watching for changes: a cursor and a wake-up that coalesces.
//!
//! A watcher that does not poll costs nothing and blocks nobody: it holds a revision, not a queue.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Revision;
use super::change_log::{ChangeLog, Group, Read};
use super::engine::EngineBatch;
use super::error::StoreError;
use super::key::{KeyError, RecordKey};
use super::record::Record;

/// Changes handed out at once, unless a single group holds more.
const BATCH_CHANGES: usize = 4096;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Created or replaced.
    Put,
    /// Deleted.
    Delete,
}

/// One row changed in one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The transaction that changed it.
    pub revision: Revision,
    /// The prefix of its [`Table`](super::Table).
    pub table: u8,
    /// Its key, encoded, without the table prefix.
    pub key: Vec<u8>,
    /// What happened.
    pub kind: ChangeKind,
}

impl Change {
    /// The typed key, if the change is to a row of `T`'s table.
    pub fn key_of<T: Record>(&self) -> Option<Result<T::Key, KeyError>> {
        (self.table == T::TABLE.prefix).then(|| T::Key::from_bytes(&self.key))
    }

    /// The typed key of a change that can only be to a row of `T`'s table.
    pub fn row_key<T: Record>(&self) -> Result<T::Key, StoreError> {
        let key = self.key_of::<T>().and_then(Result::ok);
        key.ok_or_else(|| StoreError::Undecodable {
            table: T::TABLE.name,
            why: "a change names a row by a key that does not decode".to_owned(),
        })
    }
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Every change after the cursor up to `upto`, in order.
    Batch {
        /// The new cursor.
        upto: Revision,
        /// The changes; a row that changed in several revisions appears once for each.
        keys: Vec<Change>,
    },
    /// The log no longer reaches back to the cursor: list again, then go on from `head`.
    Lagged {
        /// The new cursor. List after reading this, so that nothing falls between.
        head: Revision,
    },
    /// The store was closed, or it failed; nothing more will come.
    Closed,
}

/// The revisions as watchers see them. Outlives the engine, so that a watcher that lingers does not
/// keep the database locked.
pub(super) struct Feed {
    log: Mutex<ChangeLog>,
    /// The last revision of which rows may be read.
    readable: AtomicU64,
    /// The last revision that is applied, at most one group ahead of the disk.
    applied: watch::Sender<Head>,
    /// The last one that is durable.
    durable: watch::Sender<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    revision: Revision,
    closed: bool,
}

impl Feed {
    pub(super) fn new(log: ChangeLog) -> Arc<Self> {
        let head = Head { revision: log.head(), closed: false };
        let [applied, durable] = [(); 2].map(|()| watch::Sender::new(head));
        let readable = AtomicU64::new(log.head());
        Arc::new(Self { log: Mutex::new(log), readable, applied, durable })
    }

    /// From now on rows of the group that ends with `revision` may be read.
    pub(super) fn begin(&self, revision: Revision) {
        self.readable.store(revision, SeqCst);
    }

    /// The group that was begun left no trace.
    pub(super) fn refused(&self) {
        self.readable.store(self.applied(), SeqCst);
        self.durable.send_modify(|_| ());
    }

    pub(super) fn applied(&self) -> Revision {
        self.applied.borrow().revision
    }

    pub(super) fn durable(&self) -> Revision {
        self.durable.borrow().revision
    }

    /// Waits until everything that may have been read by now is durable; false if that will not be.
    pub(super) async fn settled(&self) -> bool {
        let seen = self.readable.load(SeqCst);
        // What was refused meanwhile is read no more.
        let is_durable = |head: &Head| head.revision >= seen.min(self.readable.load(SeqCst));
        let mut durable = self.durable.subscribe();
        let head = durable.wait_for(|head| head.closed || is_durable(head)).await;
        head.is_ok_and(|head| is_durable(&head))
    }

    pub(super) fn stage(&self, changes: Vec<Change>, batch: &mut EngineBatch) -> Group {
        self.log().stage(changes, batch)
    }

    /// Publishes a group that is applied: first the log, then the wake-up.
    pub(super) fn append(&self, group: Group) {
        let mut log = self.log();
        log.append(group);
        let revision = log.head();
        drop(log);
        self.applied.send_modify(|head| head.revision = revision);
    }

    /// What was appended is durable.
    pub(super) fn sync(&self) {
        let revision = self.applied();
        self.durable.send_modify(|head| head.revision = revision);
    }

    /// Ends the watches once they have read what there is.
    pub(super) fn close(&self) {
        for head in [&self.applied, &self.durable] {
            head.send_modify(|head| head.closed = true);
        }
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cursor over the revisions: the durable ones, or those that are applied.
pub struct Watch {
    feed: Arc<Feed>,
    head: watch::Receiver<Head>,
    cursor: Revision,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn of_durable(feed: Arc<Feed>, cursor: Revision) -> Self {
        let head = feed.durable.subscribe();
        Self { feed, head, cursor }
    }

    pub(super) fn of_applied(feed: Arc<Feed>, cursor: Revision) -> Self {
        let head = feed.applied.subscribe();
        Self { feed, head, cursor }
    }

    /// Everything up to here has been told.
    pub fn cursor(&self) -> Revision {
        self.cursor
    }

    /// Waits until there is something to tell. Cancel safe: a call that did not return told
    /// nothing.
    pub async fn next(&mut self) -> Changes {
        loop {
            // Marked as seen before the log is read: a commit in between wakes the next wait.
            let Head { revision, closed } = *self.head.borrow_and_update();
            let read = self.feed.log().read(self.cursor, revision, BATCH_CHANGES);
            match read {
                Read::Batch(upto, keys) => {
                    self.cursor = upto;
                    return Changes::Batch { upto, keys };
                }
                Read::Lagged(head) => {
                    self.cursor = head;
                    return Changes::Lagged { head };
                }
                Read::UpToDate if closed => return Changes::Closed,
                // The sender lives in the feed this watch holds: the wait cannot fail.
                Read::UpToDate => _ = self.head.changed().await,
            }
        }
    }
}
