//! routerctl: commands, tables, exit codes.
//!
//! [`run`] is the whole program but for the process: arguments, environment, streams and clock are
//! passed in. A command asks an `access::Access`, which is the daemon if one answers and the store
//! if none does. Data goes to stdout, everything else to stderr.
//!
//! May import `api`, `control`, `render`, `store` and `sources`; and `plugin` and `controllers`
//! for what an operator tries: it is run by the operator's own process, never by the daemon.

mod access;
mod args;
mod commands;
mod escape;
mod failure;
mod manifests;
mod new_file;
mod offline;
mod output;
mod paths;
mod schema;
mod table;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::sync::Arc;

use clap::Parser;

use self::args::Args;
use self::commands::Session;
use self::failure::{Failure, USAGE};
use self::output::Output;
use self::paths::Paths;
use crate::api::clock::Clock;

pub use self::paths::{DEFAULT_MANIFESTS, DEFAULT_ROUTER, DEFAULT_STATE, default_config};

/// What a process gives a command.
pub struct Io {
    /// Data.
    pub stdout: Box<dyn Write + Send>,
    /// Everything else.
    pub stderr: Box<dyn Write + Send>,
    /// Read only by `-f -`.
    pub stdin: Box<dyn Read + Send>,
    /// Whether stdout is a terminal.
    pub terminal: bool,
    /// The environment.
    pub env: fn(&str) -> Option<OsString>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Io").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

/// Runs one command and returns the exit code: 0 ok, 1 the answer is no, 2 usage, 3 no daemon and
/// no usable store, 4 invalid input. `args` begins with the program's name.
pub async fn run(args: impl IntoIterator<Item = OsString>, io: Io) -> u8 {
    let mut stderr = io.stderr;
    let parsed = match Args::try_parse_from(args) {
        Ok(parsed) => parsed,
        Err(error) => return explain_usage(&error, io.stdout, stderr),
    };
    let output = Output::new(io.stdout, io.terminal, parsed.global.output);
    let paths = Paths::resolve(&parsed.global, io.env);
    let mut session =
        Session { paths, output, clock: io.clock, stdin: Some(io.stdin), notes: Vec::new() };
    let done = commands::dispatch(parsed.command, &mut session).await;
    let done = done.and_then(|()| session.output.flush());
    let notes = std::mem::take(&mut session.notes);
    // Nobody is left to tell if stderr is gone as well.
    for note in notes {
        _ = writeln!(stderr, "{}", escape::text(&note));
    }
    match done {
        Ok(()) => 0,
        Err(failure) => {
            _ = failure.print(&mut stderr);
            failure.code
        }
    }
}

/// `--help` and `--version` are answers; everything else clap says is about a mistake.
fn explain_usage(
    error: &clap::Error,
    mut stdout: Box<dyn Write + Send>,
    mut stderr: Box<dyn Write + Send>,
) -> u8 {
    if error.use_stderr() {
        _ = write!(stderr, "{error}");
        return USAGE;
    }
    match write!(stdout, "{error}").and_then(|()| stdout.flush()) {
        Ok(()) => 0,
        Err(error) => Failure::from(error).code,
    }
}

#[cfg(test)]
mod tests;
