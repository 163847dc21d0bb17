//! Emitting: from what an operator or a script gives to an accepted event.
//!
//! Fills in what may be left out, finds the group, and hands over to the store's one set of rules.
//! Many events share a transaction, each with its own answer: a bad one never touches the others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{ApiError, Reason, with_sources};
use super::kinds;
use super::read::spec_of;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::decode::nearest;
use crate::api::duration::GoDuration;
use crate::api::event::{Event, time_of};
use crate::api::fact::add;
use crate::api::kinds::federation::{EventGroupSpec, EventSubscriptionSpec};
use crate::api::members::{Members, MembersError, short};
use crate::api::payload::Payload;
use crate::store::events::{Outcome, Receipt, Reception, Refusal, accept, speaks_of};
use crate::store::tables::FactRow;
use crate::store::{Revision, Scan, Store, StoreError, Txn};

/// Events of one transaction at most.
pub const MAX_BATCH_LINES: usize = 1_000;
/// Bytes of lines in one transaction, at most.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Members that are not known and are named in an answer.
const NAMED: usize = 16;
/// Bytes of one event as JSON, at most: a full payload with every character escaped, and room.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// An event to emit. Members of the envelope as in [`Event`], all but `group` and `type` optional.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmitRequest {
    /// Default: a new UUIDv7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The EventGroup.
    pub group: String,
    /// Such as `routerd.client.ipv4.observed`.
    pub r#type: String,
    /// Default: the group's `nodeName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_node: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Names the fact where the subject does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_key: Option<String>,
    /// What else is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<String>,
    /// When it stops being true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The same, counted from `observedAt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Members that are not known: ignored and named in the answer.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The event's id, given or made; empty if the request could not be read.
    pub id: String,
    /// Whether it is durable on this node.
    pub accepted: bool,
    /// Whether it was known already and changed nothing.
    pub duplicate: bool,
    /// Whether it was known and took later times.
    pub refreshed: bool,
    /// The store's revision that holds it; 0 if it was refused.
    pub revision: Revision,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// Members that were not known and had no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

impl Answer {
    /// A refusal.
    pub fn refused(id: impl Into<String>, error: ApiError) -> Self {
        Self {
            id: id.into(),
            accepted: false,
            duplicate: false,
            refreshed: false,
            revision: 0,
            error: Some(error),
            ignored: Vec::new(),
        }
    }

    fn accepted(id: String, outcome: Outcome, ignored: Vec<String>) -> Self {
        Self {
            id,
            accepted: true,
            duplicate: outcome == Outcome::Duplicate,
            refreshed: outcome == Outcome::Refreshed,
            revision: 0,
            error: None,
            ignored,
        }
    }
}

/// Members that `get events` shows beside the envelope: its output may be emitted again as it is.
const SHOWN: &[&str] =
    &["receivedAt", "receivedFrom", "verifiedBy", "seq", "fact", "current", "live", "liveUntil"];

/// Where live facts are counted.
pub(super) enum Counting {
    /// By the daemon, which also writes what the events make due.
    Live(Arc<dyn Reception>),
    /// Row by row, when a transaction begins: nobody else writes meanwhile.
    RowByRow,
}

/// One line of a batch, read.
pub(super) type Parsed = Result<EmitRequest, ApiError>;

/// Reads one event.
pub(super) fn parse(line: &[u8]) -> Parsed {
    if line.len() > MAX_LINE_BYTES {
        return Err(ApiError::new(
            Reason::TooLarge,
            format!("an event is {MAX_LINE_BYTES} bytes of JSON at most"),
        ));
    }
    EmitRequest::read(line).map_err(|error| {
        ApiError::invalid(format!("not an event: {error}"))
            .hint(r#"one JSON object a line, such as {"group": "g", "type": "t", "subject": "s"}"#)
    })
}

/// Everything a batch needs in the transaction.
pub(super) struct Batch {
    pub now: Time,
    pub counting: Counting,
    /// Groups known from elsewhere, used where the store has none of the name.
    pub fallback: Arc<BTreeMap<String, EventGroupSpec>>,
    pub events: Vec<Parsed>,
}

/// The id that an event brings, if it reads and has one.
pub(super) fn id(event: &Parsed) -> String {
    event.as_ref().ok().and_then(|event| event.id.clone()).unwrap_or_default()
}

/// Accepts a batch in one transaction; one answer an event, in order.
pub(super) async fn emit(store: &Store, batch: Batch, bytes: usize) -> Vec<Answer> {
    let ids: Vec<String> = batch.events.iter().map(id).collect();
    fail::fail_point!("control::before_accept");
    let written = store.write_sized(bytes, move |txn| run(txn, &batch)).await;
    fail::fail_point!("control::before_answer");
    match written.map_err(ApiError::from) {
        Ok(committed) => {
            let mut answers = committed.value;
            for answer in answers.iter_mut().filter(|answer| answer.accepted) {
                answer.revision = committed.revision;
            }
            answers
        }
        Err(error) => ids.into_iter().map(|id| Answer::refused(id, error.clone())).collect(),
    }
}

fn run(txn: &mut Txn<'_>, batch: &Batch) -> Result<Vec<Answer>, ApiError> {
    let mut groups = Groups { batch, found: HashMap::new() };
    let mut answers = Vec::with_capacity(batch.events.len());
    for (index, event) in batch.events.iter().enumerate() {
        let answer = match event {
            Err(error) => Answer::refused("", error.clone()),
            Ok(request) => one(txn, index, request, &mut groups)?,
        };
        answers.push(answer);
    }
    if let Counting::Live(reception) = &batch.counting {
        groups
            .found
            .iter()
            .for_each(|(name, group)| reception.made(txn.revision(), name, group.made));
    }
    Ok(answers)
}

/// Accepts one event. The error is the store's and ends the whole transaction.
fn one(
    txn: &mut Txn<'_>,
    index: usize,
    request: &EmitRequest,
    groups: &mut Groups<'_>,
) -> Result<Answer, ApiError> {
    let given = request.id.clone().unwrap_or_default();
    let (batch, now) = (groups.batch, groups.batch.now);
    let group = match groups.find(txn, &request.group)? {
        Ok(group) => group,
        Err(error) => return Ok(Answer::refused(given, error)),
    };
    let event = match request.event(&group.spec.node_name, now) {
        Ok(event) => event,
        Err(error) => return Ok(Answer::refused(given, error)),
    };
    let id = event.id.clone();
    let key = (event.group.clone(), event.id.clone());
    let left = match (&group.counted, &batch.counting) {
        (Some(counted), _) => counted.left(txn, &event)?,
        (None, Counting::Live(reception)) => reception.left(txn, &event)?,
        (None, Counting::RowByRow) => None,
    };
    let receipt = Receipt {
        now,
        received_from: "local".to_owned(),
        verified_by: String::new(),
        replay_window: group.spec.replay_window.get(),
        max_age: group.spec.retention.max_age.get(),
        room: left.map(|left| left.saturating_sub(group.made)),
    };
    match accept(txn, index, event, &receipt) {
        Ok(outcome) => {
            if let (Outcome::New { .. }, Counting::Live(reception)) = (outcome, &batch.counting) {
                reception.accepted(txn, &key, now)?;
            }
            // What needs no room takes none from others.
            group.made += u64::from(outcome == Outcome::New { made_fact: true } && left.is_some());
            Ok(Answer::accepted(id, outcome, ignored(request)))
        }
        Err(Refusal::Store(error)) => Err(error.into()),
        Err(refusal) => Ok(Answer::refused(id, explain(&refusal, &group.spec))),
    }
}

/// The members that nobody knows, as far as an answer names them.
fn ignored(request: &EmitRequest) -> Vec<String> {
    let unknown = || request.unknown.iter().filter(|name| !SHOWN.contains(&name.as_str()));
    let mut names: Vec<String> =
        unknown().take(NAMED).map(|name| short(name).into_owned()).collect();
    let more = unknown().count().saturating_sub(NAMED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names
}

fn explain(refusal: &Refusal, spec: &EventGroupSpec) -> ApiError {
    let message = with_sources(refusal);
    match refusal {
        Refusal::Invalid(_) | Refusal::Store(_) => ApiError::new(Reason::Invalid, message),
        Refusal::Conflict { .. } => ApiError::new(Reason::Conflict, message)
            .hint("give another observation another id, or leave the id out"),
        Refusal::GroupFull { .. } => ApiError::new(Reason::GroupFull, message).hint(format!(
            "raise spec.limits.maxLiveFacts (now {}), or give facts a shorter ttl",
            spec.limits.max_live_facts
        )),
    }
}

impl EmitRequest {
    /// Reads one from JSON.
    pub fn read(json: &[u8]) -> Result<Self, MembersError> {
        let mut members = Members::read(json)?;
        Ok(Self {
            id: members.nullable("id")?,
            group: members.text("group")?.unwrap_or_default(),
            r#type: members.text("type")?.unwrap_or_default(),
            source_node: members.nullable("sourceNode")?,
            subject: members.nullable("subject")?,
            dedupe_key: members.nullable("dedupeKey")?,
            payload: members.texts("payload")?,
            observed_at: members.nullable("observedAt")?,
            expires_at: members.nullable("expiresAt")?,
            ttl: members.nullable("ttl")?,
            unknown: members.rest().collect(),
        })
    }

    /// The event that is meant, on this node at this time, with what was left out filled in.
    pub fn event(&self, node_name: &str, now: Time) -> Result<Event, ApiError> {
        fill(self, node_name, now)
    }
}

fn fill(request: &EmitRequest, node_name: &str, now: Time) -> Result<Event, ApiError> {
    let observed_at = time("observedAt", request.observed_at.as_deref())?.unwrap_or(now);
    let expires_at = match (time("expiresAt", request.expires_at.as_deref())?, &request.ttl) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("ttl: given beside expiresAt")
                .hint("they say the same thing; give one of them"));
        }
        (given, None) => given,
        (None, Some(ttl)) => Some(add(observed_at, lifetime(ttl)?)),
    };
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    Ok(Event {
        id: request.id.clone().unwrap_or_else(|| new_id(now)),
        group: request.group.clone(),
        r#type: request.r#type.clone(),
        source_node: match &request.source_node {
            Some(node) if !node.is_empty() => node.clone(),
            _ => node_name.to_owned(),
        },
        subject: text(&request.subject),
        dedupe_key: text(&request.dedupe_key),
        payload: request.payload.clone().unwrap_or_default(),
        observed_at: Some(observed_at),
        expires_at,
    })
}

fn lifetime(ttl: &str) -> Result<Duration, ApiError> {
    let ttl: GoDuration =
        ttl.parse().map_err(|error| ApiError::invalid(format!("ttl: {error}")))?;
    if ttl.is_zero() {
        return Err(ApiError::invalid("ttl: is 0s; the event would have expired already")
            .hint("leave it out to let the group's retention.maxAge decide"));
    }
    Ok(ttl.get())
}

/// A time of the envelope, by the rule for what peers send.
fn time(field: &str, text: Option<&str>) -> Result<Option<Time>, ApiError> {
    time_of(text).map_err(|error| ApiError::invalid(format!("{field}: {error}")))
}

/// A UUIDv7 of node time.
pub(super) fn new_id(now: Time) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds);
    uuid::Uuid::new_v7(stamp).to_string()
}

/// The groups of one batch, each looked up once.
struct Groups<'a> {
    batch: &'a Batch,
    found: HashMap<String, Group>,
}

struct Group {
    spec: EventGroupSpec,
    /// Where no daemon counts.
    counted: Option<Counted>,
    /// Facts that this transaction has made.
    made: u64,
}

impl Groups<'_> {
    fn find(
        &mut self,
        txn: &Txn<'_>,
        name: &str,
    ) -> Result<Result<&mut Group, ApiError>, ApiError> {
        if !self.found.contains_key(name) {
            let spec = match self.look_up(txn, name)? {
                Ok(spec) => spec,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let counted = match &self.batch.counting {
                Counting::Live(_) => None,
                Counting::RowByRow => Some(Counted::new(txn, name, &spec, self.batch.now)?),
            };
            self.found.insert(name.to_owned(), Group { spec, counted, made: 0 });
        }
        Ok(Ok(self.found.get_mut(name).expect("looked up just now")))
    }

    fn look_up(
        &self,
        txn: &Txn<'_>,
        name: &str,
    ) -> Result<Result<EventGroupSpec, ApiError>, StoreError> {
        if name.is_empty() {
            return Ok(Err(ApiError::invalid("group: is required")
                .hint("name the EventGroup that the event belongs to")));
        }
        let stored = txn.get::<Accepted>(&kinds::key("EventGroup", name))?;
        let spec = stored.as_ref().and_then(spec_of);
        let Some(spec) = spec.or_else(|| self.batch.fallback.get(name).cloned()) else {
            return Ok(Err(self.unknown(txn, name)?));
        };
        Ok(Ok(spec))
    }

    fn unknown(&self, txn: &Txn<'_>, name: &str) -> Result<ApiError, StoreError> {
        let mut known: Vec<String> = self.batch.fallback.keys().cloned().collect();
        for row in txn.scan::<Accepted>(&Scan::prefix(&"EventGroup".to_owned())) {
            known.push(row?.resource.key.name);
        }
        let error = ApiError::new(
            Reason::UnknownGroup,
            format!("group: no EventGroup {name:?} is accepted on this node"),
        );
        Ok(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None if known.is_empty() => error.hint("add a manifest of kind EventGroup first"),
            None => error.hint(format!("accepted groups: {}", known.join(", "))),
        })
    }
}

/// The live facts of a group, counted row by row.
struct Counted {
    limit: u64,
    /// Live facts by type.
    live: HashMap<String, u64>,
    /// The types of fact that are ended, by the type of event that ends them.
    retracted_by: HashMap<String, Vec<String>>,
}

impl Counted {
    fn new(
        txn: &Txn<'_>,
        group: &str,
        spec: &EventGroupSpec,
        now: Time,
    ) -> Result<Self, StoreError> {
        let max_age = spec.retention.max_age.get();
        let mut live: HashMap<String, u64> = HashMap::new();
        // A fact whose end is on record is live no more.
        for fact in txn.scan::<FactRow>(&Scan::all()) {
            let fact = fact?;
            if fact.group == group && !fact.is_over(max_age, now) {
                *live.entry(fact.event_type).or_default() += 1;
            }
        }
        let mut retracted_by: HashMap<String, Vec<String>> = HashMap::new();
        for row in txn.scan::<Accepted>(&Scan::prefix(&"EventSubscription".to_owned())) {
            let spec = spec_of::<EventSubscriptionSpec>(&row?);
            let Some(spec) = spec.filter(|spec| spec.group_ref == group) else { continue };
            for r#type in spec.r#match.retract_types {
                retracted_by.entry(r#type).or_default().extend(spec.r#match.types.iter().cloned());
            }
        }
        Ok(Self { limit: spec.limits.max_live_facts, live, retracted_by })
    }

    /// As the daemon counts, see [`Reception::left`].
    fn left(&self, txn: &Txn<'_>, event: &Event) -> Result<Option<u64>, StoreError> {
        let retracts = |r#type: &str| self.retracted_by.contains_key(r#type);
        if let Some(retracted) = self.retracted_by.get(&event.r#type)
            && speaks_of(txn, event, retracted)?
        {
            return Ok(None);
        }
        let alike =
            self.live.iter().filter(|(r#type, _)| retracts(r#type) == retracts(&event.r#type));
        Ok(Some(self.limit.saturating_sub(alike.map(|(_, count)| count).sum())))
    }
}
