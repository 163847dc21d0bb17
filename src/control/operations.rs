//! The operations of the API, free of HTTP: what the daemon's socket and a `routerctl` without a
//! daemon both do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::backend::{EffectiveRevision, Live, Pending};
use super::effective::{Effective, Report};
use super::emit::{self, Answer, Batch, Counting, EmitRequest};
use super::error::{ApiError, Reason};
use super::events::EventFilter;
use super::offline::{self, Offline};
use super::operate::{self, WorkAnswer, WorkFilter};
use super::read::Reader;
use super::views::{EventList, FailureView, ObjectView, PartView, RunView};
use crate::api::clock::Clock;
use crate::api::duration::GoDuration;
use crate::api::kinds::redact::redact;
use crate::api::part::Part;
use crate::store::{Revision, Store};

/// The longest wait for convergence.
pub const MAX_WAIT: GoDuration = GoDuration::from_secs(3600);
/// How long the look that is under way may go on after the time is over, while nothing is known to
/// be pending: who asks with no time at all asks for one look.
const LOOK: Duration = Duration::from_secs(5);
/// The wait where the request does not say.
const DEFAULT_WAIT: GoDuration = GoDuration::from_secs(30);
/// Runs of one answer at most.
const MAX_RUNS_LISTED: usize = 1_000;
/// Failures of one answer at most.
const MAX_FAILURES_LISTED: usize = 10_000;

/// The operations. Clones share what they stand on.
///
/// All but `emit`, `emit_lines` and `wait` read the store and may block for as long as that takes.
#[derive(Clone)]
pub struct Control {
    reader: Reader,
    behind: Behind,
}

#[derive(Clone)]
enum Behind {
    Daemon(Arc<dyn Live>),
    Nobody(Arc<Offline>),
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("store", self.reader.store()).finish_non_exhaustive()
    }
}

/// The two notations of the effective config.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RenderFormat {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// The effective config as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The document.
    pub text: Bytes,
    /// See [`Effective::revision`].
    pub revision: Option<u64>,
    /// See [`Effective::digest`].
    pub digest: String,
}

/// What was left out of the effective config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderReport {
    /// See [`Effective::revision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// See [`Effective::digest`].
    pub digest: String,
    /// What was left out, and why.
    #[serde(flatten)]
    pub report: Report,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(expecting = "an object with timeout, deliveries")]
pub struct WaitRequest {
    /// How long at most; default 30s, at most 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// Whether the outboxes must be empty, too.
    #[serde(default)]
    pub deliveries: bool,
}

/// How long a watch for a new revision is held open; well below what clients bear.
pub const WATCH: Duration = Duration::from_secs(20);

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitAnswer {
    /// Whether all is processed.
    pub converged: bool,
    /// Up to which revision of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// What is not, when the time was over.
    pub pending: Vec<Pending>,
}

impl Control {
    /// The operations of a running daemon.
    pub fn new(store: Store, clock: Arc<dyn Clock>, live: Arc<dyn Live>) -> Self {
        Self { reader: Reader::new(store, clock), behind: Behind::Daemon(live) }
    }

    /// The operations on a store that no daemon holds.
    pub fn offline(store: Store, clock: Arc<dyn Clock>, offline: Offline) -> Self {
        Self { reader: Reader::new(store, clock), behind: Behind::Nobody(Arc::new(offline)) }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.reader.store()
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) fn live(&self) -> Option<&Arc<dyn Live>> {
        match &self.behind {
            Behind::Daemon(live) => Some(live),
            Behind::Nobody(_) => None,
        }
    }

    pub(super) fn effective(&self) -> Result<Arc<Effective>, ApiError> {
        self.whole_state()?;
        self.effective_so_far()
    }

    /// The same to be printed.
    fn document(&self) -> Result<Arc<Effective>, ApiError> {
        self.whole_state()?;
        self.live().map_or_else(|| self.effective_so_far(), |live| Ok(live.document()))
    }

    /// Half of a state is none.
    fn whole_state(&self) -> Result<(), ApiError> {
        if self.live().is_none_or(|live| live.is_ready()) {
            return Ok(());
        }
        Err(ApiError::new(Reason::Busy, "the daemon is still reading its store")
            .hint("try again in a moment; routerctl status says if something is wrong"))
    }

    /// The same, also while the daemon has not read all of its store.
    pub(super) fn effective_so_far(&self) -> Result<Arc<Effective>, ApiError> {
        match &self.behind {
            Behind::Daemon(live) => Ok(live.effective()),
            Behind::Nobody(_) => offline::effective(&self.reader).map(Arc::new),
        }
    }

    /// The effective config.
    pub fn render(&self, format: RenderFormat) -> Result<Rendered, ApiError> {
        let effective = self.document()?;
        let text = match format {
            RenderFormat::Yaml => effective.yaml().into(),
            RenderFormat::Json => effective.json()?.into(),
        };
        Ok(Rendered { text, revision: effective.revision, digest: effective.digest.clone() })
    }

    /// What was left out of the effective config, and why.
    pub fn report(&self) -> Result<RenderReport, ApiError> {
        let effective = self.effective()?;
        Ok(RenderReport {
            revision: effective.revision,
            digest: effective.digest.clone(),
            report: effective.report()?,
        })
    }

    /// The objects of a Kind, named in any case, in the singular or plural; `all` means all.
    pub fn objects(&self, kind: &str) -> Result<Vec<ObjectView>, ApiError> {
        self.reader.objects(kind, None)
    }

    /// The objects of a Kind with this name: more than one if the Kind exists in several groups.
    pub fn object(&self, kind: &str, name: &str) -> Result<Vec<ObjectView>, ApiError> {
        self.reader.objects(kind, Some(name))
    }

    /// The parts, by subscription and fact.
    pub fn parts(&self) -> Result<Vec<PartView>, ApiError> {
        self.reader.parts()
    }

    /// The part of this name.
    pub fn part(&self, name: &str) -> Result<PartView, ApiError> {
        self.reader.part(name)
    }

    /// The parts as they are stored, inline secrets redacted: for rendering other manifests
    /// against them.
    pub fn stored_parts(&self) -> Result<Vec<Part>, ApiError> {
        let mut parts = self.reader.stored_parts()?;
        for resource in parts.iter_mut().flat_map(|part| &mut part.resources) {
            if let Cow::Owned(shown) = redact(&resource.body, &resource.key) {
                resource.body = shown;
            }
        }
        Ok(parts)
    }

    /// The newest finished runs, of one plugin or of all, newest first; 1,000 at most.
    pub fn runs(
        &self,
        plugin: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<RunView>, ApiError> {
        self.reader.runs(plugin, limit.unwrap_or(MAX_RUNS_LISTED).min(MAX_RUNS_LISTED))
    }

    /// The run of this number.
    pub fn run(&self, number: u64) -> Result<RunView, ApiError> {
        self.reader.run(number)
    }

    /// What fails and is tried again, and what was given up, by subscription and fact; 10,000 at
    /// most.
    pub fn failures(&self, limit: Option<usize>) -> Result<Vec<FailureView>, ApiError> {
        self.reader.failures(limit.unwrap_or(MAX_FAILURES_LISTED).min(MAX_FAILURES_LISTED))
    }

    /// Runs what failed again at once.
    pub async fn retry(&self, filter: &WorkFilter) -> Result<WorkAnswer, ApiError> {
        self.needs_daemon("only a running daemon runs anything again")?;
        Ok(operate::retry(self.reader.store(), filter, self.reader.now()).await?)
    }

    /// Runs what succeeded once more, and what failed.
    pub async fn rerun(&self, filter: &WorkFilter) -> Result<WorkAnswer, ApiError> {
        self.needs_daemon("only a running daemon runs anything again")?;
        Ok(operate::rerun(self.reader.store(), filter, self.reader.now()).await?)
    }

    fn needs_daemon(&self, why: &str) -> Result<&Arc<dyn Live>, ApiError> {
        let refusal = || ApiError::new(Reason::NeedsDaemon, why).hint("start routerd serve");
        self.live().ok_or_else(refusal)
    }

    /// Some events, newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<EventList, ApiError> {
        self.reader.events(filter)
    }

    /// Emits one event; returns when it is durable.
    pub async fn emit(&self, request: EmitRequest) -> Result<Answer, ApiError> {
        let bytes = size_of::<EmitRequest>() + emit::MAX_LINE_BYTES / 16;
        let mut answers = self.emit_parsed(vec![Ok(request)], bytes).await;
        let answer = answers.pop().ok_or_else(|| ApiError::new(Reason::Internal, "no answer"))?;
        match answer.error {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    /// Emits one event a line in one transaction; one answer a line, in order. At most
    /// [`MAX_BATCH_LINES`](super::MAX_BATCH_LINES) lines.
    pub async fn emit_lines(&self, lines: &[Bytes]) -> Vec<Answer> {
        let bytes = lines.iter().map(Bytes::len).sum();
        self.emit_parsed(lines.iter().map(|line| emit::parse(line)).collect(), bytes).await
    }

    async fn emit_parsed(&self, events: Vec<emit::Parsed>, bytes: usize) -> Vec<Answer> {
        // A world that is not read has no group and no room in it.
        if let Err(error) = self.whole_state() {
            return events
                .iter()
                .map(|event| Answer::refused(emit::id(event), error.clone()))
                .collect();
        }
        let (counting, fallback) = match &self.behind {
            Behind::Daemon(live) => (Counting::Live(live.reception()), Arc::new(BTreeMap::new())),
            Behind::Nobody(offline) => (Counting::RowByRow, offline.groups()),
        };
        let batch = Batch { now: self.reader.now(), counting, fallback, events };
        emit::emit(self.reader.store(), batch, bytes).await
    }

    /// A new event id of node time.
    pub fn new_id(now: crate::api::Time) -> String {
        emit::new_id(now)
    }

    /// The revision of the effective config: at once without `after`, else as soon as it is another
    /// one, or has another digest if one is given. After 20 s the present one is answered, changed or
    /// not: the caller asks again.
    pub async fn revision(
        &self,
        after: Option<u64>,
        digest: Option<String>,
    ) -> Result<EffectiveRevision, ApiError> {
        let live = self.needs_daemon("only a running daemon has revisions to watch")?;
        let Some(after) = after else { return Ok(live.revision()) };
        let changed = tokio::time::timeout(WATCH, live.revision_after(after, digest)).await;
        Ok(changed.unwrap_or_else(|_| live.revision()))
    }

    /// Waits until all is processed, or the time is over.
    pub async fn wait(&self, request: WaitRequest) -> Result<WaitAnswer, ApiError> {
        let live = self.live().ok_or_else(|| {
            ApiError::new(Reason::NeedsDaemon, "only a running daemon converges")
                .hint("start routerd serve, or run routerd serve --once")
        })?;
        let timeout = request.timeout.unwrap_or(DEFAULT_WAIT);
        if timeout > MAX_WAIT {
            return Err(ApiError::invalid(format!("timeout: {timeout}; {MAX_WAIT} at most"))
                .hint("wait again when the time is over"));
        }
        let mut converge = live.converge(request.deliveries);
        let mut converged = tokio::time::timeout(timeout.get(), &mut converge).await.ok();
        if converged.is_none() && live.pending(request.deliveries).is_empty() {
            converged = tokio::time::timeout(LOOK, &mut converge).await.ok();
        }
        Ok(match converged {
            Some(converged) => WaitAnswer {
                converged: true,
                revision: Some(converged.revision),
                pending: Vec::new(),
            },
            None => WaitAnswer {
                converged: false,
                revision: None,
                pending: live.pending(request.deliveries),
            },
        })
    }
}

/// JSON and a line break.
pub(super) fn json_line(value: &impl Serialize) -> Result<Bytes, ApiError> {
    let mut text = serde_json::to_vec(value)
        .map_err(|error| ApiError::new(Reason::Internal, format!("cannot encode: {error}")))?;
    text.push(b'\n');
    Ok(text.into())
}
