//! Reads a body, within its limit, its time, and what all bodies together may take.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// The budget is counted in pieces of this many bytes.
const PIECE: usize = 1024;

/// How much of bodies may be in memory.
#[derive(Debug)]
pub struct Budget(Arc<Semaphore>);

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Held(Option<OwnedSemaphorePermit>);

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PIECE).min(Semaphore::MAX_PERMITS))))
    }

    /// Bytes that are not taken now.
    pub fn free(&self) -> usize {
        self.0.available_permits() * PIECE
    }

    /// Grows `held` to cover `bytes`.
    fn cover(&self, held: &mut Held, bytes: usize) -> Result<(), Refusal> {
        let has = held.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PIECE).saturating_sub(has);
        if more == 0 {
            return Ok(());
        }
        // Waiting here, with bytes in hand, for others that wait with theirs would help nobody.
        let more = u32::try_from(more).map_err(|_| Refusal::Busy)?;
        let more = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| Refusal::Busy)?;
        match &mut held.0 {
            Some(held) => held.merge(more),
            None => held.0 = Some(more),
        }
        Ok(())
    }
}

/// Reads a body of at most `limit` bytes within `time`.
pub async fn read<B>(
    body: B,
    limit: usize,
    time: Duration,
    budget: &Budget,
) -> Result<(Bytes, Held), Refusal>
where
    B: Body<Data = Bytes>,
{
    let read = tokio::time::timeout(time, collect(body, limit, budget));
    read.await.unwrap_or(Err(Refusal::Slow))
}

async fn collect<B>(body: B, limit: usize, budget: &Budget) -> Result<(Bytes, Held), Refusal>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut held = Held(None);
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

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together_and_one_over_the_limit_is_refused() {
        let budget = Budget::new(1 << 20);
        let (bytes, _held) = read(chunks(&[10, 20, 30]), 60, LONG, &budget).await.unwrap();
        assert_eq!(bytes.len(), 60);
        let refused = read(chunks(&[10, 20, 31]), 60, LONG, &budget).await.unwrap_err();
        assert_eq!(refused, Refusal::TooLarge(60));
    }

    #[tokio::test]
    async fn bodies_together_stay_within_the_budget_and_give_it_back() {
        let budget = Budget::new(100 * PIECE);
        let (_, held) = read(chunks(&[60 * PIECE]), 1 << 20, LONG, &budget).await.unwrap();
        let refused = read(chunks(&[30 * PIECE, 20 * PIECE]), 1 << 20, LONG, &budget).await;
        assert_eq!(refused.unwrap_err(), Refusal::Busy);
        drop(held);
        assert!(read(chunks(&[100 * PIECE]), 1 << 20, LONG, &budget).await.is_ok());
        assert_eq!(budget.0.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let budget = Budget::new(1 << 20);
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        assert_eq!(read(never, 60, LONG, &budget).await.unwrap_err(), Refusal::Slow);
    }
}
