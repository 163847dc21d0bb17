//! JSON lines in, answer lines out, in order and without end: `POST /v1/events:lines`, and
//! `emit -f` without a daemon.
//!
//! Lines that have arrived share a transaction; the next are read only when the answers to the last
//! were taken, so a slow reader slows the sender and memory holds one batch.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use futures::{FutureExt, StreamExt};
use serde::Serialize;

use super::emit::{Answer, MAX_BATCH_BYTES, MAX_BATCH_LINES, MAX_LINE_BYTES};
use super::error::{ApiError, Reason};
use super::operations::Control;

impl Control {
    /// The answers to the events of a body, one line each. What has arrived shares a transaction;
    /// a body that breaks off ends with its last whole line.
    pub fn emit_stream<S, E>(
        &self,
        body: S,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<S, E>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: 'static,
    {
        let lines = Lines::new(Box::pin(body.map(Result::ok)));
        let state = Answers { control: self.clone(), lines };
        stream::unfold(state, |mut state| async move {
            state.next().await.map(|chunk| (Ok(chunk), state))
        })
    }
}

struct Answers {
    control: Control,
    lines: Lines,
}

/// An answer and the line that it answers.
#[derive(Serialize)]
struct Numbered<'a> {
    line: u64,
    #[serde(flatten)]
    answer: &'a Answer,
}

impl Answers {
    async fn next(&mut self) -> Option<Bytes> {
        let batch = self.lines.batch().await?;
        let answers = self.control.emit_lines(&batch.lines).await;
        let mut out = Vec::with_capacity(answers.len() * 128);
        for (line, answer) in batch.numbers.iter().zip(&answers) {
            write(&mut out, *line, answer);
        }
        if batch.overlong {
            let error = ApiError::new(
                Reason::TooLarge,
                format!("a line is over {MAX_LINE_BYTES} bytes; nothing after it was read"),
            );
            write(&mut out, self.lines.read + 1, &Answer::refused("", error));
        }
        Some(out.into())
    }
}

fn write(out: &mut Vec<u8>, line: u64, answer: &Answer) {
    serde_json::to_writer(&mut *out, &Numbered { line, answer })
        .expect("strings and numbers encode, and memory takes them");
    out.push(b'\n');
}

/// `None` says that the body broke off.
type Chunks = Pin<Box<dyn Stream<Item = Option<Bytes>> + Send>>;

/// Splits a body into batches of lines.
struct Lines {
    body: Chunks,
    buffer: BytesMut,
    /// Lines taken out of the buffer so far.
    read: u64,
    ended: bool,
}

#[derive(Default)]
struct Batch {
    lines: Vec<Bytes>,
    /// Where each line stands in the body, from 1.
    numbers: Vec<u64>,
    bytes: usize,
    overlong: bool,
}

impl Lines {
    fn new(body: Chunks) -> Self {
        Self { body, buffer: BytesMut::new(), read: 0, ended: false }
    }

    /// The next lines: waits for the first, then takes what has arrived, up to the limits. `None`
    /// at the end.
    async fn batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while batch.lines.len() < MAX_BATCH_LINES && batch.bytes < MAX_BATCH_BYTES {
            if let Some(line) = self.take_line() {
                if !line.trim_ascii().is_empty() {
                    batch.bytes += line.len();
                    batch.lines.push(line);
                    batch.numbers.push(self.read);
                }
                continue;
            }
            if self.ended {
                break;
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                // Where the next line begins is anybody's guess: stop reading.
                self.buffer.clear();
                self.ended = true;
                batch.overlong = true;
                break;
            }
            let more = if batch.lines.is_empty() {
                self.body.next().await
            } else {
                match self.body.next().now_or_never() {
                    Some(more) => more,
                    None => break,
                }
            };
            match more {
                Some(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
                Some(None) => {
                    // Half a line is no event, even where it happens to be valid JSON.
                    self.buffer.clear();
                    self.ended = true;
                }
            }
        }
        (!batch.lines.is_empty() || batch.overlong).then_some(batch)
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let line = match self.buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                let mut line = self.buffer.split_to(at + 1);
                line.truncate(at);
                line
            }
            None if self.ended && !self.buffer.is_empty() => self.buffer.split(),
            None => return None,
        };
        self.read += 1;
        Some(line.freeze())
    }
}
