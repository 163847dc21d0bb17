//! Stdout: formats, escaping, and the quiet end of a broken pipe.

use std::io::Write;

use serde::Serialize;

use super::args::Format;
use super::escape;
use super::failure::Failure;
use crate::api::value::Value;
use crate::api::yaml;

/// Where the answer goes.
pub(super) struct Output {
    stdout: Box<dyn Write + Send>,
    terminal: bool,
    asked: Option<Format>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Output {
    pub(super) fn new(
        stdout: Box<dyn Write + Send>,
        terminal: bool,
        asked: Option<Format>,
    ) -> Self {
        Self { stdout, terminal, asked }
    }

    /// The format for a command that has these; the first is its default.
    pub(super) fn format(&self, allowed: &[Format]) -> Result<Format, Failure> {
        match self.asked {
            None => Ok(allowed[0]),
            Some(format) if allowed.contains(&format) => Ok(format),
            Some(format) => {
                let names: Vec<&str> = allowed.iter().map(|format| format.as_str()).collect();
                let message = format!("-o {}: this command has no such output", format.as_str());
                Err(Failure::usage(message).hint(format!("it has {}", names.join(", "))))
            }
        }
    }

    /// JSON, indented, and a line break.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(std::io::Error::other)?;
        self.write(&escape::json(&text))?;
        self.write("\n")
    }

    /// JSON text that comes as it is.
    pub(super) fn json_text(&mut self, text: &str) -> Result<(), Failure> {
        self.write(&escape::json(text))
    }

    /// One YAML document.
    pub(super) fn yaml(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let value = Value::from_serialize(value).map_err(std::io::Error::other)?;
        self.yaml_text(&yaml::emit(&value))
    }

    /// Several YAML documents.
    pub(super) fn yaml_all<T: Serialize>(&mut self, values: &[T]) -> Result<(), Failure> {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.write("---\n")?;
            }
            self.yaml(value)?;
        }
        Ok(())
    }

    /// YAML text that comes as it is: a file gets every byte, a terminal what is safe to show.
    pub(super) fn yaml_text(&mut self, text: &str) -> Result<(), Failure> {
        if self.terminal { self.write(&escape::lines(text)) } else { self.write(text) }
    }

    /// A line for people.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.write(&escape::text(line))?;
        self.write("\n")
    }

    /// Text that is safe already.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.stdout.write_all(text.as_bytes())?)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.stdout.flush()?)
    }
}
