//! One request: the checks in their order, then the events, then the answer.
//!
//! The order is the protocol's, and it is the order of cost: method, size, rate; then the body;
//! then timestamp and signature; only then is JSON read, and only then the store touched.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use super::Outside;
use super::admission::{Admission, Header};
use super::body::{self, Budget};
use super::commit::{self, by_node, verified_by};
use super::decode::{Decoded, Format, decode};
use super::figures::Figures;
use super::limits::Limits;
use super::rate::Buckets;
use super::refusal::Refusal;
use super::source::Source;
use crate::api::event::Event;
use crate::federation::wire::{
    BATCH_PATH, BatchAnswer, BatchResult, EVENTS_PATH, EventAnswer, FEATURE_BATCH,
    FEATURE_CLOUDEVENTS, SIGNATURE_HEADER, STATUS_PATH, STORE_HEADER, Status, TIMESTAMP_HEADER,
};
use crate::store::events::Outcome;

/// What an answer is made of.
pub type Answer = Response<Full<Bytes>>;

/// What all listeners of a node share.
pub struct Gate {
    /// Clock, store and what the controllers know.
    pub outside: Outside,
    /// Bounds.
    pub limits: Limits,
    /// Bytes of bodies under way.
    pub bodies: Budget,
    requests: Buckets<Source>,
    failures: Buckets<Source>,
    peers: Buckets<String>,
}

/// One connection, as its requests see it.
#[derive(Debug, Default)]
pub struct Caller {
    /// Where it comes from.
    pub source: Source,
    /// The names in its certificate, if it had to show one.
    pub certificate: Option<Vec<String>>,
    /// The key that held last.
    pub hint: std::sync::atomic::AtomicUsize,
}

/// What one request needs of its listener.
pub struct Desk<'a> {
    /// What all share.
    pub gate: &'a Gate,
    /// What is admitted now.
    pub admission: Arc<Admission>,
    /// What is counted.
    pub figures: &'a Figures,
}

impl Gate {
    /// A gate with nobody at it.
    pub fn new(outside: Outside, limits: Limits) -> Self {
        Self {
            bodies: Budget::new(limits.bodies, limits.bodies_per_source),
            outside,
            limits,
            requests: Buckets::default(),
            failures: Buckets::default(),
            peers: Buckets::default(),
        }
    }
}

impl Desk<'_> {
    /// Answers a request.
    pub async fn answer<B>(&self, caller: &Caller, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes>,
    {
        let answered = match Route::of(request.uri().path()) {
            None => Err(Refusal::NoRoute),
            Some(route) if request.method() != route.method() => {
                Err(Refusal::Method(route.method()))
            }
            Some(Route::Status) => self.status(caller),
            Some(Route::Events) => {
                let format = Format::of(text(request.headers(), CONTENT_TYPE.as_str()));
                self.events(caller, format, request).await
            }
            Some(Route::Batch) => self.events(caller, Format::Batch, request).await,
        };
        answered.unwrap_or_else(|refusal| {
            self.figures.rejected(&refusal);
            refused(&refusal)
        })
    }

    fn status(&self, caller: &Caller) -> Result<Answer, Refusal> {
        let gate = self.gate;
        let rate = gate.limits.requests;
        gate.requests.take(&caller.source, rate, 1, Instant::now()).map_err(Refusal::Rate)?;
        let counts = self.figures.counts();
        let admission = &self.admission;
        Ok(json(
            StatusCode::OK,
            &Status {
                node: admission.node.clone(),
                group: admission.group.to_string(),
                received: counts.received,
                duplicate: counts.duplicate,
                rejected: counts.rejected_total(),
                stored_events: (gate.outside.stored)(&admission.group),
                replay_window_seconds: admission.window.as_secs(),
                store_id: Some(gate.outside.store.id().to_string()),
                features: vec![FEATURE_BATCH.to_owned(), FEATURE_CLOUDEVENTS.to_owned()],
            },
        ))
    }

    async fn events<B>(
        &self,
        caller: &Caller,
        format: Format,
        request: Request<B>,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        self.within_limits(caller, format, request.headers())?;
        let (head, body) = request.into_parts();
        let (time, budget) = (self.gate.limits.body, &self.gate.bodies);
        let body = body::read(caller.source, body, format.limit(), time, budget).await;
        if matches!(body, Err(Refusal::Slow)) {
            self.count_failure(caller);
        }
        // What is held of the budget is given back when the answer is made.
        let (body, _held) = body?;
        let speaker = self.verify(caller, &head.headers, &body)?;
        let Decoded { events, ignored } = decode(format, &self.admission.group, &body)?;
        drop(body);
        self.figures.ignored(ignored);
        let certificate = caller.certificate.as_deref();
        let ids: Vec<String> = events.iter().map(id).collect();
        let allowed: Vec<Result<Event, Refusal>> = events
            .into_iter()
            .map(|event| {
                let event = event?;
                self.admission.allows(&speaker, certificate, &event)?;
                Ok(event)
            })
            .collect();
        self.within_peers_rates(allowed.iter().flatten())?;
        let outcomes = self.commit(allowed, verified_by(&speaker, certificate)).await?;
        self.report(format, ids, outcomes)
    }

    /// What can be told from the head alone.
    fn within_limits(
        &self,
        caller: &Caller,
        format: Format,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let encodings = headers.get_all(CONTENT_ENCODING);
        if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::Encoding);
        }
        // Whoever takes the chunks apart leaves what is in them as it is.
        let transfers = headers.get_all(TRANSFER_ENCODING);
        if transfers.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err(Refusal::Encoding);
        }
        let declared = text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        if declared.is_some_and(|declared: u64| declared > format.limit() as u64) {
            return Err(Refusal::TooLarge(format.limit()));
        }
        let (gate, now) = (self.gate, Instant::now());
        let limits = &gate.limits;
        gate.failures.look(&caller.source, limits.failures, now).map_err(Refusal::Rate)?;
        gate.requests.take(&caller.source, limits.requests, 1, now).map_err(Refusal::Rate)
    }

    fn verify(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<super::admission::Speaker, Refusal> {
        use std::sync::atomic::Ordering::Relaxed;
        let mut hint = caller.hint.load(Relaxed);
        let (timestamp, signature) =
            (one(headers, TIMESTAMP_HEADER), one(headers, SIGNATURE_HEADER));
        let now = self.gate.outside.clock.now();
        let verified = self.admission.verify(now, timestamp, signature, body, &mut hint);
        caller.hint.store(hint, Relaxed);
        if verified == Err(Refusal::Signature) {
            self.count_failure(caller);
        }
        verified
    }

    /// Counts a request that cost something and was worth nothing; it is refused in any case.
    fn count_failure(&self, caller: &Caller) {
        let (source, rate) = (&caller.source, self.gate.limits.failures);
        _ = self.gate.failures.take(source, rate, 1, Instant::now());
    }

    /// How fast each node may send is its EventPeer's to say.
    fn within_peers_rates<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<(), Refusal> {
        let bounded =
            by_node(events.filter(|event| self.admission.rate(&event.source_node).is_some()));
        for (node, count) in bounded {
            if let Some(rate) = self.admission.rate(node) {
                let key = format!("{}/{node}", self.admission.group);
                let peers = &self.gate.peers;
                peers.take(key.as_str(), rate, count, Instant::now()).map_err(Refusal::Rate)?;
            }
        }
        Ok(())
    }

    /// Commits what is allowed; what is not keeps its place.
    async fn commit(
        &self,
        events: Vec<Result<Event, Refusal>>,
        verified_by: Arc<str>,
    ) -> Result<commit::Outcomes, Refusal> {
        let mut outcomes: commit::Outcomes = Vec::with_capacity(events.len());
        let mut good = Vec::with_capacity(events.len());
        let mut places = Vec::with_capacity(events.len());
        for (place, event) in events.into_iter().enumerate() {
            match event {
                Ok(event) => {
                    good.push(event);
                    places.push(place);
                    // Replaced below.
                    outcomes.push(Ok(Outcome::Duplicate));
                }
                Err(refusal) => outcomes.push(Err(refusal)),
            }
        }
        if !good.is_empty() {
            let admission = Arc::clone(&self.admission);
            let done = commit::commit(&self.gate.outside, admission, verified_by, good).await?;
            for (place, outcome) in places.into_iter().zip(done) {
                outcomes[place] = outcome;
            }
        }
        Ok(outcomes)
    }

    fn report(
        &self,
        format: Format,
        ids: Vec<String>,
        outcomes: commit::Outcomes,
    ) -> Result<Answer, Refusal> {
        for outcome in outcomes.iter().flatten() {
            self.figures.accepted(*outcome);
        }
        let mut answer = if format.is_list() {
            // Refused events of a list are counted here, a single one where it is answered.
            outcomes.iter().filter_map(|o| o.as_ref().err()).for_each(|r| self.figures.rejected(r));
            let results = ids.into_iter().zip(outcomes).map(|(id, outcome)| result(id, outcome));
            json(StatusCode::OK, &BatchAnswer { results: results.collect() })
        } else {
            let (id, outcome) = ids
                .into_iter()
                .zip(outcomes)
                .next()
                .ok_or_else(|| Refusal::NotAnEvent("there is none".to_owned()))?;
            let duplicate = outcome? == Outcome::Duplicate;
            json(StatusCode::OK, &EventAnswer { accepted: true, id, duplicate, error: None })
        };
        let store = self.gate.outside.store.id().to_string();
        if let Ok(store) = HeaderValue::from_str(&store) {
            answer.headers_mut().insert(STORE_HEADER, store);
        }
        Ok(answer)
    }
}

/// The paths.
#[derive(Debug, Clone, Copy)]
enum Route {
    Events,
    Batch,
    Status,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            EVENTS_PATH => Some(Self::Events),
            BATCH_PATH => Some(Self::Batch),
            STATUS_PATH => Some(Self::Status),
            _ => None,
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Events | Self::Batch => Method::POST,
            Self::Status => Method::GET,
        }
    }
}

fn id(event: &Result<Event, Refusal>) -> String {
    event.as_ref().map(|event| event.id.clone()).unwrap_or_default()
}

fn result(id: String, outcome: Result<Outcome, Refusal>) -> BatchResult {
    match outcome {
        Ok(outcome) => BatchResult {
            id,
            status: StatusCode::OK.as_u16(),
            accepted: true,
            duplicate: outcome == Outcome::Duplicate,
            error: None,
        },
        Err(refusal) => BatchResult {
            id,
            status: refusal.status().as_u16(),
            accepted: false,
            duplicate: false,
            error: Some(refusal.to_string()),
        },
    }
}

/// The answer to a request that is not taken.
pub fn refused(refusal: &Refusal) -> Answer {
    let error = Some(refusal.to_string());
    let mut answer = json(refusal.status(), &EventAnswer { error, ..EventAnswer::default() });
    let headers = answer.headers_mut();
    if let Some(after) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, seconds(after).into());
    }
    if let Refusal::Method(method) = refusal
        && let Ok(method) = HeaderValue::from_str(method.as_str())
    {
        headers.insert(ALLOW, method);
    }
    answer
}

/// Whole seconds, at least one.
fn seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0 || after.is_zero())
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("our own shapes are JSON");
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Header<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => Header::Once(value.as_bytes()),
        (Some(_), Some(_)) => Header::Many,
    }
}

#[cfg(test)]
mod tests;
