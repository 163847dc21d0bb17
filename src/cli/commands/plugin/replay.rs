//! `plugin replay`: the request of a recorded run again, and what has changed in the answer.

use serde::Serialize;

use super::super::Session;
use super::process::{in_force, once};
use super::run::{absolute, outcome, result};
use crate::api::duration::GoDuration;
use crate::api::kinds::redact::redact_answer;
use crate::api::plugin::PluginRequest;
use crate::api::value::Value;
use crate::api::yaml;
use crate::cli::args::{Format, PluginReplayArgs};
use crate::cli::failure::{Failure, INVALID, NO};
use crate::cli::table::age;
use crate::control::views::RunView;
use crate::render::{FieldChange, differences};

/// Both answers and what differs, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    run: u64,
    plugin: String,
    executable: String,
    same: bool,
    before: Side,
    after: Side,
    /// By field, where both answers can be read.
    differences: Vec<FieldChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    outcome: String,
    message: String,
    exit: String,
    duration: GoDuration,
    response: String,
    stderr: String,
}

pub(super) async fn run(session: &mut Session, args: &PluginReplayArgs) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let run = session.reading().await?.run(args.run).await?;
    if run.shortened {
        let message = format!("run {}: its request or answer was too long to be kept", run.run);
        return Err(Failure::new(NO, message).hint("smaller batches (batch.maxEvents) are kept"));
    }
    let request: PluginRequest = serde_json::from_str(&run.request).map_err(|error| {
        Failure::new(INVALID, format!("run {}: its request cannot be read: {error}", run.run))
    })?;
    let mut plugin = in_force(session, &run.plugin).await?;
    if let Some(executable) = &args.executable {
        plugin.executable = absolute(executable)?;
        // The pin is that of the installed one.
        plugin.sha256 = None;
    }
    let trial = once(session, &run.plugin, &plugin, &request).await?;
    let (word, message) = outcome(&trial);
    let after = Side {
        outcome: word.to_owned(),
        message: message.to_owned(),
        exit: trial.exit.to_string(),
        duration: GoDuration(trial.duration),
        response: redact_answer(&String::from_utf8_lossy(&trial.stdout)).into_owned(),
        stderr: String::from_utf8_lossy(&trial.stderr.bytes).into_owned(),
    };
    let compared = compare(&run, plugin.executable, after);
    match format {
        Format::Json => session.output.json(&compared)?,
        Format::Yaml => session.output.yaml(&compared)?,
        _ => print(session, &run, &compared)?,
    }
    if compared.same { Ok(()) } else { Err(Failure::silent(NO)) }
}

fn compare(run: &RunView, executable: String, after: Side) -> Compared {
    let before = Side {
        outcome: run.outcome.clone(),
        message: run.message.clone(),
        exit: run.exit.clone(),
        duration: run.duration,
        response: run.response.clone(),
        stderr: run.stderr.clone(),
    };
    let results = (result(before.response.as_bytes()), result(after.response.as_bytes()));
    let (alike, differences) = match &results {
        (Some(old), Some(new)) => {
            let differences = differences(old, new);
            (differences.is_empty(), differences)
        }
        _ => (before.response == after.response, Vec::new()),
    };
    Compared {
        run: run.run,
        plugin: run.plugin.clone(),
        executable,
        same: alike && before.outcome == after.outcome,
        before,
        after,
        differences,
    }
}

fn print(session: &mut Session, run: &RunView, compared: &Compared) -> Result<(), Failure> {
    let ago = age(run.started_at, session.now());
    let Compared { before, after, .. } = compared;
    let out = &mut session.output;
    out.line(&format!("Run {} of {}, {ago} ago: {}", run.run, run.plugin, told(before)))?;
    out.line(&format!("Now {}: {}", compared.executable, told(after)))?;
    for change in &compared.differences {
        session.output.line(&change.path)?;
        side(session, '-', change.before.as_ref())?;
        side(session, '+', change.after.as_ref())?;
    }
    let out = &mut session.output;
    if compared.same {
        out.line("the results are the same")?;
    } else if compared.differences.is_empty() && before.response != after.response {
        for (sign, text) in [('-', &before.response), ('+', &after.response)] {
            text.lines().try_for_each(|line| out.line(&format!("  {sign} {line}")))?;
        }
    }
    if !compared.same {
        out.line("the results differ")?;
    }
    Ok(())
}

fn told(side: &Side) -> String {
    match (side.outcome.as_str(), side.message.as_str()) {
        (outcome, "") => format!("{outcome} in {:.3}s", side.duration.get().as_secs_f64()),
        (outcome, message) => format!("{outcome}: {message}"),
    }
}

fn side(session: &mut Session, sign: char, value: Option<&Value>) -> Result<(), Failure> {
    let Some(value) = value else { return Ok(()) };
    let text = yaml::emit(value);
    text.lines().try_for_each(|line| session.output.line(&format!("  {sign} {line}")))
}
