//! A host that cannot run a plugin: how long it is left alone, and what the Plugin's condition says.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Readiness, Runner, Version};
use crate::api::object::ObjectKey;
use crate::plugin::{HostError, TrustWarning};
use crate::runtime::Action;

/// Host failures in a row, and when to try again.
pub(super) struct HostTrouble {
    failures: u16,
    not_before: Instant,
    /// The plugin's version that failed: another one is tried at once.
    version: Version,
    /// It is only a pause between two processes.
    resting: bool,
}

impl Runner {
    /// How long the host's trouble with this plugin still holds it back.
    pub(super) fn held_back(&self, plugin: &Arc<str>, version: &Version) -> Option<Action> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let held = trouble.get(plugin).filter(|t| t.version == *version)?;
        let wait = held.not_before.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(hold(wait, held.resting))
    }

    pub(super) fn host_failed(
        &self,
        plugin: &Arc<str>,
        version: Version,
        error: &HostError,
    ) -> Action {
        if !matches!(error, HostError::Resting { .. }) {
            self.shared.counters.host_failed(plugin);
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = trouble
            .get(plugin)
            .filter(|t| t.version == version)
            .map_or(1, |t| t.failures.saturating_add(1));
        // A warm process that is to rest knows for how long.
        let (wait, resting) = if let HostError::Resting { pause, .. } = error {
            (*pause, true)
        } else {
            let mut jitter = self.jitter.lock().unwrap_or_else(PoisonError::into_inner);
            (self.backoff.delay(failures, &mut jitter), false)
        };
        let not_before = Instant::now() + wait;
        let new = HostTrouble { failures, not_before, version: version.clone(), resting };
        trouble.insert(Arc::clone(plugin), new);
        drop(trouble);
        let message = chain(error);
        if failures == 1 {
            tracing::warn!(%plugin, error = %message, "the plugin cannot be run; its events wait");
        }
        let reason = error.reason();
        self.set_readiness(plugin, Readiness { version, ready: false, reason, message });
        hold(wait, resting)
    }

    pub(super) fn host_worked(
        &self,
        plugin: &Arc<str>,
        version: Version,
        answered: bool,
        warnings: &[TrustWarning],
    ) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
        // A process that fails each time it is started again is well when it has answered.
        let resting = |readiness: Readiness| readiness.reason == "Restarting";
        if !answered && self.shared.readiness(plugin).is_some_and(resting) {
            return;
        }
        let mut message = "the last run could be started".to_owned();
        for warning in warnings {
            message.push_str("; warning: ");
            message.push_str(&warning.to_string());
        }
        let reason = "Started";
        self.set_readiness(plugin, Readiness { version, ready: true, reason, message });
    }

    fn set_readiness(&self, plugin: &Arc<str>, readiness: Readiness) {
        if self.shared.set_readiness(plugin, readiness) {
            let api_version = crate::api::kinds::plugin::API_VERSION;
            self.conditions.related(ObjectKey::new(api_version, "Plugin", &**plugin));
        }
    }
}

/// A node that waits for a host which cannot run the plugin is settled; one whose plugin only
/// pauses is not.
fn hold(wait: Duration, resting: bool) -> Action {
    if resting { Action::HoldFor(wait) } else { Action::RequeueAfter(wait) }
}

/// An error and what it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
