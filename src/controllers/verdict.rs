//! What a plugin's answer is worth: validation of a PluginResult, item by item. Pure.
//!
//! A fault of the whole answer (not readable, wrong kind, bad ttl, an unmarked resource among many
//! events) fails the run. A fault of one event's share fails that event only.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::api::Time;
use crate::api::decode::{Problem, decode_value, decode_value_tolerant};
use crate::api::fact::add;
use crate::api::kinds::decode::decode_value as decode_resource;
use crate::api::kinds::plugin::{Capability, PluginSpec};
use crate::api::kinds::registry;
use crate::api::object::{Resource, annotation};
use crate::api::part::{Directive, DirectiveOp};
use crate::api::plugin::{API_VERSION, PluginResult};
use crate::api::value::{Value, canonical_bytes};
use crate::api::yaml::{Limits, parse_documents};

/// The shortest ttl of a result.
pub const MIN_TTL: Duration = Duration::from_secs(10);
/// The longest ttl of a result.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Resources, directives and plans of one event at most.
const MAX_ITEMS: usize = 1000;

/// Why an answer, or one event's share of it, was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// CamelCase word for programs.
    pub reason: &'static str,
    /// A sentence that names the field.
    pub message: String,
}

impl Fault {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// One event's valid share of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// When the plugin observed it.
    pub observed_at: Time,
    /// When it stops holding.
    pub expires_at: Time,
    /// Proposed resources.
    pub resources: Vec<Resource>,
    /// Proposed directives.
    pub directives: Vec<Directive>,
    /// Proposed actions.
    pub action_plans: Vec<Value>,
    /// Digest of the three.
    pub digest: String,
}

/// The verdict on a whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Each event's share, in the order of the request.
    pub items: Vec<Result<Content, Fault>>,
    /// What was tolerated.
    pub warnings: Vec<String>,
}

/// Judges `stdout` as the answer about the events of these ids, of a run from `started` to `ended`.
pub fn judge(
    stdout: &[u8],
    spec: &PluginSpec,
    events: &[&str],
    started: Time,
    ended: Time,
) -> Result<Verdict, Fault> {
    let (result, mut warnings) = read(stdout)?;
    let status = result.status;
    let ttl = status
        .ttl
        .ok_or_else(|| Fault::new("BadResult", "status.ttl: is required (10s to 720h)"))?
        .get();
    if !(MIN_TTL..=MAX_TTL).contains(&ttl) {
        let message = format!("status.ttl: {ttl:?} is not within 10s and 720h (30 days)");
        return Err(Fault::new("BadResult", message));
    }
    if !status.events.is_empty() {
        warnings.push(format!("status.events: {} recorded, none emitted", status.events.len()));
    }
    let observed_at = status.observed_at.unwrap_or(started).clamp(started, ended.max(started));
    let expires_at = add(observed_at, ttl);
    if expires_at <= ended {
        let message = format!(
            "status.ttl: {ttl:?} after {observed_at} was over when the run ended; give a longer ttl \
             or a later observedAt"
        );
        return Err(Fault::new("Expired", message));
    }
    let mut shares: Vec<Share> = events.iter().map(|_| Share::default()).collect();
    let places: BTreeMap<&str, usize> =
        events.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let place = |what: &str, at: usize, mark: Option<&str>| whose(&places, what, at, mark);
    for (at, resource) in status.resources.into_iter().enumerate() {
        let mark = resource
            .get("metadata")
            .and_then(|m| m.get("annotations"))
            .and_then(|a| a.get(annotation::EVENT_ID))
            .and_then(Value::as_str);
        let whose = place("resources", at, mark)?;
        shares[whose].resources.push((at, resource));
    }
    for (at, directive) in status.directives.into_iter().enumerate() {
        let whose = place("directives", at, directive.get("eventID").and_then(Value::as_str))?;
        shares[whose].directives.push((at, directive));
    }
    for (at, plan) in status.action_plans.into_iter().enumerate() {
        let whose = place("actionPlans", at, plan.get("eventID").and_then(Value::as_str))?;
        shares[whose].action_plans.push((at, plan));
    }
    let items = shares
        .into_iter()
        .map(|share| share.validate(spec, observed_at, expires_at, &mut warnings))
        .collect();
    Ok(Verdict { items, warnings })
}

fn read(stdout: &[u8]) -> Result<(PluginResult, Vec<String>), Fault> {
    let bad = |message: String| Fault::new("BadResult", message);
    // Most plugins answer in JSON, and the quick way to read that has no words for its faults.
    let value = match Value::from_json(stdout) {
        Some(value @ Value::Map(_)) => value,
        _ => read_yaml(stdout)?,
    };
    let (result, unknown) = decode_value_tolerant::<PluginResult>(&value, "")
        .map_err(|problems| bad(listed(&problems)))?;
    if result.api_version != API_VERSION || result.kind != "PluginResult" {
        return Err(bad(format!(
            "stdout: is {} {}; a plugin answers {API_VERSION} PluginResult",
            result.api_version, result.kind
        )));
    }
    Ok((result, unknown.iter().map(|p| format!("{p}; ignored")).collect()))
}

/// An answer is 1 MiB of text. Aliases do not make more of it than the memory that is for one run.
const ANSWER: Limits = Limits {
    file_bytes: 1 << 20,
    documents: 2,
    depth: 64,
    nodes: 100_000,
    text_bytes: 4 << 20,
    scalar_bytes: 1 << 20,
    flow_marks: 100_000,
};

fn read_yaml(stdout: &[u8]) -> Result<Value, Fault> {
    let bad = |message: String| Fault::new("BadResult", message);
    let mut documents = parse_documents(stdout, &ANSWER);
    if let Some(error) = documents.error {
        return Err(bad(format!("stdout:{}: {}", error.pos, error.message)));
    }
    let document = match (documents.docs.pop(), documents.docs.is_empty()) {
        (None, _) => return Err(Fault::new("EmptyResult", "stdout: nothing was written to it")),
        (Some(document), true) => document,
        (Some(_), false) => {
            return Err(bad("stdout: holds more than one document; write one PluginResult".into()));
        }
    };
    Value::try_from(&document).map_err(|problems| bad(listed(&problems)))
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("stdout:{p}")).collect::<Vec<_>>().join("; ")
}

/// Which event of the request an item of the answer is for.
fn whose(
    places: &BTreeMap<&str, usize>,
    what: &str,
    at: usize,
    mark: Option<&str>,
) -> Result<usize, Fault> {
    let how = if what == "resources" { "the annotation routerd.net/event-id" } else { "eventID" };
    match mark {
        Some(id) => places.get(id).copied().ok_or_else(|| {
            let message = format!(
                "status.{what}[{at}]: {how} names {id:?}, which is not an event of this run"
            );
            Fault::new("WrongMark", message)
        }),
        None if places.len() == 1 => Ok(0),
        None => {
            let message = format!(
                "status.{what}[{at}]: {how} is missing; with more than one event each item must \
                 name the one it answers"
            );
            Err(Fault::new("Unmarked", message))
        }
    }
}

#[derive(Debug, Default)]
struct Share {
    resources: Vec<(usize, Value)>,
    directives: Vec<(usize, Value)>,
    action_plans: Vec<(usize, Value)>,
}

impl Share {
    fn validate(
        self,
        spec: &PluginSpec,
        observed_at: Time,
        expires_at: Time,
        warnings: &mut Vec<String>,
    ) -> Result<Content, Fault> {
        let count = self.resources.len() + self.directives.len() + self.action_plans.len();
        if count > MAX_ITEMS {
            let message = format!("status: {count} items for one event; {MAX_ITEMS} at most");
            return Err(Fault::new("TooMany", message));
        }
        let may = |capability| spec.capabilities.contains(&capability);
        if !may(Capability::ProposeDynamicConfig)
            && (!self.resources.is_empty() || !self.directives.is_empty())
        {
            return Err(Fault::new(
                "NotCapable",
                "status: resources and directives need the capability propose.dynamicConfig",
            ));
        }
        if !may(Capability::ProposeProviderAction) && !self.action_plans.is_empty() {
            return Err(Fault::new(
                "NotCapable",
                "status: actionPlans need the capability propose.providerAction",
            ));
        }
        let mut resources = Vec::with_capacity(self.resources.len());
        for (at, value) in self.resources {
            let resource = resource(at, &value, spec, warnings)?;
            if resources.iter().any(|other: &Resource| other.key == resource.key) {
                let message = format!("status.resources[{at}]: {} is proposed twice", resource.key);
                return Err(Fault::new("BadResource", message));
            }
            resources.push(resource);
        }
        let directives = self
            .directives
            .iter()
            .map(|(at, value)| directive(*at, value))
            .collect::<Result<Vec<_>, _>>()?;
        let action_plans: Vec<Value> =
            self.action_plans.into_iter().map(|(_, plan)| plan).collect();
        let digest = digest(&resources, &directives, &action_plans);
        Ok(Content { observed_at, expires_at, resources, directives, action_plans, digest })
    }
}

fn resource(
    at: usize,
    value: &Value,
    spec: &PluginSpec,
    warnings: &mut Vec<String>,
) -> Result<Resource, Fault> {
    let base = format!("status.resources[{at}]");
    // Before all else: whatever is wrong with it besides would be no help.
    let word = |field| value.get(field).and_then(Value::as_str).unwrap_or_default();
    if registry::find(word("apiVersion"), word("kind")).is_some_and(|kind| kind.control) {
        let message = format!("{base}: a plugin may not propose a {}", word("kind"));
        return Err(Fault::new("ForbiddenKind", message));
    }
    let decoded = decode_resource(value, &base).map_err(|rejected| {
        let list: Vec<String> = rejected.problems.iter().map(ToString::to_string).collect();
        Fault::new("BadResource", list.join("; "))
    })?;
    let key = &decoded.resource.key;
    let listed =
        || spec.produces.iter().any(|p| p.api_version == key.api_version && p.kind == key.kind);
    if !decoded.typed && !listed() {
        let message = format!(
            "{base}: {} {} is not a known Kind; list it under the Plugin's spec.produces to let \
             it pass unchecked",
            key.api_version, key.kind
        );
        return Err(Fault::new("UnknownKind", message));
    }
    warnings.extend(decoded.notes.iter().map(ToString::to_string));
    Ok(decoded.resource)
}

/// A directive as a plugin writes it: with the mark of its event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkedDirective {
    op: DirectiveOp,
    target: crate::api::object::ObjectKey,
    #[serde(default)]
    reason: String,
    #[serde(default, rename = "eventID")]
    _event_id: Option<String>,
}

fn directive(at: usize, value: &Value) -> Result<Directive, Fault> {
    let base = format!("status.directives[{at}]");
    decode_value::<MarkedDirective>(value, &base)
        .map(|d| Directive { op: d.op, target: d.target, reason: d.reason })
        .map_err(|problems| {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Fault::new("BadDirective", list.join("; "))
        })
}

fn digest(resources: &[Resource], directives: &[Directive], plans: &[Value]) -> String {
    let mut hash = Sha256::new();
    let mut feed = |value: &Value| {
        let bytes = canonical_bytes(value);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    resources.iter().for_each(|resource| feed(&resource.body));
    for directive in directives {
        feed(&Value::from_serialize(directive).expect("a directive is plain data"));
    }
    plans.iter().for_each(&mut feed);
    hash.update((resources.len() as u64).to_be_bytes());
    hash.update((directives.len() as u64).to_be_bytes());
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests;
