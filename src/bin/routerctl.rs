//! The operator tool: hands the process to `routerd::cli` and its answer back as the exit code.

#![warn(clippy::disallowed_methods)]

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use routerd::api::Time;
use routerd::api::clock::Clock;
use routerd::cli::{Io, run};

struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "a command lasts too short for a guarded clock")]
    fn now(&self) -> Time {
        Time::now()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let io = Io {
        terminal: std::io::stdout().is_terminal(),
        stdout: Box::new(std::io::BufWriter::new(std::io::stdout())),
        stderr: Box::new(std::io::stderr()),
        stdin: Box::new(std::io::stdin()),
        env: |name| std::env::var_os(name),
        clock: Arc::new(WallClock),
    };
    ExitCode::from(run(std::env::args_os(), io).await)
}
