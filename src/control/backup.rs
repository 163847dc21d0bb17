//! The backup as it travels: the store writes it on a thread of its own, whoever asked reads it
//! piece by piece and holds the writer back.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use tokio::sync::mpsc;

use super::operations::Control;

/// Bytes handed on at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for the reader.
const CHUNKS: usize = 4;

impl Control {
    /// Every row of the store, as a file. It says itself how it ended: one that breaks off, or whose
    /// end says why there is no more, is no backup.
    pub fn backup(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + use<> {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (store, now) = (self.reader().store().clone(), self.reader().now());
        tokio::task::spawn_blocking(move || {
            let mut out = Chunked { sender, chunk: BytesMut::new() };
            if let Err(error) = store.backup(now, &mut out) {
                tracing::warn!(error = %super::error::with_sources(&error), "no backup was made");
            }
        });
        let next = |mut receiver: mpsc::Receiver<Bytes>| async move {
            receiver.recv().await.map(|chunk| (Ok(chunk), receiver))
        };
        Box::pin(stream::unfold(receiver, next))
    }
}

struct Chunked {
    sender: mpsc::Sender<Bytes>,
    chunk: BytesMut,
}

impl Write for Chunked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = self.chunk.split().freeze();
        self.sender.blocking_send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
