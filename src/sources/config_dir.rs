//! The loop that keeps the accepted set in step with the configuration paths.
//!
//! Level-triggered: an event of the file system, a request and the slow timer all say only "look
//! again". Looking is one full scan, one decision, and one write if there is something to write.
//! The loop is the only writer of accepted objects, so what it wrote is what it holds in memory.

mod commit;
mod interest;
mod news;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::clock::Clock;
use crate::runtime::Beat;
use crate::sources::acceptance::{AcceptedSet, Decision, Memory, Moment, Waits, decide};
use crate::sources::report::{ConfigReport, Findings, Watching};
use crate::sources::scan::{Decoder, Limits, Scanner};
use crate::store::{Store, StoreError};

use self::news::{News, tell_findings};
use self::watcher::{Signal, Watcher};

/// Requests for a scan that may wait; one more makes its caller wait.
const MAX_REQUESTS: usize = 64;
/// The first and the longest pause after a write that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration paths: files or directories.
    pub paths: Vec<PathBuf>,
    /// What a scan may cost.
    pub limits: Limits,
    /// How long what is gone waits.
    pub waits: Waits,
    /// Quiet after an event before a scan: 100 ms.
    pub settle: Duration,
    /// The longest wait for quiet: 2 s.
    pub settle_max: Duration,
    /// When to scan although nothing happens: every 45 s.
    pub rescan: Beat,
    /// Between scans when the kernel does not tell of changes: 1 s.
    pub poll_every: Duration,
    /// Look every `poll_every` even if the kernel would tell.
    pub always_poll: bool,
}

/// Between two scans when nothing happens: what the kernel did not tell of is seen this late.
pub const RESCAN: Duration = Duration::from_secs(45);

impl Options {
    /// The product's timing, on these paths.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            limits: Limits::default(),
            waits: Waits::default(),
            settle: Duration::from_millis(100),
            settle_max: Duration::from_secs(2),
            rescan: Beat::every(RESCAN),
            poll_every: Duration::from_secs(1),
            always_poll: false,
        }
    }
}

/// What was accepted, as the loop that comes next will begin with it.
pub fn accepted(store: &Store) -> Result<AcceptedSet, StoreError> {
    commit::load(store)
}

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// What was accepted cannot be read.
    #[error("the accepted objects cannot be read")]
    Load(#[source] StoreError),
    /// The store takes no more writes.
    #[error("accepted objects can no longer be written")]
    Write(#[source] StoreError),
    /// Scanning failed for good.
    #[error("the scan of the configuration failed")]
    Scan(#[source] tokio::task::JoinError),
}

/// Why a rescan was not applied.
#[derive(Debug, thiserror::Error)]
pub enum RescanError {
    /// The loop has ended.
    #[error("the configuration is not watched any more")]
    Ended,
    /// What was found could not be written; it is tried again.
    #[error("what was found cannot be written: {0}")]
    NotWritten(String),
}

type Answer = oneshot::Sender<Result<Arc<ConfigReport>, RescanError>>;

/// Reads what the loop reports, and asks it to look again.
#[derive(Debug, Clone)]
pub struct ConfigHandle {
    reports: watch::Receiver<Arc<ConfigReport>>,
    requests: mpsc::Sender<Answer>,
}

impl ConfigHandle {
    /// The report, now and whenever a scan was applied.
    pub fn reports(&self) -> watch::Receiver<Arc<ConfigReport>> {
        self.reports.clone()
    }

    /// Scans everything, beginning after this call, and waits until what was found is durable.
    /// What waits for its time (`settling`, `held`) is not waited for.
    pub async fn rescan(&self) -> Result<Arc<ConfigReport>, RescanError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(answer).await.map_err(|_| RescanError::Ended)?;
        answered.await.unwrap_or(Err(RescanError::Ended))
    }
}

/// The loop; [`run`](Self::run) is it.
pub struct ConfigDir {
    options: Options,
    store: Store,
    clock: Arc<dyn Clock>,
    decoder: Arc<dyn Decoder>,
    reports: watch::Sender<Arc<ConfigReport>>,
    requests: mpsc::Receiver<Answer>,
}

impl std::fmt::Debug for ConfigDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigDir").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ConfigDir {
    /// A loop that is not running yet, and its handle.
    pub fn new(
        options: Options,
        store: Store,
        clock: Arc<dyn Clock>,
        decoder: Arc<dyn Decoder>,
    ) -> (Self, ConfigHandle) {
        let (reports, reported) = watch::channel(Arc::new(ConfigReport::default()));
        let (ask, requests) = mpsc::channel(MAX_REQUESTS);
        let handle = ConfigHandle { reports: reported, requests: ask };
        (Self { options, store, clock, decoder, reports, requests }, handle)
    }

    /// Scans, accepts and watches until `shutdown`. The first scan begins at once.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), ConfigError> {
        let accepted = commit::load(&self.store).map_err(ConfigError::Load)?;
        let limits = self.options.limits.clone();
        let scanner = Scanner::new(&self.options.paths, limits, Arc::clone(&self.decoder));
        let watcher = Watcher::new(scanner.paths(), self.options.always_poll);
        let signal = watcher.signal();
        let mut looking = Looking { scanner, watcher, accepted, memory: Memory::default() };
        let mut progress = Progress { began: Instant::now(), scans: 0, pause: RETRY.0 };
        let mut answers = Vec::new();
        loop {
            while let Ok(answer) = self.requests.try_recv() {
                answers.push(answer);
            }
            let due;
            (looking, due) = self.look(looking, &mut progress, &signal, &mut answers).await?;
            match self.wait(&signal, due, &shutdown).await {
                Wake::Look => {}
                Wake::Asked(answer) => answers.push(answer),
                Wake::Shutdown => return Ok(()),
            }
        }
    }

    /// One scan, one decision, one write. Returns when the next is due at the latest.
    async fn look(
        &self,
        mut looking: Looking,
        progress: &mut Progress,
        signal: &Signal,
        answers: &mut Vec<Answer>,
    ) -> Result<(Looking, Instant), ConfigError> {
        // What happens from here on may be missed by the scan, so it must raise the signal anew.
        signal.clear();
        let at = Moment { now: self.clock.now(), mono: progress.began.elapsed() };
        let waits = self.options.waits.clone();
        let decided = tokio::task::spawn_blocking(move || {
            let decision = looking.decide(at, &waits);
            (looking, decision)
        });
        let (mut looking, decision) = decided.await.map_err(ConfigError::Scan)?;
        let news = News::of(&looking.accepted, &decision, progress.scans == 0);
        let Decision { upserts, deletes, roots, findings, memory, wake_after } = decision;
        looking.memory = memory;
        let written = commit::write(&self.store, &mut looking.accepted, upserts, deletes, roots);
        let written = match written.await {
            Err(StoreError::Failed(why)) => {
                return Err(ConfigError::Write(StoreError::Failed(why)));
            }
            Err(StoreError::Closed) => return Err(ConfigError::Write(StoreError::Closed)),
            written => written,
        };
        let now = Instant::now();
        let rescan = match looking.watcher.watching() {
            Watching::Polling { .. } => now + self.options.poll_every,
            Watching::Starting | Watching::Inotify => self.options.rescan.next(),
        };
        let mut due = wake_after.map_or(rescan, |wake| rescan.min(now + wake));
        if written.is_err() {
            due = due.min(now + progress.pause);
        }
        progress.note(written.is_ok());
        match &written {
            Ok(_) => news.tell(),
            Err(error) => tracing::warn!(%error, "config: what was found cannot be written yet"),
        }
        let report = Arc::new(ConfigReport {
            findings: Findings { accepted: looking.accepted.objects.len() as u64, ..findings },
            watching: looking.watcher.watching().clone(),
            last_scan: Some(at.now),
            scan_revision: progress.scans,
            store_revision: *written.as_ref().unwrap_or(&self.store.head()),
            store_error: written.as_ref().err().map(ToString::to_string),
        });
        let last = self.reports.send_replace(Arc::clone(&report));
        tell_findings(&last.findings, &report.findings);
        for answer in answers.drain(..) {
            let result = match &report.store_error {
                None => Ok(Arc::clone(&report)),
                Some(why) => Err(RescanError::NotWritten(why.clone())),
            };
            // Whoever asked may have gone.
            _ = answer.send(result);
        }
        Ok((looking, due))
    }

    /// Waits until it is time to look again. After an event it waits for quiet, but not for long.
    async fn wait(&mut self, signal: &Signal, due: Instant, shutdown: &CancellationToken) -> Wake {
        let mut due = due;
        let mut latest = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Wake::Shutdown,
                Some(answer) = self.requests.recv() => return Wake::Asked(answer),
                () = signal.raised() => {
                    let now = Instant::now();
                    let latest = *latest.get_or_insert(now + self.options.settle_max);
                    due = (now + self.options.settle).min(latest);
                }
                () = sleep_until(due) => return Wake::Look,
            }
        }
    }
}

/// Why the loop goes on.
enum Wake {
    Look,
    Asked(Answer),
    Shutdown,
}

/// How far the loop is.
struct Progress {
    began: Instant,
    scans: u64,
    pause: Duration,
}

impl Progress {
    fn note(&mut self, written: bool) {
        if written {
            self.scans += 1;
            self.pause = RETRY.0;
        } else {
            self.pause = (self.pause * 2).min(RETRY.1);
        }
    }
}

/// What a look needs; it goes to a blocking thread and comes back.
struct Looking {
    scanner: Scanner,
    watcher: Watcher,
    accepted: AcceptedSet,
    memory: Memory,
}

impl Looking {
    fn decide(&mut self, at: Moment, waits: &Waits) -> Decision {
        let scan = self.scanner.scan(at.mono);
        self.watcher.arm(&scan);
        let memory = std::mem::take(&mut self.memory);
        decide(&self.accepted, memory, &scan, at, waits, &mut || uid_at(at.now))
    }
}

/// A UUIDv7 of this time.
fn uid_at(now: crate::api::Time) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
    uuid::Uuid::new_v7(time).to_string()
}
