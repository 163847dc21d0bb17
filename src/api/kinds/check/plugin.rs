//! Checks of `plugin.routerd.net`.

use super::super::classify::{Class, classify};
use super::super::place::Place;
use super::super::plugin::{DynamicConfigSourceSpec, PluginSpec, Produces, Sandbox};
use super::super::spec::KindSpec;
use super::words::{at_least, between, file_path, filled, lasting, no_nul};
use crate::api::duration::GoDuration;

/// The longest that one run may take.
const LONGEST_RUN: GoDuration = GoDuration::from_secs(3600);
/// The most events of one run.
const MOST_EVENTS: u32 = 1000;
/// The most runs of one plugin at a time.
const MOST_RUNS: u32 = 64;

impl KindSpec for PluginSpec {
    fn check(&self, at: &Place<'_>) {
        file_path(&at.field("executable"), &self.executable);
        let args = at.field("args");
        for (index, arg) in self.args.iter().enumerate() {
            no_nul(&args.item(index), arg);
        }
        run_time(&at.field("timeout"), self.timeout);
        let env = at.field("env");
        for (name, value) in &self.env {
            check_env(name, value, &env);
        }
        let produces = at.field("produces");
        for (index, item) in self.produces.iter().enumerate() {
            check_produces(item, &produces.item(index));
        }
        between(&at.field("batch").field("maxEvents"), self.batch.max_events, 1, MOST_EVENTS);
        between(&at.field("concurrency"), self.concurrency, 1, MOST_RUNS);
        if let Some(digest) = &self.sha256 {
            check_sha256(digest, &at.field("sha256"));
        }
        if let Some(sandbox) = &self.sandbox {
            check_sandbox(sandbox, &at.field("sandbox"));
        }
    }
}

/// How long one process may run.
pub(super) fn run_time(at: &Place<'_>, timeout: GoDuration) {
    if timeout.is_zero() {
        at.refuse("expected more than 0s, found 0s");
    } else {
        lasting(at, timeout, GoDuration::default(), LONGEST_RUN);
    }
}

fn check_env(name: &str, value: &str, env: &Place<'_>) {
    let at = env.key(name);
    if name.is_empty() {
        at.refuse("the name of a variable is empty");
    } else if name.contains(['=', '\0']) {
        at.refuse(format!("{name:?} is no name of a variable"));
    } else if name.starts_with("ROUTERD_") || name == "TRACEPARENT" {
        at.refuse_with(
            format!("{name} is set by the daemon"),
            "names that begin with ROUTERD_, and TRACEPARENT, are reserved",
        );
    }
    no_nul(&env.field(name), value);
}

fn check_produces(item: &Produces, at: &Place<'_>) {
    match classify(&item.api_version, &item.kind) {
        Ok(Class::Typed(info)) if info.control => at.field("kind").refuse_with(
            format!("a plugin never produces a {}", info.kind),
            "control Kinds are written by people",
        ),
        Ok(_) => {}
        Err(misnamed) => at.refuse_misnamed(misnamed),
    }
}

fn check_sha256(digest: &str, at: &Place<'_>) {
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        at.refuse_with(
            format!("expected 64 hexadecimal digits, found {} characters", digest.chars().count()),
            "the first word that sha256sum prints",
        );
    }
}

fn check_sandbox(sandbox: &Sandbox, at: &Place<'_>) {
    if let Some(memory) = &sandbox.memory
        && sandbox.memory_bytes().is_none_or(|bytes| bytes == 0)
    {
        at.field("memory").refuse_with(format!("{memory:?} is not a size"), "write it like 256Mi");
    }
    if let Some(processes) = sandbox.processes {
        at_least(&at.field("processes"), processes, 1);
    }
}

impl KindSpec for DynamicConfigSourceSpec {
    fn check(&self, at: &Place<'_>) {
        filled(&at.field("pluginRef"), &self.plugin_ref);
    }
}
