//! Runs a plugin in this very command: as the operator who typed it, never as the daemon.
//!
//! Whoever may open the control socket may emit events; they may not make the daemon, which is
//! root, execute a file of their choice. So what is tried here has this command's rights, and the
//! file must be trusted by its user: the same checks, the same limits, the same judgement.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::super::Session;
use crate::api::decode::decode_value;
use crate::api::kinds::plugin::PluginSpec;
use crate::api::plugin::PluginRequest;
use crate::api::value::Value;
use crate::cli::failure::{Failure, INVALID, NO};
use crate::control::Control;
use crate::controllers::trial::{Trial, trial};
use crate::plugin::{Exit, HostError, ProcessSpawner, Spawner, adopt_orphans, keep_descriptors};

/// Directories of this command alone, removed at its end.
struct Directories {
    own: PathBuf,
    /// Made only for a program that runs as another user.
    passable: PathBuf,
}

impl Directories {
    fn new(session: &Session) -> std::io::Result<Self> {
        let name = format!("routerctl-{}", Control::new_id(session.clock.now()));
        let own = std::env::temp_dir().join(&name);
        let passable = std::env::temp_dir().join(format!("{name}-users"));
        // Not there before: nobody else holds it.
        DirBuilder::new().mode(0o700).create(&own)?;
        Ok(Self { own, passable })
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        // What stays is the temporary directory's to remove.
        _ = fs::remove_dir_all(&self.own);
        _ = fs::remove_dir_all(&self.passable);
    }
}

/// One run, to its end. A signal that ends the command ends the plugin first.
pub(super) async fn once(
    session: &mut Session,
    name: &str,
    plugin: &PluginSpec,
    request: &PluginRequest,
) -> Result<Trial, Failure> {
    let no = |what: &str, error: std::io::Error| Failure::new(NO, format!("{what}: {error}"));
    let directories = Directories::new(session)
        .map_err(|error| no("cannot make a directory for the plugin", error))?;
    let Directories { own, passable } = &directories;
    let spawner = ProcessSpawner::new(own.join("scratch"), passable.clone())
        .map_err(|error| no("cannot make a directory for the plugin", error))?;
    if let Err(error) = keep_descriptors() {
        session.notes.push(format!("note: the plugin may get open descriptors of yours: {error}"));
    }
    if let Err(error) = adopt_orphans() {
        session.notes.push(format!("note: what leaves the plugin's group is not ended: {error}"));
    }
    let cancel = CancellationToken::new();
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| no("cannot listen for signals", error))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| no("cannot listen for signals", error))?;
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| no("cannot listen for signals", error))?;
    let ran = {
        let run = trial(&spawner, name, plugin, request, cancel.clone());
        tokio::pin!(run);
        loop {
            tokio::select! {
                ran = &mut run => break ran,
                Some(()) = interrupt.recv() => cancel.cancel(),
                Some(()) = terminate.recv() => cancel.cancel(),
                // The terminal went away: the plugin goes with it.
                Some(()) = hangup.recv() => cancel.cancel(),
            }
        }
    };
    spawner.close().await;
    match ran {
        Ok(trial) if trial.exit == Exit::Cancelled => Err(Failure::new(NO, "interrupted")),
        Ok(trial) => Ok(trial),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &HostError) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let failure = Failure::new(NO, text);
    match error {
        HostError::Refused { .. } => {
            failure.hint("it is run as you: the file must belong to root or to you")
        }
        _ => failure,
    }
}

/// The spec of a Plugin, of an object as it is shown.
pub(super) fn decoded(name: &str, spec: Option<&Value>) -> Result<PluginSpec, Failure> {
    let null = Value::null();
    decode_value(spec.unwrap_or(&null), "spec").map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(INVALID, format!("Plugin {name:?}: {}", list.join("; ")))
    })
}

/// The Plugin as the daemon or the store has it in force.
pub(super) async fn in_force(session: &Session, name: &str) -> Result<PluginSpec, Failure> {
    let objects = session.reading().await?.objects("Plugin", Some(name)).await?;
    let spec = objects.first().and_then(|object| object.spec.as_ref());
    decoded(name, spec)
}
