//! `plugin run`: one run of a plugin with events of the operator's own.

use std::io::Read;
use std::path::Path;

use serde::Serialize;

use super::super::Session;
use super::process::{decoded, in_force, once};
use crate::api::duration::GoDuration;
use crate::api::event::Event;
use crate::api::kinds::plugin::PluginSpec;
use crate::api::kinds::redact::redact_answer;
use crate::api::plugin::PluginRequest;
use crate::api::value::Value;
use crate::api::yaml::{self, Limits, parse_documents};
use crate::cli::args::{Format, PluginRunArgs};
use crate::cli::failure::{Failure, INVALID, NO};
use crate::cli::manifests;
use crate::control::EmitRequest;
use crate::controllers::trial::{Trial, request};
use crate::controllers::verdict::{Content, Fault};

/// A file of events is no longer than this.
const MAX_FILE: u64 = 16 << 20;
/// The group of an event that names none.
const GROUP: &str = "trial";

/// What is shown of a run, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    plugin: &'a str,
    executable: &'a str,
    protocol: &'static str,
    exit: String,
    duration: GoDuration,
    outcome: &'a str,
    message: &'a str,
    /// One for each event, where the answer could be read.
    events: Vec<ShownEvent>,
    warnings: &'a [String],
    request: &'a PluginRequest,
    /// The answer, if it can be read.
    result: Option<Value>,
    /// The answer as it was written.
    response: String,
    stderr: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEvent {
    id: String,
    outcome: String,
    message: String,
    resources: usize,
    directives: usize,
    action_plans: usize,
}

pub(super) async fn run(session: &mut Session, args: &PluginRunArgs) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let mut plugin = plugin(session, &args.name).await?;
    if let Some(executable) = &args.executable {
        plugin.executable = absolute(executable)?;
        plugin.sha256 = None;
    }
    let text = read(session, &args.event)?;
    let events = events(session, &args.event, &text)?;
    if events.len() > plugin.batch.max_events as usize {
        let (given, most) = (events.len(), plugin.batch.max_events);
        let message = format!("{given} events, but batch.maxEvents of the Plugin is {most}");
        return Err(Failure::new(INVALID, message).hint("give fewer, or raise it"));
    }
    let asked = request(&args.name, &args.subscription, events, session.now());
    let trial = once(session, &args.name, &plugin, &asked).await?;
    let shown = show(&args.name, &plugin, &asked, &trial);
    match format {
        Format::Json => session.output.json(&shown)?,
        Format::Yaml => session.output.yaml(&shown)?,
        _ => print(session, &shown)?,
    }
    // What was to be said was said.
    if is_good(&trial) { Ok(()) } else { Err(Failure::silent(NO)) }
}

/// The Plugin: of the manifests that were named, else as it is in force.
async fn plugin(session: &mut Session, name: &str) -> Result<PluginSpec, Failure> {
    if !session.paths.config_given {
        return in_force(session, name).await;
    }
    let found = manifests::load(&session.paths.config, session.clock.now());
    for problem in &found.findings.problems {
        session.notes.push(format!("note: {problem}"));
    }
    let is_it = |kind: &str, found: &str| kind == "Plugin" && found == name;
    let accepted = found.accepted.iter().find(|a| is_it(&a.key().kind, &a.key().name));
    match accepted {
        Some(accepted) => decoded(name, accepted.resource.body.get("spec")),
        None => Err(Failure::new(NO, format!("the manifests have no Plugin {name:?}"))
            .hint("without --config (and ROUTERD_CONFIG) the daemon's manifests count")),
    }
}

pub(super) fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path)
        .map_err(|error| Failure::new(INVALID, format!("{}: {error}", path.display())))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::new(INVALID, format!("{}: is not UTF-8", path.display())))
}

fn read(session: &mut Session, path: &Path) -> Result<Vec<u8>, Failure> {
    let invalid = |why: String| Failure::new(INVALID, format!("{}: {why}", path.display()));
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        let stdin = session.stdin.take().ok_or_else(|| invalid("was read already".to_owned()))?;
        stdin.take(MAX_FILE + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
    };
    read.map_err(|error| invalid(error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(invalid(format!("is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// The events of a file: one, a list, or one document or line each.
fn events(session: &Session, path: &Path, text: &[u8]) -> Result<Vec<Event>, Failure> {
    let invalid = |why: String| {
        Failure::new(INVALID, format!("{}: {why}", path.display())).hint(
            "an event as for emit -f: {\"type\": \"t\", \"subject\": \"s\", \"payload\": {}}; or a \
             list of them",
        )
    };
    let mut requests = Vec::new();
    for value in values(text).map_err(invalid)? {
        let text = serde_json::to_vec(&value).map_err(|error| invalid(error.to_string()))?;
        let read = EmitRequest::read(&text);
        requests.push(read.map_err(|error| invalid(format!("not an event: {error}")))?);
    }
    if requests.is_empty() {
        return Err(invalid("holds no event".to_owned()));
    }
    let now = session.now();
    let mut events = Vec::new();
    for (at, mut request) in requests.into_iter().enumerate() {
        if request.group.is_empty() {
            GROUP.clone_into(&mut request.group);
        }
        request.id.get_or_insert_with(|| format!("trial-{}", at + 1));
        let event = request.event("", now).map_err(Failure::from)?;
        event.validate().map_err(|error| invalid(error.to_string()))?;
        if events.iter().any(|other: &Event| other.id == event.id) {
            return Err(invalid(format!("two events have the id {:?}", event.id)));
        }
        events.push(event);
    }
    Ok(events)
}

/// The documents of a text, or its lines where each is JSON; a list counts as its items.
fn values(text: &[u8]) -> Result<Vec<Value>, String> {
    let lines = || text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let by_line: Result<Vec<serde_json::Value>, _> = lines().map(serde_json::from_slice).collect();
    let found: Vec<Value> = if let Ok(values) = by_line {
        let value = |value| Value::from_serialize(value).map_err(|error| error.to_string());
        values.iter().map(value).collect::<Result<_, _>>()?
    } else {
        let documents = parse_documents(text, &Limits::default());
        if let Some(error) = documents.error {
            return Err(format!("{}: {}", error.pos, error.message));
        }
        let value = |document| {
            Value::try_from(document).map_err(|problems: Vec<_>| {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            })
        };
        documents.docs.iter().map(value).collect::<Result<_, _>>()?
    };
    let items = found.into_iter().flat_map(|value| match value {
        Value::Seq(items) => items.into_iter().collect::<Vec<_>>(),
        one => vec![one],
    });
    Ok(items.collect())
}

/// Whether the daemon would have stored a part for every event.
pub(super) fn is_good(trial: &Trial) -> bool {
    trial.verdict.as_ref().is_ok_and(|verdict| verdict.items.iter().all(Result::is_ok))
}

/// The outcome in a word and a sentence, as `get runs` has it.
pub(super) fn outcome(trial: &Trial) -> (&str, &str) {
    let fault = match &trial.verdict {
        Err(fault) => Some(fault),
        Ok(verdict) => verdict.items.iter().find_map(|item| item.as_ref().err()),
    };
    fault.map_or(("Succeeded", ""), |fault| (fault.reason, fault.message.as_str()))
}

fn show<'a>(
    name: &'a str,
    plugin: &'a PluginSpec,
    asked: &'a PluginRequest,
    trial: &'a Trial,
) -> Shown<'a> {
    let verdict = trial.verdict.as_ref();
    let (outcome, message) = outcome(trial);
    let items = verdict.map(|verdict| verdict.items.as_slice()).unwrap_or_default();
    let response = redact_answer(&String::from_utf8_lossy(&trial.stdout)).into_owned();
    Shown {
        plugin: name,
        executable: &plugin.executable,
        protocol: plugin.protocol.as_str(),
        exit: trial.exit.to_string(),
        duration: GoDuration(trial.duration),
        outcome,
        message,
        events: asked.spec.events.iter().zip(items).map(|(e, i)| shown(&e.event, i)).collect(),
        warnings: verdict.map(|verdict| verdict.warnings.as_slice()).unwrap_or_default(),
        request: asked,
        result: result(response.as_bytes()),
        response,
        stderr: String::from_utf8_lossy(&trial.stderr.bytes).into_owned(),
    }
}

fn shown(event: &Event, item: &Result<Content, Fault>) -> ShownEvent {
    let (outcome, message) = match item {
        Ok(_) => ("Succeeded".to_owned(), String::new()),
        Err(fault) => (fault.reason.to_owned(), fault.message.clone()),
    };
    let content = item.as_ref().ok();
    ShownEvent {
        id: event.id.clone(),
        outcome,
        message,
        resources: content.map_or(0, |content| content.resources.len()),
        directives: content.map_or(0, |content| content.directives.len()),
        action_plans: content.map_or(0, |content| content.action_plans.len()),
    }
}

/// An answer as a value, if it is one document.
pub(super) fn result(stdout: &[u8]) -> Option<Value> {
    let documents = parse_documents(stdout, &Limits::default());
    match (documents.error, documents.docs.as_slice()) {
        (None, [document]) => Value::try_from(document).ok(),
        _ => None,
    }
}

fn print(session: &mut Session, shown: &Shown<'_>) -> Result<(), Failure> {
    let out = &mut session.output;
    let duration = shown.duration.get().as_secs_f64();
    for (label, text) in [
        ("Plugin", shown.plugin),
        ("Executable", shown.executable),
        ("Protocol", shown.protocol),
        ("Process", shown.exit.as_str()),
        ("Took", &format!("{duration:.3}s")),
        ("Outcome", shown.outcome),
        ("", shown.message),
    ] {
        match (label, text) {
            (_, "") => {}
            ("", text) => out.line(&format!("  {text}"))?,
            (label, text) => out.line(&format!("{:<12}{text}", format!("{label}:")))?,
        }
    }
    for ShownEvent { id, outcome, resources, directives, action_plans, message } in &shown.events {
        let counts =
            format!("{resources} resources, {directives} directives, {action_plans} action plans");
        let text = if message.is_empty() { &counts } else { message };
        out.line(&format!("Event:      {id} {outcome}: {text}"))?;
    }
    for warning in shown.warnings {
        out.line(&format!("Warning:    {warning}"))?;
    }
    let request = Value::from_serialize(shown.request).map_err(std::io::Error::other)?;
    section(session, "Request", &yaml::emit(&request))?;
    match &shown.result {
        Some(result) => section(session, "Result", &yaml::emit(result))?,
        None => section(session, "Answer, which cannot be read", &shown.response)?,
    }
    section(session, "Stderr", &shown.stderr)
}

fn section(session: &mut Session, title: &str, text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return session.output.line(&format!("{title}: nothing"));
    }
    session.output.line(&format!("{title}:"))?;
    text.lines().try_for_each(|line| session.output.line(&format!("  {line}")))
}
