//! The hooks of outputs: each is run until it has succeeded for what its file holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{OnDisk, OutputError, SETTLED_AFTER, Written, note_applied, note_failure};
use crate::api::kinds::config::OnChange;
use crate::api::object::ObjectKey;
use crate::controllers::Shared;
use crate::controllers::request::PATH;
use crate::controllers::world::Output;
use crate::plugin::{Confinement, DEFAULT_GRACE, Exit, Limits, Outcome, RunSpec, Spawner};
use crate::runtime::{Action, Backoff, Failure, Jitter, Reconciler, TriggerSender};
use crate::store::tables::OutputRow;

/// Runs hooks.
pub struct Hooks {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
    written: Arc<Written>,
    conditions: TriggerSender<ObjectKey>,
    cancel: CancellationToken,
    backoff: Backoff,
    jitter: Mutex<Jitter>,
    /// Hooks that have failed often: for what content, and when they may be run for it again.
    resting: Mutex<HashMap<ObjectKey, (OnDisk, Instant)>>,
}

impl Hooks {
    /// A runner of hooks on `spawner`; `cancel` stops them when the daemon stops.
    pub fn new(
        shared: Arc<Shared>,
        spawner: Arc<dyn Spawner>,
        written: Arc<Written>,
        conditions: TriggerSender<ObjectKey>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            shared,
            spawner,
            written,
            conditions,
            cancel,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            jitter: Mutex::new(Jitter::seeded(0)),
            resting: Mutex::default(),
        }
    }

    async fn run(
        &self,
        output: &Output,
        hook: &OnChange,
        on_disk: &OnDisk,
    ) -> Result<(), OutputError> {
        let name = &output.accepted.key().name;
        let variable = |key: &str, value: String| (key.to_owned(), value);
        let spec = RunSpec {
            executable: hook.executable.clone().into(),
            args: hook.args.clone(),
            env: vec![
                variable("PATH", PATH.to_owned()),
                variable("ROUTERD_OUTPUT_NAME", name.clone()),
                variable("ROUTERD_OUTPUT_PATH", output.spec.path.clone()),
                variable("ROUTERD_EFFECTIVE_REVISION", on_disk.revision.to_string()),
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

    /// A hook that has failed often enough waits without holding up who waits for the node.
    fn rest(&self, key: &ObjectKey, on_disk: OnDisk, failures: u32) -> Action {
        let failures = u16::try_from(failures).unwrap_or(u16::MAX);
        let pause = {
            let mut jitter = self.jitter.lock().unwrap_or_else(PoisonError::into_inner);
            self.backoff.delay(failures, &mut jitter)
        };
        self.resting().insert(key.clone(), (on_disk, Instant::now() + pause));
        Action::RequeueAfter(pause)
    }

    /// How long a hook that has failed for this content rests yet, whoever calls it.
    fn rests(&self, key: &ObjectKey, on_disk: &OnDisk) -> Option<Duration> {
        let resting = self.resting();
        let (tried, until) = resting.get(key)?;
        let same = tried.digest == on_disk.digest && tried.generation == on_disk.generation;
        let left = until.saturating_duration_since(Instant::now());
        (same && !left.is_zero()).then_some(left)
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<ObjectKey, (OnDisk, Instant)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Reconciler for Hooks {
    type Key = ObjectKey;
    type Error = OutputError;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Action, OutputError> {
        let output = self.shared.world().objects.output(key).cloned();
        let Some((output, hook)) = output.and_then(|o| o.spec.on_change.clone().map(|h| (o, h)))
        else {
            self.resting().remove(key);
            return Ok(Action::AwaitChange);
        };
        // Until the file is there the hook has nothing to hear of; who writes it calls again.
        let Some(on_disk) = self.written.of(key).filter(|on_disk| on_disk.is_of(&output)) else {
            return Ok(Action::AwaitChange);
        };
        let row = self.shared.store.get::<OutputRow>(&key.name)?;
        let row = row.filter(|row| row.uid == on_disk.uid);
        if row.is_some_and(|row| row.failure.is_none() && row.applied_digest == on_disk.digest) {
            return Ok(Action::AwaitChange);
        }
        if let Some(left) = self.rests(key, &on_disk) {
            return Ok(Action::RequeueAfter(left));
        }
        let ran = self.run(&output, &hook, &on_disk).await;
        if ran.is_err() && self.cancel.is_cancelled() {
            // It was not tried: it runs again at the next start.
            return Ok(Action::AwaitChange);
        }
        // One that was edited or deleted meanwhile has nothing to do with this run.
        let current = self.shared.world().objects.output(key).cloned();
        if !current.is_some_and(|current| on_disk.is_of(&current)) {
            return Ok(Action::HoldFor(Duration::ZERO));
        }
        let next = match ran {
            Ok(()) => {
                self.resting().remove(key);
                // A file that could not be written meanwhile has its own failure on record.
                let now = self.written.of(key);
                if now.is_some() {
                    note_applied(&self.shared, &output, &on_disk).await?;
                }
                let overtaken = now.is_some_and(|now| now.digest != on_disk.digest);
                Ok(if overtaken { Action::HoldFor(Duration::ZERO) } else { Action::AwaitChange })
            }
            Err(error) => {
                let failures = note_failure(&self.shared, &output, &error).await?;
                if failures < SETTLED_AFTER {
                    Err(error)
                } else {
                    tracing::warn!(output = %key.name, %error, failures, "the hook fails");
                    Ok(self.rest(key, on_disk, failures))
                }
            }
        };
        self.conditions.related(key.clone());
        next
    }

    fn classify(&self, _: &OutputError) -> Failure {
        Failure::Retry
    }
}
