//! Reads a body, within its limit, its time, and what all bodies together may take.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;
use super::source::Source;

/// The budget is counted in pieces of this many bytes.
const PIECE: usize = 1024;

/// How much of bodies may be in memory: of all sources together, and of one.
#[derive(Debug)]
pub struct Budget {
    all: Arc<Semaphore>,
    of_one: usize,
    sources: Arc<Sources>,
}

/// Pieces by source; one that holds none is not in it.
#[derive(Debug, Default)]
struct Sources(Mutex<HashMap<Source, usize>>);

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Held {
    permit: Option<OwnedSemaphorePermit>,
    source: Source,
    sources: Arc<Sources>,
}

impl Sources {
    /// Counts pieces in, unless that would be more than `most`.
    fn add(&self, source: Source, pieces: usize, most: usize) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.get(&source).copied().unwrap_or(0) + pieces;
        if own <= most {
            held.insert(source, own);
        }
        own <= most
    }

    fn take(&self, source: Source, pieces: usize) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&source) {
            *own = own.saturating_sub(pieces);
            if *own == 0 {
                held.remove(&source);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let pieces = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.sources.take(self.source, pieces);
    }
}

impl Budget {
    /// A budget of `bytes`, of which one source may take `of_one`.
    pub fn new(bytes: usize, of_one: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new((bytes / PIECE).min(Semaphore::MAX_PERMITS))),
            of_one: of_one / PIECE,
            sources: Arc::default(),
        }
    }

    /// Bytes that are not taken now.
    pub fn free(&self) -> usize {
        self.all.available_permits() * PIECE
    }

    fn nothing(&self, source: Source) -> Held {
        Held { permit: None, source, sources: Arc::clone(&self.sources) }
    }

    /// Grows `held` to cover `bytes`.
    fn cover(&self, held: &mut Held, bytes: usize) -> Result<(), Refusal> {
        let has = held.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PIECE).saturating_sub(has);
        if more == 0 {
            return Ok(());
        }
        // Waiting here, with bytes in hand, for others that wait with theirs would help nobody.
        let count = u32::try_from(more).map_err(|_| Refusal::Busy)?;
        if !self.sources.add(held.source, more, self.of_one) {
            return Err(Refusal::Busy);
        }
        let Ok(more) = Arc::clone(&self.all).try_acquire_many_owned(count) else {
            self.sources.take(held.source, more);
            return Err(Refusal::Busy);
        };
        match &mut held.permit {
            Some(permit) => permit.merge(more),
            None => held.permit = Some(more),
        }
        Ok(())
    }
}

/// Reads a body of `source`, of at most `limit` bytes, within `time`.
pub async fn read<B>(
    source: Source,
    body: B,
    limit: usize,
    time: Duration,
    budget: &Budget,
) -> Result<(Bytes, Held), Refusal>
where
    B: Body<Data = Bytes>,
{
    let held = budget.nothing(source);
    let read = tokio::time::timeout(time, collect(body, limit, budget, held));
    read.await.unwrap_or(Err(Refusal::Slow))
}

async fn collect<B>(
    body: B,
    limit: usize,
    budget: &Budget,
    mut held: Held,
) -> Result<(Bytes, Held), Refusal>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Who broke off hears no answer; the words are for nobody.
        let frame = frame.map_err(|_| Refusal::NotAnEvent("the body broke off".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        let size = first.len() + rest.len() + data.len();
        if size > limit {
            return Err(Refusal::TooLarge(limit));
        }
        budget.cover(&mut held, size)?;
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok((first, held));
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok((whole.freeze(), held))
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn chunks(sizes: &[usize]) -> impl Body<Data = Bytes> + use<> {
        let frames: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, std::convert::Infallible>(Frame::data(vec![b'x'; *size].into())))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    const LONG: Duration = Duration::from_secs(10);
    const ONE: Source = Source::ipv4(192, 0, 2, 1);
    const OTHER: Source = Source::ipv4(192, 0, 2, 2);

    #[tokio::test]
    async fn one_source_never_takes_what_is_there_for_all() {
        let budget = Budget::new(100 * PIECE, 40 * PIECE);
        let (_, held) = read(ONE, chunks(&[30 * PIECE]), 1 << 20, LONG, &budget).await.unwrap();
        let refused = read(ONE, chunks(&[11 * PIECE]), 1 << 20, LONG, &budget).await;
        assert_eq!(refused.unwrap_err(), Refusal::Busy);
        assert!(read(OTHER, chunks(&[40 * PIECE]), 1 << 20, LONG, &budget).await.is_ok());
        drop(held);
        assert!(read(ONE, chunks(&[40 * PIECE]), 1 << 20, LONG, &budget).await.is_ok());
        assert_eq!(budget.free(), 100 * PIECE);
        assert!(budget.sources.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together_and_one_over_the_limit_is_refused() {
        let budget = Budget::new(1 << 20, 1 << 20);
        let (bytes, _held) = read(ONE, chunks(&[10, 20, 30]), 60, LONG, &budget).await.unwrap();
        assert_eq!(bytes.len(), 60);
        let refused = read(ONE, chunks(&[10, 20, 31]), 60, LONG, &budget).await.unwrap_err();
        assert_eq!(refused, Refusal::TooLarge(60));
    }

    #[tokio::test]
    async fn bodies_together_stay_within_the_budget_and_give_it_back() {
        let budget = Budget::new(100 * PIECE, 100 * PIECE);
        let (_, held) = read(ONE, chunks(&[60 * PIECE]), 1 << 20, LONG, &budget).await.unwrap();
        let refused = read(ONE, chunks(&[30 * PIECE, 20 * PIECE]), 1 << 20, LONG, &budget).await;
        assert_eq!(refused.unwrap_err(), Refusal::Busy);
        drop(held);
        assert!(read(ONE, chunks(&[100 * PIECE]), 1 << 20, LONG, &budget).await.is_ok());
        assert_eq!(budget.all.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let budget = Budget::new(1 << 20, 1 << 20);
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        assert_eq!(read(ONE, never, 60, LONG, &budget).await.unwrap_err(), Refusal::Slow);
    }
}
