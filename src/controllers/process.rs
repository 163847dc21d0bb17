//! Between the plugin and the host: what a run asks of the process, and what its end is worth.
//!
//! The same for every run, whoever asked for it: the runner, or an operator who tries a plugin.

use bytes::Bytes;

use super::request::environment;
use super::verdict::{Fault, Verdict, judge};
use crate::api::Time;
use crate::api::kinds::plugin::{PluginSpec, Protocol};
use crate::plugin::{Confinement, DEFAULT_GRACE, Digest, Exit, Limits, Outcome, RunSpec};

/// What the host is asked, but for a warm process.
pub fn run_spec(name: &str, plugin: &PluginSpec, run_key: &str, stdin: Bytes) -> RunSpec {
    RunSpec {
        executable: plugin.executable.clone().into(),
        args: plugin.args.clone(),
        env: environment(name, plugin, run_key),
        stdin,
        timeout: plugin.timeout.get(),
        grace: DEFAULT_GRACE,
        limits: Limits::default(),
        confinement: Confinement::of_plugin(plugin.sandbox.as_ref()),
        sha256: plugin.sha256.as_ref().and_then(|pin| {
            let mut digest = [0; 32];
            hex::decode_to_slice(pin, &mut digest).ok().map(|()| Digest(digest))
        }),
        label: format!("{name}/{run_key}"),
        warm: None,
    }
}

/// What came of a run about these events, which lasted from one moment to the other.
pub fn verdict(
    outcome: &Outcome,
    plugin: &PluginSpec,
    events: &[&str],
    (started, ended): (Time, Time),
) -> Result<Verdict, Fault> {
    match exit_fault(outcome, plugin) {
        Some(fault) => Err(fault),
        None => judge(&outcome.stdout, plugin, events, started, ended),
    }
}

/// Why a process that ended did not even get to answer.
fn exit_fault(outcome: &Outcome, plugin: &PluginSpec) -> Option<Fault> {
    let stream = plugin.protocol == Protocol::Stream;
    let (reason, message) = match outcome.exit {
        Exit::Code(0) => return None,
        Exit::Code(code) => ("ExitCode", format!("the plugin exited with status {code}")),
        Exit::Signal(signal) => ("Signal", format!("the plugin was killed by signal {signal}")),
        Exit::TimedOut if stream => (
            "TimedOut",
            format!(
                "the plugin did not answer with one line within its timeout of {} (protocol: \
                 stream)",
                plugin.timeout
            ),
        ),
        Exit::TimedOut => {
            ("TimedOut", format!("the plugin did not end within its timeout of {}", plugin.timeout))
        }
        Exit::OutputTooLarge => {
            let limit = Limits::default().stdout;
            ("OutputTooLarge", format!("the plugin wrote more than {limit} bytes to stdout"))
        }
        Exit::Cancelled => ("Cancelled", "the daemon stopped".to_owned()),
    };
    Some(Fault { reason, message })
}
