//! ConfigOutputs: the effective config into a file, and a hook until it succeeds. For each output
//! one reconcile of its file, here, and one of its hook, in [`Hooks`]: a hook that is slow or fails
//! never keeps the file from being the newest.
//!
//! Level-triggered: the file is compared with what it should hold now, and the hook runs as long as
//! the content that it last succeeded for is not what the file holds. However many changes came
//! while a hook ran, there is one more run, for the newest. Once a minute each file is looked at: one
//! that somebody else changed or took away is written anew, and its hook runs again.

mod file;
mod hook;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Shared;
use super::publish::Published;
use super::world::Output;
use crate::api::Time;
use crate::api::condition::Condition;
use crate::api::kinds::config::OutputFormat;
use crate::api::object::ObjectKey;
use crate::plugin::HostError;
use crate::render::{Document, Effective, Origin};
use crate::runtime::{Action, Failure, Reconciler, TriggerSender};
use crate::store::tables::OutputRow;
use crate::store::{StoreError, WriteError};

pub use self::hook::Hooks;

/// Writes the files of outputs.
pub struct Outputs {
    shared: Arc<Shared>,
    written: Arc<Written>,
    reserved: Reserved,
    hooks: TriggerSender<ObjectKey>,
    conditions: TriggerSender<ObjectKey>,
    /// Failures in a row to write each file.
    failures: Mutex<HashMap<ObjectKey, u32>>,
}

/// Failures in a row after which a node no longer counts as unsettled because of an output: it is
/// tried again all the same.
const SETTLED_AFTER: u32 = 5;
/// Looks at the effective config for one file, while others come about as fast as the disk is.
const MOST_LOOKS: u32 = 3;
/// How long a file that could not be written so often waits; the full pass looks as well.
const RETRY_FILE: Duration = Duration::from_secs(30);

/// Places that are not for outputs.
#[derive(Debug, Clone, Default)]
pub struct Reserved {
    /// Files and directories that manifests are read from: an output there would be taken for one.
    pub watched: Vec<PathBuf>,
    /// The state directory: an output there could take the place of the store.
    pub state: PathBuf,
}

impl Reserved {
    /// Why nothing may be written to `path`, if so. Touches the disk.
    fn refuses(&self, path: &Path) -> Option<String> {
        if !self.state.as_os_str().is_empty() && file::is_inside(path, &self.state) {
            return Some(format!("{} is in the state directory", path.display()));
        }
        let root = self.watched.iter().find(|root| file::is_inside(path, root))?;
        Some(format!(
            "{} is in {}, where manifests are read from: the output would be taken for one",
            path.display(),
            root.display()
        ))
    }
}

/// What each file holds, as far as this process has written it or found it right.
#[derive(Default)]
pub struct Written(Mutex<HashMap<ObjectKey, OnDisk>>);

/// When nothing of this has changed, a file that was right is right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OnDisk {
    uid: String,
    generation: u64,
    /// Digest of the effective config.
    effective: String,
    /// Which version of the file that was.
    file: Option<String>,
    /// Digest of what is to be brought about with this content.
    digest: String,
    /// The effective revision that it is of.
    revision: u64,
}

impl OnDisk {
    fn is_of(&self, output: &Output) -> bool {
        self.uid == output.accepted.uid && self.generation == output.accepted.generation
    }
}

impl Written {
    fn of(&self, key: &ObjectKey) -> Option<OnDisk> {
        self.lock().get(key).cloned()
    }

    fn note(&self, key: &ObjectKey, now: OnDisk) {
        self.lock().insert(key.clone(), now);
    }

    fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, OnDisk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an output is not in force yet.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file was not written.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file must not be written; another manifest, or another path, is the way out.
    #[error("spec.path: {0}")]
    Refused(String),
    /// The content cannot be printed.
    #[error("cannot print the effective config")]
    Print(#[from] serde_json::Error),
    /// The hook could not be started.
    #[error("the hook cannot be run")]
    Host(#[from] HostError),
    /// The hook ran and did not succeed.
    #[error("the hook {0}")]
    Hook(String),
    /// The store did not take the outcome.
    #[error("cannot write the output's state")]
    Write(#[from] WriteError<StoreError>),
    /// The store could not be read.
    #[error("cannot read the output's state")]
    Read(#[from] StoreError),
    /// The thread that writes files is gone.
    #[error("the file's thread is gone")]
    Thread(#[from] tokio::task::JoinError),
}

impl Outputs {
    /// A writer of files that wakes `hooks`.
    pub fn new(
        shared: Arc<Shared>,
        written: Arc<Written>,
        reserved: Reserved,
        hooks: TriggerSender<ObjectKey>,
        conditions: TriggerSender<ObjectKey>,
    ) -> Self {
        Self { shared, written, reserved, hooks, conditions, failures: Mutex::default() }
    }

    /// Brings the file up to the present, and calls the hook if that is news to it.
    async fn apply(&self, output: &Output) -> Result<(), OutputError> {
        let key = output.accepted.key();
        let file = (self.shared.identify)(&output.spec.path);
        let before = self.written.of(key).filter(|on_disk| on_disk.is_of(output));
        let mut looks = 0;
        let (published, view) = loop {
            let (published, view) = {
                let mut effective = self.shared.effective();
                effective.expire(self.shared.clock.now());
                let published = self.shared.number(&effective);
                let is_there = before.as_ref().is_some_and(|on_disk| {
                    on_disk.file == file && on_disk.effective == published.digest
                });
                if file.is_some() && is_there {
                    return Ok(());
                }
                (published, effective.view())
            };
            // Who reads the file acts on it: it holds nothing that a power cut could take back.
            self.shared.store.settled().await?;
            looks += 1;
            if looks == MOST_LOOKS || self.is_current(&published) {
                break (published, view);
            }
        };
        self.may_write(output).await?;
        let content = print(output, view)?;
        let digest = to_apply(output, &content);
        let row = self.shared.store.get::<OutputRow>(&key.name)?;
        let state = row.filter(|row| row.uid == output.accepted.uid);
        let mut is_applied =
            state.as_ref().is_some_and(|row| row.failure.is_none() && row.applied_digest == digest);
        if let Some(row) = state.as_ref().filter(|_| is_applied)
            && !self
                .on_file(output, &content, |path, content| Ok(file::holds(path, content)))
                .await?
        {
            // Somebody else changed it, or it held something newer meanwhile, and whoever reads it
            // may have read that. First on record: a crash between the file and the hook must not
            // leave the hook out.
            if before.is_none_or(|on_disk| on_disk.digest == digest) {
                tracing::warn!(output = %key.name, path = %output.spec.path, "the file is not as it was written; it is written anew");
            }
            let void = OutputRow { applied_digest: String::new(), ..row.clone() };
            self.shared.store.write(move |txn| txn.put(&void)).await?;
            is_applied = false;
        }
        self.on_file(output, &content, file::put).await?;
        let on_disk = OnDisk {
            uid: output.accepted.uid.clone(),
            generation: output.accepted.generation,
            effective: published.digest.clone(),
            file: (self.shared.identify)(&output.spec.path),
            digest,
            revision: published.revision,
        };
        self.written.note(key, on_disk.clone());
        fail::fail_point!("output::after_file");
        if output.spec.on_change.is_some() && !is_applied {
            self.hooks.related(key.clone());
            return Ok(());
        }
        // What it does not select has no part in it, but readers look for the newest revision.
        if !is_applied || state.is_none_or(|row| row.applied_revision != published.revision) {
            note_applied(&self.shared, output, &on_disk).await?;
        }
        Ok(())
    }

    /// Whether these are still the bytes: something may have ended while the disk was waited for.
    fn is_current(&self, published: &Published) -> bool {
        let mut effective = self.shared.effective();
        effective.expire(self.shared.clock.now());
        effective.digest() == published.digest
    }

    /// Counts failures in a row.
    fn count(&self, key: &ObjectKey, failed: bool) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failures.remove(key);
            return 0;
        }
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Whether the file is this output's to write.
    async fn may_write(&self, output: &Output) -> Result<(), OutputError> {
        let (own, path) = (output.accepted.key().clone(), PathBuf::from(&output.spec.path));
        let others: Vec<(ObjectKey, PathBuf)> = {
            let world = self.shared.world();
            let before = world.objects.outputs().filter(|(key, _)| **key < own);
            before.map(|(key, other)| (key.clone(), PathBuf::from(&other.spec.path))).collect()
        };
        let reserved = self.reserved.clone();
        let refused = tokio::task::spawn_blocking(move || {
            let own = file::place(&path);
            if let Some((first, _)) = others.iter().find(|(_, other)| file::place(other) == own) {
                return Some(format!("{first} writes {} already", path.display()));
            }
            reserved.refuses(&path)
        });
        refused.await?.map_or(Ok(()), |why| Err(OutputError::Refused(why)))
    }

    /// Does something with the file on a thread that may wait for the disk.
    async fn on_file(
        &self,
        output: &Output,
        content: &str,
        act: fn(&str, &[u8]) -> std::io::Result<bool>,
    ) -> Result<bool, OutputError> {
        let (path, content) = (output.spec.path.clone(), content.to_owned());
        let acted = tokio::task::spawn_blocking(move || act(&path, content.as_bytes())).await?;
        acted.map_err(|source| OutputError::File { path: output.spec.path.clone(), source })
    }
}

/// Puts on record that all is done for what the file holds.
async fn note_applied(
    shared: &Shared,
    output: &Output,
    on_disk: &OnDisk,
) -> Result<(), OutputError> {
    let applied = OutputRow {
        name: output.accepted.key().name.clone(),
        uid: on_disk.uid.clone(),
        applied_digest: on_disk.digest.clone(),
        applied_revision: on_disk.revision,
        applied_at: Some(shared.clock.now()),
        failure: None,
        attempts: 0,
    };
    shared.store.write(move |txn| txn.put(&applied)).await?;
    Ok(())
}

/// Puts a failure on record. Returns how many there were in a row.
async fn note_failure(
    shared: &Shared,
    output: &Output,
    error: &OutputError,
) -> Result<u32, OutputError> {
    let name = output.accepted.key().name.clone();
    let (uid, message) = (output.accepted.uid.clone(), chain(error));
    let counts = !matches!(error, OutputError::Refused(_));
    let noted = shared.store.write(move |txn| {
        let old = txn.get::<OutputRow>(&name)?.filter(|row| row.uid == uid);
        let mut row = old.unwrap_or_else(|| OutputRow::new(&name, &uid));
        // What is refused is tried again only when the manifests are others.
        row.attempts = if counts { row.attempts.saturating_add(1) } else { 0 };
        row.failure = Some(message);
        txn.put(&row)?;
        Ok::<_, StoreError>(row.attempts)
    });
    Ok(noted.await?.value)
}

/// Digest of what has to be brought about: this content, at this path, told to this hook.
fn to_apply(output: &Output, content: &str) -> String {
    let hook = output.spec.on_change.as_ref().map(|hook| (&hook.executable, &hook.args));
    let told = serde_json::json!({"path": &output.spec.path, "hook": hook}).to_string();
    hex::encode(Sha256::new().chain_update(told).chain_update(content).finalize())
}

/// What the file should hold.
fn print(output: &Output, mut effective: Effective) -> Result<String, serde_json::Error> {
    let select = &output.spec.select;
    if !select.is_empty() {
        effective.resources.retain(|origin: &Origin| {
            let key = origin.key();
            select.iter().any(|s| s.api_version == key.api_version && s.kind == key.kind)
        });
    }
    match output.spec.format {
        OutputFormat::Yaml => Ok(Document(&effective).yaml()),
        OutputFormat::Json => Document(&effective).json(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Reconciler for Outputs {
    type Key = ObjectKey;
    type Error = OutputError;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Action, OutputError> {
        let Some(output) = self.shared.world().objects.output(key).cloned() else {
            // The file stays as it is: whoever reads it decides what an end means.
            self.written.forget(key);
            let name = key.name.clone();
            let forgotten = self.shared.store.write(move |txn| txn.delete::<OutputRow>(&name));
            forgotten.await?;
            return Ok(Action::AwaitChange);
        };
        // Nothing was published yet: what would be written is not what this node stands for.
        if self.shared.revisions().borrow().digest.is_empty() {
            return Ok(Action::RequeueAfter(Duration::from_millis(50)));
        }
        let applied = self.apply(&output).await;
        if let Err(error) = &applied {
            self.written.forget(key);
            note_failure(&self.shared, &output, error).await?;
        }
        self.conditions.related(key.clone());
        let failures = self.count(key, applied.is_err());
        match applied {
            // A change of the manifests is the way out, and it is heard of.
            Ok(()) | Err(OutputError::Refused(_)) => Ok(Action::AwaitChange),
            Err(_) if failures >= SETTLED_AFTER => Ok(Action::RequeueAfter(RETRY_FILE)),
            Err(error) => Err(error),
        }
    }

    fn classify(&self, _: &OutputError) -> Failure {
        Failure::Retry
    }
}

/// What is true of an output, from its stored state.
pub fn applied(row: Option<&OutputRow>, now: Time) -> Condition {
    match row {
        None => Condition::new("Applied", false, "Pending", "not written yet", now),
        Some(row) => match &row.failure {
            None if row.applied_digest.is_empty() => {
                Condition::new("Applied", false, "Pending", "being written anew", now)
            }
            None => {
                let message = format!("applied at effective revision {}", row.applied_revision);
                Condition::new("Applied", true, "Applied", message, now)
            }
            Some(failure) => {
                let message = match row.attempts {
                    0 => failure.clone(),
                    attempts => format!("{failure} ({attempts} attempts so far)"),
                };
                Condition::new("Applied", false, "Failing", message, now)
            }
        },
    }
}

#[cfg(test)]
mod tests;
