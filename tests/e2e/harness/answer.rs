//! What a routerctl child said.

use std::process::Output;

use serde_json::Value;

/// Exit code and streams of a child that has ended.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

impl Answer {
    /// The same answer, if it is the answer `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Stdout as JSON, of a command that succeeded.
    #[track_caller]
    pub fn json(self) -> Value {
        let this = self.exits(0);
        serde_json::from_str(&this.stdout).unwrap_or_else(|e| panic!("{e}: {}", this.stdout))
    }

    /// Stdout as JSON, one value a line, whatever the exit code.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", self.stderr))
        };
        self.stdout.lines().map(parse).collect()
    }
}
