//! Follows a source of truth: lists it, then applies its changes in order, and lists again when it
//! has fallen behind.
//!
//! The source is a log of changes with a cursor, as etcd's or a store's change rows are. Listing
//! returns the cursor at which the listing is true, and changes are asked for after a cursor, so
//! nothing can happen between the two unseen. What is done with the changes is the [`Sink`]'s
//! business; it fills its caches first and triggers controllers second.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::backoff::{Backoff, Jitter};
use super::readiness::{Ready, ReadySetter, readiness};
use super::shutdown::Shutdown;
use super::stats::Stopped;

/// A source of truth that can be listed and followed.
pub trait Source: Send + 'static {
    /// Everything there is.
    type Listing: Send;
    /// One change.
    type Change: Send;
    /// Why the source could not be read.
    type Error: Error + Send + 'static;

    /// All there is now, and the revision at which that is true.
    fn list(&mut self) -> impl Future<Output = Result<(Self::Listing, u64), Self::Error>> + Send;

    /// Waits until something changed after `cursor`, and returns a bounded number of changes in
    /// order. Dropping the future must lose nothing: the same cursor may be asked for again.
    fn next(
        &mut self,
        cursor: u64,
    ) -> impl Future<Output = Result<Step<Self::Change>, Self::Error>> + Send;
}

/// What came after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<C> {
    /// These changes, which lead to `revision`.
    Changes {
        /// In the order in which they happened.
        changes: Vec<C>,
        /// The revision after the last of them: the next cursor.
        revision: u64,
    },
    /// The cursor is older than what the source still remembers.
    Lagged,
}

/// Takes in what a source tells: fills caches, then triggers.
pub trait Sink<S: Source>: Send + 'static {
    /// Everything, at the start and whenever changes were missed. Whatever is not in it is gone, and
    /// only what differs from before should trigger anything.
    fn replace(&mut self, listing: S::Listing);

    /// The next changes, in order.
    fn apply(&mut self, changes: Vec<S::Change>);
}

/// Drives one [`Sink`] from one [`Source`].
#[derive(Debug)]
pub struct Reflector {
    name: Arc<str>,
    backoff: Backoff,
    ready: (ReadySetter, Ready),
    progress: (watch::Sender<Option<u64>>, Progress),
    trouble: watch::Sender<Option<Trouble>>,
}

/// How far a reflector has come: everything up to the revision is in the caches, and what it
/// affects is triggered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    name: Arc<str>,
    revision: watch::Receiver<Option<u64>>,
    trouble: watch::Receiver<Option<Trouble>>,
}

/// Why a source cannot be read.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When it could not be read first.
    pub since: Instant,
    /// What was said the last time.
    pub error: Arc<str>,
}

impl Reflector {
    /// A reflector that pauses by `backoff` when its source cannot be read.
    pub fn new(name: impl Into<Arc<str>>, backoff: Backoff) -> Self {
        let name = name.into();
        let (sender, revision) = watch::channel(None);
        let (trouble, troubled) = watch::channel(None);
        let progress = Progress { name: Arc::clone(&name), revision, trouble: troubled };
        let ready = readiness(Arc::clone(&name));
        Self { ready, progress: (sender, progress), trouble, name, backoff }
    }

    /// Goes up after the first listing.
    pub fn ready(&self) -> Ready {
        self.ready.1.clone()
    }

    /// Tells how far this reflector has come.
    pub fn progress(&self) -> Progress {
        self.progress.1.clone()
    }

    /// Follows the source until `shutdown` asks to stop. A source that cannot be read is asked again
    /// and again, at the same cursor; it never ends the reflector.
    pub async fn run<S: Source>(
        self,
        source: S,
        sink: impl Sink<S>,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        tokio::select! {
            never = self.follow(source, sink) => match never {},
            () = shutdown.draining() => Ok(()),
        }
    }

    async fn follow<S: Source>(self, mut source: S, mut sink: impl Sink<S>) -> Infallible {
        // A fixed seed will do: the source is this process's own, no crowd comes back to it.
        let mut patience = Patience { jitter: Jitter::seeded(0), failures: 0 };
        let mut cursor = None;
        loop {
            let step = match cursor {
                None => source.list().await.map(Heard::Listing),
                Some(cursor) => source.next(cursor).await.map(Heard::Step),
            };
            match step {
                Ok(heard) => {
                    patience.failures = 0;
                    self.trouble.send_if_modified(|trouble| trouble.take().is_some());
                    cursor = self.take_in(heard, &mut sink);
                }
                Err(error) => patience.pause(&self, &error).await,
            }
        }
    }

    /// Hands on what was heard; returns the new cursor, or none if all must be listed again.
    fn take_in<S: Source>(
        &self,
        heard: Heard<S::Listing, S::Change>,
        sink: &mut impl Sink<S>,
    ) -> Option<u64> {
        let revision = match heard {
            Heard::Listing((listing, revision)) => {
                sink.replace(listing);
                self.ready.0.set();
                revision
            }
            Heard::Step(Step::Changes { changes, revision }) => {
                sink.apply(changes);
                revision
            }
            Heard::Step(Step::Lagged) => {
                info!(reflector = %self.name, "fell behind; listing again");
                return None;
            }
        };
        // After the sink: whoever sees the revision may rely on its triggers.
        self.progress.0.send_replace(Some(revision));
        Some(revision)
    }
}

/// What a source told.
enum Heard<L, C> {
    Listing((L, u64)),
    Step(Step<C>),
}

/// How long to wait for a source that fails.
struct Patience {
    jitter: Jitter,
    failures: u16,
}

impl Patience {
    async fn pause(&mut self, reflector: &Reflector, error: &impl Error) {
        self.failures = self.failures.saturating_add(1);
        let retry_in = reflector.backoff.delay(self.failures, &mut self.jitter);
        let error = super::describe::with_sources(error);
        reflector.trouble.send_modify(|trouble| {
            let since = trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
            *trouble = Some(Trouble { since, error: error.as_str().into() });
        });
        warn!(reflector = %reflector.name, error, ?retry_in, "source cannot be read");
        sleep(retry_in).await;
    }
}

impl Progress {
    /// The revision up to which everything is in, or none before the first listing.
    pub fn revision(&self) -> Option<u64> {
        *self.revision.borrow()
    }

    /// Why the source cannot be read, while that is so.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// Waits until the source cannot be read.
    pub async fn troubled(&self) -> Result<Trouble, Stopped> {
        let mut trouble = self.trouble.clone();
        let found =
            trouble.wait_for(Option::is_some).await.ok().and_then(|trouble| trouble.clone());
        found.ok_or_else(|| Stopped { name: Arc::clone(&self.name) })
    }

    /// Waits until everything up to `revision` is in.
    pub async fn reached(&self, revision: u64) -> Result<(), Stopped> {
        let mut progress = self.revision.clone();
        let reached = progress.wait_for(|now| now.is_some_and(|now| now >= revision)).await;
        reached.map(|_| ()).map_err(|_| Stopped { name: Arc::clone(&self.name) })
    }
}
