//! `describe`, and `dynamic describe`.

use super::{Session, get};
use crate::api::condition::Condition;
use crate::cli::args::Format;
use crate::cli::failure::Failure;
use crate::cli::table::{Table, age, until};
use crate::control::views::{ObjectView, PartView};

const FORMATS: &[Format] = &[Format::Table, Format::Yaml, Format::Json];

pub(super) async fn run(session: &mut Session, kind: &str, name: &str) -> Result<(), Failure> {
    if get::is_part(&kind.to_ascii_lowercase()) {
        return part(session, name).await;
    }
    let format = session.output.format(FORMATS)?;
    let objects = session.reading().await?.objects(kind, Some(name)).await?;
    match format {
        Format::Json => return session.output.json(&objects),
        Format::Yaml => return session.output.yaml_all(&objects),
        _ => {}
    }
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            session.output.write("\n")?;
        }
        describe_object(session, object)?;
        if object.kind == "Plugin" {
            describe_runs(session, &object.metadata.name).await?;
        }
    }
    Ok(())
}

/// What a plugin's runs came to. Nothing without a daemon: nobody counted.
async fn describe_runs(session: &mut Session, name: &str) -> Result<(), Failure> {
    let status = session.reading().await?.status().await?;
    let plugin = status.plugins.into_iter().find(|plugin| plugin.name == name);
    let Some(runs) = plugin.and_then(|plugin| plugin.runs) else { return Ok(()) };
    session.output.write("Runs since the daemon started:\n")?;
    let mut lines = vec![("total", runs.total)];
    lines.extend(runs.outcomes.iter().map(|(outcome, count)| (outcome.as_str(), *count)));
    lines.extend([("killed", runs.killed), ("host failures", runs.host_failures)]);
    for (what, count) in lines {
        session.output.line(&format!("  {what:<20} {count}"))?;
    }
    let mean = runs.total_millis / runs.total.max(1);
    let longest = runs.longest_millis;
    session.output.line(&format!("  {:<20} {mean} ms on average, {longest} ms at most", "duration"))
}

fn describe_object(session: &mut Session, object: &ObjectView) -> Result<(), Failure> {
    let now = session.now();
    let source = &object.status.source;
    fields(
        session,
        &[
            ("Name", object.metadata.name.clone()),
            ("Kind", object.kind.clone()),
            ("API version", object.api_version.clone()),
            ("UID", object.metadata.uid.clone()),
            ("Generation", object.metadata.generation.to_string()),
            ("Accepted", format!("{} ago", age(object.status.accepted_at, now))),
            ("Source", format!("{}:{}:{}", source.file, source.line, source.column)),
        ],
    )?;
    if let Some(spec) = &object.spec {
        session.output.write("Spec:\n")?;
        indented(session, spec)?;
    }
    conditions(session, &object.status.conditions)
}

/// One part: its cause first.
pub(super) async fn part(session: &mut Session, name: &str) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let part = session.reading().await?.part(name).await?;
    match format {
        Format::Json => session.output.json(&part),
        Format::Yaml => session.output.yaml(&part),
        _ => describe_part(session, &part),
    }
}

fn describe_part(session: &mut Session, part: &PartView) -> Result<(), Failure> {
    let now = session.now();
    let status = &part.status;
    fields(
        session,
        &[
            ("Name", part.metadata.name.clone()),
            ("Source", part.spec.source.clone()),
            ("Plugin", status.plugin.clone()),
            ("Run key", status.run_key.clone()),
            ("Event", format!("{} of group {}", status.event_id, status.group)),
            ("Type", status.event_type.clone()),
            ("Subject", status.subject.clone()),
            ("Seen by", status.source_node.clone()),
            ("Live since", format!("{} ({})", status.since, age(status.since, now))),
            ("Generation", part.spec.generation.to_string()),
            ("Observed", format!("{} ago", age(part.spec.observed_at, now))),
            ("Ends", format!("{} ({})", part.spec.expires_at, until(part.spec.expires_at, now))),
            ("Digest", part.spec.digest.clone()),
        ],
    )?;
    for (title, items) in
        [("Resources", &part.spec.resources), ("Action plans (never run)", &part.spec.action_plans)]
    {
        if !items.is_empty() {
            session.output.write(&format!("{title}:\n"))?;
            indented(session, items)?;
        }
    }
    if !part.spec.directives.is_empty() {
        session.output.write("Directives:\n")?;
        indented(session, &part.spec.directives)?;
    }
    conditions(session, &status.conditions)
}

fn fields(session: &mut Session, fields: &[(&str, String)]) -> Result<(), Failure> {
    for (label, text) in fields.iter().filter(|(_, text)| !text.is_empty()) {
        session.output.line(&format!("{:<14}{text}", format!("{label}:")))?;
    }
    Ok(())
}

/// A value as YAML, two columns in.
fn indented(session: &mut Session, value: &impl serde::Serialize) -> Result<(), Failure> {
    let value = crate::api::value::Value::from_serialize(value).map_err(std::io::Error::other)?;
    for line in crate::api::yaml::emit(&value).lines() {
        session.output.line(&format!("  {line}"))?;
    }
    Ok(())
}

fn conditions(session: &mut Session, conditions: &[Condition]) -> Result<(), Failure> {
    if conditions.is_empty() {
        return Ok(());
    }
    let now = session.now();
    let mut table = Table::new(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]);
    for condition in conditions {
        table.row([
            condition.r#type.clone(),
            format!("{:?}", condition.status),
            age(condition.last_transition_time, now),
            condition.reason.clone(),
            condition.message.clone(),
        ]);
    }
    session.output.write(&table.to_string())
}
