//! One line to a program, one line back, and the pipes stay open: the exchange with a warm process.
//!
//! The first line that is not blank is the answer. What follows it (more output, or a request that
//! was answered before it was read) means that the two sides are no longer in step: the next line
//! could be taken for the answer to the next request, so such a process must not be asked again.

use super::{Captured, Pipes, keep_tail};
use crate::plugin::contract::StderrTail;
use bytes::{Buf, Bytes, BytesMut};
use rustix::io::Errno;
use std::io;
use std::pin::pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;

/// Read in one call from stdout: most answers are shorter.
const CHUNK: usize = 8 << 10;
/// Reads of stderr in a row: a program that writes without end is not waited for.
const READS: usize = 32;

/// How an exchange ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Exchanged {
    /// A line, without its end.
    Answer {
        line: Bytes,
        /// The request was written whole, and nothing but blanks followed the line.
        in_step: bool,
    },
    /// Stdout ended before a line did; what came is in [`Captured`].
    Ended,
    /// The line is longer than the limit.
    TooLarge,
}

impl Pipes {
    /// Writes `request`, which ends in a line break, and reads one line. What is written to stderr
    /// meanwhile is kept in `captured`, of which only the end is bounded.
    pub(in crate::plugin) async fn exchange(
        &mut self,
        request: &[u8],
        captured: &mut Captured,
    ) -> Exchanged {
        let Self { stdin, stdout, stderr } = self;
        let Captured { limits, stdout: out, stderr: err, stderr_dropped } = captured;
        let limit = limits.stderr_tail;
        let (mut written, mut feeding, mut told) = (false, true, true);
        let exchanged = {
            let mut feed = pin!(stdin.write_all(request));
            let mut line = pin!(read_line(stdout, out, limits.stdout));
            let mut tail = pin!(tail_as_it_comes(stderr, err, limit, stderr_dropped));
            loop {
                tokio::select! {
                    biased;
                    fed = &mut feed, if feeding => (written, feeding) = (fed.is_ok(), false),
                    exchanged = &mut line => break exchanged,
                    () = &mut tail, if told => told = false,
                }
            }
        };
        // What was said before the answer belongs to it.
        tail_now(stderr, err, limit, stderr_dropped);
        match exchanged {
            Exchanged::Answer { line, in_step } => {
                Exchanged::Answer { line, in_step: in_step && written }
            }
            other => other,
        }
    }

    /// Whether stdout is open and nothing but blanks came since the last answer. Asks the system,
    /// which knows before the runtime does.
    pub(in crate::plugin) fn is_quiet(&self) -> bool {
        let mut chunk = [0; 256];
        // Whoever says so much of nothing is not waiting for a question.
        for _ in 0..READS {
            match rustix::io::read(&self.stdout, &mut chunk[..]) {
                Ok(0) => return false,
                Ok(n) if is_blank(&chunk[..n]) => {}
                Err(error) => return error == Errno::AGAIN,
                Ok(_) => return false,
            }
        }
        false
    }
}

impl Captured {
    /// The end of stderr since this was last asked.
    pub(in crate::plugin) fn take_stderr(&mut self) -> StderrTail {
        if self.stderr.is_empty() && self.stderr_dropped == 0 {
            return StderrTail::default();
        }
        let mut this = std::mem::replace(self, Self::new(self.limits));
        std::mem::swap(&mut self.stdout, &mut this.stdout);
        this.finish().1
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// The first line that is not blank, at most `limit` bytes long, and no more than that of blanks
/// before it.
async fn read_line(from: &mut Receiver, into: &mut BytesMut, limit: usize) -> Exchanged {
    let (mut scanned, mut blanks) = (0, 0);
    loop {
        while let Some(at) = into[scanned..].iter().position(|byte| *byte == b'\n') {
            let end = scanned + at;
            scanned = 0;
            if is_blank(&into[..end]) {
                into.advance(end + 1);
                blanks += end + 1;
                if blanks > limit {
                    into.truncate(limit);
                    return Exchanged::TooLarge;
                }
                continue;
            }
            if end > limit {
                into.truncate(limit);
                return Exchanged::TooLarge;
            }
            let line = into.split_to(end).freeze();
            let in_step = is_blank(into);
            into.clear();
            return Exchanged::Answer { line, in_step };
        }
        scanned = into.len();
        if scanned > limit {
            into.truncate(limit);
            return Exchanged::TooLarge;
        }
        into.reserve(CHUNK);
        if matches!(from.read_buf(into).await, Ok(0) | Err(_)) {
            return Exchanged::Ended;
        }
    }
}

/// Ends when stderr does.
async fn tail_as_it_comes(from: &Receiver, into: &mut BytesMut, limit: usize, dropped: &mut u64) {
    while from.readable().await.is_ok() && tail_now(from, into, limit, dropped) {}
}

/// Takes what is there; answers whether more may come.
fn tail_now(from: &Receiver, into: &mut BytesMut, limit: usize, dropped: &mut u64) -> bool {
    let mut chunk = [0; 4096];
    for _ in 0..READS {
        match from.try_read(&mut chunk) {
            Ok(0) => return false,
            Ok(n) => keep_tail(&chunk[..n], into, limit, dropped),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::contract::Limits;
    use tokio::net::unix::pipe::{Receiver, Sender, pipe};

    /// Our pipes, and the program's ends of them: stdin, stdout, stderr.
    fn pipes() -> (Pipes, Receiver, Sender, Sender) {
        let ((stdin, reads), (writes, stdout), (says, stderr)) =
            (pipe().unwrap(), pipe().unwrap(), pipe().unwrap());
        (Pipes { stdin, stdout, stderr }, reads, writes, says)
    }

    fn captured() -> Captured {
        Captured::new(Limits { stdout: 10, stderr_tail: 4 })
    }

    async fn exchanged(wrote: &[u8]) -> Exchanged {
        let (mut pipes, _reads, mut writes, _says) = pipes();
        writes.write_all(wrote).await.unwrap();
        drop(writes);
        pipes.exchange(b"ask\n", &mut captured()).await
    }

    #[tokio::test]
    async fn the_first_line_that_is_not_blank_is_the_answer() {
        for (wrote, line, in_step) in [
            (&b"one\n"[..], "one", true),
            (b"\n \r\none\r\n", "one\r", true),
            (b"one\n\n", "one", true),
            (b"one\ntwo\n", "one", false),
            (b"one\nt", "one", false),
            (b"0123456789\n", "0123456789", true),
        ] {
            let expected = Exchanged::Answer { line: Bytes::from_static(line.as_bytes()), in_step };
            assert_eq!(exchanged(wrote).await, expected, "{wrote:?}");
        }
        assert_eq!(exchanged(b"01234567890\n").await, Exchanged::TooLarge);
        assert_eq!(exchanged(b"0123456789012").await, Exchanged::TooLarge);
        assert_eq!(exchanged(b"\n\n\n\n\n\n\n\n\n\n\none\n").await, Exchanged::TooLarge);
        assert_eq!(exchanged(b"half").await, Exchanged::Ended);
        assert_eq!(exchanged(b"\n\n").await, Exchanged::Ended);
    }

    #[tokio::test]
    async fn what_is_said_unasked_is_noticed_before_the_next_request() {
        let (mut pipes, mut reads, mut writes, _says) = pipes();
        let mut captured = captured();
        for _ in 0..3 {
            writes.write_all(b"yes\n").await.unwrap();
            let Exchanged::Answer { in_step, .. } = pipes.exchange(b"ask\n", &mut captured).await
            else {
                panic!("no answer")
            };
            assert!(in_step && pipes.is_quiet());
            let mut asked = [0; 4];
            reads.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"ask\n");
        }
        writes.write_all(b" \n").await.unwrap();
        assert!(pipes.is_quiet(), "blanks are no line");
        writes.write_all(b"late\n").await.unwrap();
        assert!(!pipes.is_quiet());
        drop(writes);
        assert!(!pipes.is_quiet(), "its output has ended");
    }

    #[tokio::test]
    async fn each_exchange_has_the_end_of_its_own_stderr() {
        let (mut pipes, _reads, mut writes, mut says) = pipes();
        let mut captured = captured();
        for word in ["first", "second"] {
            says.write_all(word.as_bytes()).await.unwrap();
            writes.write_all(b"yes\n").await.unwrap();
            pipes.exchange(b"ask\n", &mut captured).await;
            let tail = captured.take_stderr();
            assert_eq!(tail.bytes, word[word.len() - 4..]);
            assert_eq!(tail.dropped, word.len() as u64 - 4);
        }
        assert_eq!(captured.take_stderr(), StderrTail::default());
    }
}
