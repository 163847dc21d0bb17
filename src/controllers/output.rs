//! ConfigOutputs: the effective config into a file, and a hook until it succeeds. One reconcile
//! for each output.
//!
//! Level-triggered: the file is compared with what it should hold now, and the hook runs as long as
//! the content that it last succeeded for is not the present one. However many changes came while
//! a hook ran, there is one more run, for the newest. Once a minute each file is looked at: one that
//! somebody else changed or took away is written anew, and its hook runs again.

mod file;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::publish::Published;
use super::request::PATH;
use super::world::Output;
use crate::api::Time;
use crate::api::kinds::config::{OnChange, OutputFormat};
use crate::api::object::ObjectKey;
use crate::plugin::{
    Confinement, DEFAULT_GRACE, Exit, HostError, Limits, Outcome, RunSpec, Spawner,
};
use crate::render::{Document, Effective, Origin};
use crate::runtime::{Action, Failure, Reconciler, TriggerSender};
use crate::store::tables::OutputRow;
use crate::store::{StoreError, WriteError};

/// Writes outputs.
pub struct Outputs {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
    conditions: TriggerSender<ObjectKey>,
    cancel: CancellationToken,
    /// What each file was when it was last found right.
    checked: Mutex<HashMap<ObjectKey, Checked>>,
}

/// When nothing of this has changed, a file that was right is right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    uid: String,
    generation: u64,
    /// Digest of the effective config.
    effective: String,
    /// Which version of the file that was.
    file: Option<String>,
}

impl Checked {
    fn of(output: &Output, published: &Published, file: Option<String>) -> Self {
        Self {
            uid: output.accepted.uid.clone(),
            generation: output.accepted.generation,
            effective: published.digest.clone(),
            file,
        }
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
    /// A writer of outputs that runs hooks on `spawner`.
    pub fn new(
        shared: Arc<Shared>,
        spawner: Arc<dyn Spawner>,
        conditions: TriggerSender<ObjectKey>,
        cancel: CancellationToken,
    ) -> Self {
        Self { shared, spawner, conditions, cancel, checked: Mutex::default() }
    }

    /// Brings the file, then the hook, up to the present.
    async fn apply(&self, output: &Output) -> Result<(), OutputError> {
        let file = (self.shared.identify)(&output.spec.path);
        let (published, view) = {
            let mut effective = self.shared.effective();
            effective.expire(self.shared.clock.now());
            let published = self.shared.number(&effective);
            if self.is_checked(output, &published, file) {
                return Ok(());
            }
            (published, effective.view())
        };
        let content = print(output, view)?;
        let digest = to_apply(output, &content);
        let name = &output.accepted.resource.key.name;
        let row = self.shared.store.get::<OutputRow>(name)?;
        let state = row.filter(|row| row.uid == output.accepted.uid);
        let mut is_applied =
            state.as_ref().is_some_and(|row| row.failure.is_none() && row.applied_digest == digest);
        if let Some(row) = state.filter(|_| is_applied)
            && !self
                .on_file(output, &content, |path, content| Ok(file::holds(path, content)))
                .await?
        {
            // Somebody else changed it, and whoever reads it may have read that. First on record:
            // a crash between the file and the hook must not leave the hook out.
            tracing::warn!(output = %name, path = %output.spec.path, "the file is not as it was written; it is written anew");
            let void = OutputRow { applied_digest: String::new(), ..row };
            self.shared.store.write(move |txn| txn.put(&void)).await?;
            is_applied = false;
        }
        self.on_file(output, &content, file::put).await?;
        let file = (self.shared.identify)(&output.spec.path);
        fail::fail_point!("output::after_file");
        if is_applied {
            self.note_checked(output, &published, file);
            return Ok(());
        }
        if let Some(hook) = &output.spec.on_change {
            self.run_hook(output, hook, &published).await?;
        }
        let applied = OutputRow {
            name: name.clone(),
            uid: output.accepted.uid.clone(),
            applied_digest: digest,
            applied_revision: published.revision,
            applied_at: Some(self.shared.clock.now()),
            failure: None,
            attempts: 0,
        };
        self.shared.store.write(move |txn| txn.put(&applied)).await?;
        self.note_checked(output, &published, file);
        Ok(())
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

    fn is_checked(&self, output: &Output, published: &Published, file: Option<String>) -> bool {
        let now = Checked::of(output, published, file);
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        now.file.is_some() && checked.get(output.accepted.key()) == Some(&now)
    }

    /// `file` is the version that was written, or found right: the hook may take long, and what
    /// somebody does meanwhile must be seen.
    fn note_checked(&self, output: &Output, published: &Published, file: Option<String>) {
        let now = Checked::of(output, published, file);
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.insert(output.accepted.key().clone(), now);
    }

    async fn run_hook(
        &self,
        output: &Output,
        hook: &OnChange,
        published: &Published,
    ) -> Result<(), OutputError> {
        let name = &output.accepted.resource.key.name;
        let variable = |key: &str, value: String| (key.to_owned(), value);
        let spec = RunSpec {
            executable: hook.executable.clone().into(),
            args: hook.args.clone(),
            env: vec![
                variable("PATH", PATH.to_owned()),
                variable("ROUTERD_OUTPUT_NAME", name.clone()),
                variable("ROUTERD_OUTPUT_PATH", output.spec.path.clone()),
                variable("ROUTERD_EFFECTIVE_REVISION", published.revision.to_string()),
            ],
            stdin: Bytes::new(),
            timeout: hook.timeout.get(),
            grace: DEFAULT_GRACE,
            limits: Limits::default(),
            confinement: Confinement::Hook,
            sha256: None,
            label: format!("ConfigOutput/{name}"),
            warm: None,
        };
        let outcome = self.spawner.run(spec, self.cancel.clone()).await?;
        match outcome.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(OutputError::Hook(failure(exit, hook, &outcome))),
        }
    }

    async fn note_failure(&self, output: &Output, error: &OutputError) -> Result<(), OutputError> {
        let name = output.accepted.resource.key.name.clone();
        let (uid, message) = (output.accepted.uid.clone(), chain(error));
        let noted = self.shared.store.write(move |txn| {
            let old = txn.get::<OutputRow>(&name)?.filter(|row| row.uid == uid);
            let mut row = old.unwrap_or_else(|| OutputRow::new(&name, &uid));
            row.failure = Some(message);
            row.attempts = row.attempts.saturating_add(1);
            txn.put(&row)
        });
        noted.await?;
        Ok(())
    }
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

fn failure(exit: Exit, hook: &OnChange, outcome: &Outcome) -> String {
    let how = match exit {
        Exit::Code(code) => format!("{} exited with status {code}", hook.executable),
        Exit::Signal(signal) => format!("{} was killed by signal {signal}", hook.executable),
        Exit::TimedOut => format!("{} did not end within {}", hook.executable, hook.timeout),
        Exit::OutputTooLarge => format!("{} wrote too much", hook.executable),
        Exit::Cancelled => format!("{} was stopped with the daemon", hook.executable),
    };
    let stderr = String::from_utf8_lossy(&outcome.stderr.bytes);
    match stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(last) => format!("{how}: {}", last.chars().take(200).collect::<String>()),
        None => how,
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
            self.checked.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
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
        if let Err(error) = &applied
            && !self.cancel.is_cancelled()
        {
            self.note_failure(&output, error).await?;
        }
        self.conditions.related(key.clone());
        applied.map(|()| Action::AwaitChange)
    }

    fn classify(&self, _: &OutputError) -> Failure {
        Failure::Retry
    }
}

/// What is true of an output, from its stored state.
pub fn applied(row: Option<&OutputRow>, now: Time) -> crate::api::condition::Condition {
    use crate::api::condition::Condition;
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
                let message = format!("{failure} ({} attempts so far)", row.attempts);
                Condition::new("Applied", false, "Failing", message, now)
            }
        },
    }
}
