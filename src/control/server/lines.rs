//! `POST /v1/events:lines`: JSON lines in, answer lines out, in order and without end.
//!
//! Lines that have arrived share a transaction; the next are read only when the answers to the last
//! were taken, so a slow reader slows the sender and memory holds one batch.

use std::pin::Pin;

use axum::body::{BodyDataStream, Bytes};
use bytes::BytesMut;
use futures::stream::{self, Stream};
use futures::{FutureExt, StreamExt};
use serde::Serialize;

use crate::control::emit::{Answer, MAX_BATCH_BYTES, MAX_BATCH_LINES, MAX_LINE_BYTES};
use crate::control::error::{ApiError, Reason};
use crate::control::operations::Control;

/// The answers to the lines of a body.
pub(super) fn answers(
    control: Control,
    body: BodyDataStream,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    let state = Answers { control, lines: Lines::new(Box::pin(body.map(Result::ok))), last: 0 };
    stream::unfold(state, |mut state| async move {
        state.next().await.map(|chunk| (Ok(chunk), state))
    })
}

struct Answers {
    control: Control,
    lines: Lines,
    /// Number of the last line answered.
    last: u64,
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
        for answer in &answers {
            self.write(&mut out, answer);
        }
        if batch.overlong {
            let error = ApiError::new(
                Reason::TooLarge,
                format!("a line is over {MAX_LINE_BYTES} bytes; nothing after it was read"),
            );
            self.write(&mut out, &Answer::refused("", error));
        }
        Some(out.into())
    }

    fn write(&mut self, out: &mut Vec<u8>, answer: &Answer) {
        self.last += 1;
        let numbered = Numbered { line: self.last, answer };
        serde_json::to_writer(&mut *out, &numbered).expect("strings and numbers into memory");
        out.push(b'\n');
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Option<Bytes>> + Send>>;

/// Splits a body into batches of lines.
struct Lines {
    body: Chunks,
    buffer: BytesMut,
    ended: bool,
}

#[derive(Default)]
struct Batch {
    lines: Vec<Bytes>,
    bytes: usize,
    overlong: bool,
}

impl Lines {
    fn new(body: Chunks) -> Self {
        Self { body, buffer: BytesMut::new(), ended: false }
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
            match more.flatten() {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
        (!batch.lines.is_empty() || batch.overlong).then_some(batch)
    }

    fn take_line(&mut self) -> Option<Bytes> {
        match memchr(&self.buffer) {
            Some(at) => {
                let mut line = self.buffer.split_to(at + 1);
                line.truncate(at);
                Some(line.freeze())
            }
            None if self.ended && !self.buffer.is_empty() => Some(self.buffer.split().freeze()),
            None => None,
        }
    }
}

fn memchr(buffer: &[u8]) -> Option<usize> {
    buffer.iter().position(|&byte| byte == b'\n')
}
