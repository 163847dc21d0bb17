//! `get`, and `dynamic list`.

use serde::Serialize;

use super::{Session, events};
use crate::api::Time;
use crate::api::condition::{Condition, ConditionStatus};
use crate::cli::args::{EventArgs, Format, GetArgs};
use crate::cli::failure::Failure;
use crate::cli::table::{Table, age, until};
use crate::control::views::{FailureView, ObjectView, PartView, RunView};

const FORMATS: &[Format] = &[Format::Table, Format::Yaml, Format::Json, Format::Name];

pub(super) async fn run(session: &mut Session, args: &GetArgs) -> Result<(), Failure> {
    let kind = args.kind.to_ascii_lowercase();
    if kind == "events" || kind == "event" {
        return match &args.name {
            Some(id) => events::one(session, &args.events, id).await,
            None => events::run(session, &args.events).await,
        };
    }
    if args.events != EventArgs::default() {
        return Err(Failure::usage(format!("get {}: takes no options of `get events`", args.kind)));
    }
    if is_part(&kind) {
        return parts(session, args.name.as_deref()).await;
    }
    if kind == "runs" || kind == "run" {
        return runs(session, args.name.as_deref()).await;
    }
    if let "failures" | "failure" | "deadletters" | "deadletter" = kind.as_str() {
        let dead = kind.starts_with("dead");
        return failures(session, dead, args.name.as_deref()).await;
    }
    objects(session, &args.kind, args.name.as_deref()).await
}

/// Whether a kind, in lower case, means parts.
pub(super) fn is_part(kind: &str) -> bool {
    matches!(kind, "part" | "parts" | "dynamicconfigpart" | "dynamicconfigparts")
}

async fn objects(session: &mut Session, kind: &str, name: Option<&str>) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let objects = session.reading().await?.objects(kind, name).await?;
    if format != Format::Table {
        let name = |object: &ObjectView| format!("{}/{}", object.kind, object.metadata.name);
        return documents(session, format, &objects, name);
    }
    let now = session.now();
    let mut table = Table::new(&["KIND", "NAME", "AGE", "STATUS", "REASON", "SOURCE"]);
    for object in &objects {
        let (status, reason) = summary(&object.status.conditions);
        table.row([
            object.kind.clone(),
            object.metadata.name.clone(),
            since(object.metadata.creation_timestamp, now),
            status,
            reason,
            object.status.source.to_string(),
        ]);
    }
    print(session, &table, objects.is_empty())
}

/// The parts, or the one of this name.
pub(super) async fn parts(session: &mut Session, name: Option<&str>) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let access = session.reading().await?;
    let parts = match name {
        Some(name) => vec![access.part(name).await?],
        None => access.parts().await?,
    };
    drop(access);
    if format != Format::Table {
        let name = |part: &PartView| format!("{}/{}", part.kind, part.metadata.name);
        return documents(session, format, &parts, name);
    }
    let now = session.now();
    let mut table = Table::new(&["NAME", "AGE", "STATUS", "REASON", "RESOURCES", "ENDS", "CAUSE"]);
    for part in &parts {
        let (mut status, reason) = summary(&part.status.conditions);
        if !part.status.served {
            "Expired".clone_into(&mut status);
        }
        let cause = if part.status.subject.is_empty() {
            &part.status.event_id
        } else {
            &part.status.subject
        };
        table.row([
            part.metadata.name.clone(),
            since(part.metadata.creation_timestamp, now),
            status,
            reason,
            part.spec.resources.len().to_string(),
            until(part.spec.expires_at, now),
            cause.clone(),
        ]);
    }
    print(session, &table, parts.is_empty())
}

async fn runs(session: &mut Session, number: Option<&str>) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let access = session.reading().await?;
    let runs = match number.map(str::parse::<u64>) {
        None => access.runs(None).await?,
        Some(Ok(number)) => vec![access.run(number).await?],
        Some(Err(_)) => {
            let number = number.unwrap_or_default();
            return Err(Failure::new(crate::cli::failure::NO, format!("no run {number:?}"))
                .hint("routerctl get runs lists those that are kept"));
        }
    };
    drop(access);
    if format != Format::Table {
        return documents(session, format, &runs, |run: &RunView| format!("Run/{}", run.run));
    }
    run_table(session, &runs)
}

/// Runs as a table.
pub(super) fn run_table(session: &mut Session, runs: &[RunView]) -> Result<(), Failure> {
    let now = session.now();
    let mut table =
        Table::new(&["RUN", "STARTED", "SUBSCRIPTION", "PLUGIN", "TOOK", "OUTCOME", "EVENTS"]);
    for run in runs {
        table.row([
            run.run.to_string(),
            age(run.started_at, now),
            run.subscription.clone(),
            run.plugin.clone(),
            format!("{:.3}s", run.duration.get().as_secs_f64()),
            run.outcome.clone(),
            run.event_ids.len().to_string(),
        ]);
    }
    print(session, &table, runs.is_empty())
}

/// What fails, or of that only what was given up.
async fn failures(session: &mut Session, dead: bool, name: Option<&str>) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let mut failures = session.reading().await?.failures().await?;
    failures.retain(|failure| failure.dead_lettered || !dead);
    if let Some(name) = name {
        failures.retain(|failure| failure.name == name);
        if failures.is_empty() {
            return Err(Failure::new(crate::cli::failure::NO, format!("{name:?} does not fail"))
                .hint("routerctl get failures lists what does"));
        }
    }
    if format != Format::Table {
        return documents(session, format, &failures, |failure: &FailureView| failure.name.clone());
    }
    let now = session.now();
    let mut table =
        Table::new(&["NAME", "SUBJECT", "STATE", "ATTEMPTS", "SINCE", "DUE", "REASON", "MESSAGE"]);
    for failure in &failures {
        let state = if failure.dead_lettered { "DeadLettered" } else { "BackingOff" };
        table.row([
            failure.name.clone(),
            failure.subject.clone(),
            state.to_owned(),
            failure.attempts.to_string(),
            age(failure.since, now),
            failure.due.map(|due| until(due, now)).unwrap_or_default(),
            failure.reason.clone(),
            failure.message.clone(),
        ]);
    }
    print(session, &table, failures.is_empty())
}

/// A list in JSON, documents in YAML, or names.
fn documents<T: Serialize>(
    session: &mut Session,
    format: Format,
    items: &[T],
    name: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Json => session.output.json(&items),
        Format::Yaml => session.output.yaml_all(items),
        _ => items.iter().try_for_each(|item| session.output.line(&name(item))),
    }
}

pub(super) fn print(session: &mut Session, table: &Table, empty: bool) -> Result<(), Failure> {
    if empty {
        session.notes.push("note: there are none".to_owned());
        return Ok(());
    }
    session.output.write(&table.to_string())
}

fn since(then: Option<Time>, now: Time) -> String {
    then.map(|then| age(then, now)).unwrap_or_default()
}

/// Conditions that hold when something is not as it should be; all others hold when it is.
const ABNORMAL: [&str; 8] = [
    "Retiring",
    "ConfigHeld",
    "Shadowed",
    "Conflicted",
    "Unresolved",
    "DeadLettered",
    "Masked",
    "Suspended",
];

/// The one condition that matters most: what is on its way out, else what is not as it should be,
/// else the first.
pub(super) fn summary(conditions: &[Condition]) -> (String, String) {
    let holds = |c: &&Condition| c.status == ConditionStatus::True;
    let abnormal =
        ABNORMAL.iter().find_map(|t| conditions.iter().filter(holds).find(|c| c.r#type == *t));
    let worst = conditions.iter().find(|c| !holds(c) && !ABNORMAL.contains(&c.r#type.as_str()));
    match abnormal.or(worst).or(conditions.first()) {
        None => (String::new(), String::new()),
        Some(c) if c.status == ConditionStatus::True => (c.r#type.clone(), c.reason.clone()),
        Some(c) => (format!("{}={:?}", c.r#type, c.status), c.reason.clone()),
    }
}
