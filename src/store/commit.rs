//! The commit path: runs a group of transactions, applies it as one batch, syncs, acknowledges.
//!
//! Owned by one thread (or one lock, in simulation), so it needs no synchronisation of its own:
//! what it publishes goes through `Shared`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fail::fail_point;

use super::Revision;
use super::change_log::Group as ChangeGroup;
use super::engine::{EngineBatch, EngineError};
use super::error::StoreError;
use super::handle::Shared;
use super::health::{HealthNote, Writes};
use super::meta::{Meta, RowDelta};
use super::reads::Reads;
use super::record::FIRST_USER_PREFIX;
use super::scrub::{Scrub, Slice};
use super::txn::{Overlay, Txn};
use super::watch::{Change, ChangeKind};

/// What a durable transaction returned, and when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<R> {
    /// What the closure returned.
    pub value: R,
    /// The transaction's revision; if it changed nothing, the one whose state it saw.
    pub revision: Revision,
}

/// A queued transaction whose types are hidden.
pub(super) trait Job: Send {
    /// Runs the closure; true if its writes are to be kept.
    fn run(&mut self, txn: &mut Txn<'_>) -> bool;
    /// The closure's writes cannot be kept: whatever it returned, this is the answer.
    fn refuse(&mut self, why: JobError);
    /// Hands the answer to the caller. Called once, when the effects are durable or known not to
    /// be.
    fn finish(self: Box<Self>, revision: Revision);
}

/// Why a job failed outside its closure.
#[derive(Debug, Clone)]
pub(super) enum JobError {
    Panicked(String),
    Store(StoreError),
}

/// Transactions that ran against the committed state and each other, not yet applied.
#[derive(Default)]
struct Group {
    overlay: Overlay,
    changes: Vec<Change>,
    rows: RowDelta,
    /// The part of `rows` that the running scrub has already passed.
    rows_scrubbed: RowDelta,
    bytes: usize,
    transactions: u64,
    jobs: Vec<(Box<dyn Job>, Revision)>,
}

/// The single writer's state.
pub(super) struct Committer {
    shared: Arc<Shared>,
    meta: Meta,
    scrub: Option<Scrub>,
    /// Why no more writes are taken.
    failed: Option<String>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, meta: Meta, scrub: Option<Scrub>) -> Self {
        Self { shared, meta, scrub, failed: None }
    }

    /// Runs `first` and what `next` still gives, up to the limits of one group, then makes the
    /// group durable and answers every job.
    pub(super) fn commit(
        &mut self,
        first: Box<dyn Job>,
        mut next: impl FnMut() -> Option<Box<dyn Job>>,
    ) {
        let limits = self.shared.limits;
        let mut group = Group::default();
        let engine = Arc::clone(&self.shared.engine);
        let reads = Reads::new(&*engine);
        let mut job = Some(first);
        while let Some(taken) = job {
            self.run(taken, &mut group, &reads);
            let full =
                group.jobs.len() >= limits.group_requests || group.bytes >= limits.group_bytes;
            job = if full { None } else { next() };
        }
        drop(reads);
        self.make_durable(group);
    }

    fn run(&self, mut job: Box<dyn Job>, group: &mut Group, reads: &Reads<'_>) {
        if let Some(why) = &self.failed {
            job.refuse(JobError::Store(StoreError::Failed(why.clone())));
            return job.finish(self.meta.revision);
        }
        let revision = self.meta.revision + group.transactions + 1;
        let mut txn = Txn::new(reads, &group.overlay, revision);
        let keep = match catch_unwind(AssertUnwindSafe(|| job.run(&mut txn))) {
            Ok(keep) => keep,
            Err(panic) => {
                job.refuse(JobError::Panicked(panic_message(&*panic)));
                false
            }
        };
        let writes = if keep { txn.into_writes() } else { Overlay::new() };
        let seen = match self.merge(writes, group, reads, revision) {
            Ok(changed) => revision - u64::from(!changed),
            Err(error) => {
                job.refuse(JobError::Store(error.into()));
                revision - 1
            }
        };
        group.jobs.push((job, seen));
    }

    /// Takes what a transaction really changes into the group; false if that is nothing.
    fn merge(
        &self,
        mut writes: Overlay,
        group: &mut Group,
        reads: &Reads<'_>,
        revision: Revision,
    ) -> Result<bool, EngineError> {
        let mut rows = RowDelta::default();
        let mut rows_scrubbed = RowDelta::default();
        let mut failed = None;
        writes.retain(|key, value| {
            let old = match group.overlay.get(key) {
                Some(pending) => Ok(pending.clone()),
                None => reads.get(key),
            };
            match old {
                Ok(old) if old == *value => false,
                Ok(old) => {
                    rows.replace(key, old.as_deref(), value.as_deref());
                    if self.scrub.as_ref().is_some_and(|scrub| scrub.has_passed(key)) {
                        rows_scrubbed.replace(key, old.as_deref(), value.as_deref());
                    }
                    true
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    false
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let before = group.changes.len();
        group.changes.extend(writes.iter().filter(|(key, _)| key[0] >= FIRST_USER_PREFIX).map(
            |(key, value)| Change {
                revision,
                table: key[0],
                key: key[1..].to_vec(),
                kind: if value.is_some() { ChangeKind::Put } else { ChangeKind::Delete },
            },
        ));
        if group.changes.len() == before {
            return Ok(false);
        }
        group.rows.add(rows);
        group.rows_scrubbed.add(rows_scrubbed);
        group.transactions += 1;
        group.bytes += writes.iter().map(row_bytes).sum::<usize>();
        group.overlay.extend(writes);
        Ok(true)
    }

    fn make_durable(&mut self, mut group: Group) {
        let jobs = std::mem::take(&mut group.jobs);
        let outcome = if group.transactions == 0 { Ok(()) } else { self.apply_and_publish(group) };
        fail_point!("store::before_ack");
        for (mut job, revision) in jobs {
            if let Err(error) = &outcome {
                job.refuse(JobError::Store(error.clone()));
            }
            job.finish(revision);
        }
        // Nobody's answer has to wait for this look.
        for defect in self.shared.engine.defects() {
            self.shared.note(HealthNote::Defect(defect));
        }
    }

    fn apply_and_publish(&mut self, group: Group) -> Result<(), StoreError> {
        let meta = self.meta.after(group.transactions, group.rows);
        let mut batch = EngineBatch { rows: group.overlay.into_iter().collect() };
        let changes = self.shared.feed.stage(group.changes, &mut batch);
        let (key, value) = meta.to_row();
        batch.put(key, value);
        self.shared.feed.begin(meta.revision);
        self.apply(batch, changes)?;
        fail_point!("store::after_sync");
        if let Some(scrub) = &mut self.scrub {
            scrub.adjust(group.rows_scrubbed);
        }
        self.meta = meta;
        self.shared.engine.note_durable(self.meta.revision);
        self.shared.feed.sync();
        Ok(())
    }

    fn apply(&mut self, batch: EngineBatch, changes: ChangeGroup) -> Result<(), StoreError> {
        fail_point!("store::before_apply");
        let applied = self.shared.engine.apply(batch);
        let done = applied.and_then(|()| {
            // Who only gets ready does so while the disk is busy.
            self.shared.feed.append(changes);
            fail_point!("store::before_sync");
            match self.shared.engine.sync() {
                // Applied but not synced: no longer a refusal that can be tried again.
                Err(EngineError::DiskFull { .. }) => Err(EngineError::Io {
                    operation: "sync",
                    message: "no space left on device".to_owned(),
                }),
                other => other,
            }
        });
        match done {
            Ok(()) => {
                self.shared.set_writes(Writes::Ok);
                Ok(())
            }
            Err(EngineError::DiskFull { available, reserve }) => {
                self.shared.feed.refused();
                self.shared.set_writes(Writes::DiskFull { available, reserve });
                Err(StoreError::DiskFull { available, reserve })
            }
            Err(error) => {
                let why = error.to_string();
                tracing::error!(error = %why, "the store failed and takes no more writes");
                self.shared.set_writes(Writes::Failed(why.clone()));
                self.shared.feed.close();
                self.failed = Some(why.clone());
                Err(StoreError::Failed(why))
            }
        }
    }

    /// Checks one slice of the store; false when there is nothing left to check.
    pub(super) fn scrub_slice(&mut self) -> bool {
        let Some(scrub) = &mut self.scrub else { return false };
        let slice = scrub.slice(&*self.shared.engine, &self.meta);
        let rows = scrub.checked();
        let done = !matches!(slice, Slice::More);
        self.shared.update_health(|health| {
            health.scrubbed_rows = rows;
            health.scrub_done = done;
        });
        if let Slice::Damaged(why) = slice {
            tracing::error!(%why, "the scrub found damage");
            self.shared.engine.note_damage(&why);
            self.shared.note(HealthNote::Damaged(why));
        }
        if done {
            self.scrub = None;
        }
        !done
    }
}

impl Drop for Committer {
    /// A panic outside of a transaction, which is a bug, ends the writer. Nobody may wait for what it
    /// will not do.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.set_writes(Writes::Failed("the writer panicked".to_owned()));
            self.shared.feed.close();
        }
    }
}

fn row_bytes((key, value): (&Vec<u8>, &Option<Vec<u8>>)) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

/// The words of a panic, if it had any.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
