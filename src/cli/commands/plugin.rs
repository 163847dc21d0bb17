//! `plugin`: what an operator does with plugins beside writing their manifests.

mod lock;
mod process;
mod replay;
mod run;

use serde::Serialize;

use super::{Session, describe, get};
use crate::api::condition::{Condition, ConditionStatus};
use crate::cli::args::{Format, PluginCommand};
use crate::cli::failure::Failure;
use crate::cli::table::{Table, age};
use crate::control::views::{ObjectView, RunView};

/// Runs that `describe` lists.
const LISTED: usize = 10;

pub(super) async fn run(session: &mut Session, command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::Lock { names } => lock::run(session, &names).await,
        PluginCommand::List => list(session).await,
        PluginCommand::Describe { name } => describe_one(session, &name).await,
        PluginCommand::Run(args) => run::run(session, &args).await,
        PluginCommand::Replay(args) => replay::run(session, &args).await,
    }
}

/// One plugin on one line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    protocol: String,
    executable: String,
    /// What is not as it should be with it, or what is true of it.
    status: String,
    reason: String,
    /// Of the runs that are kept.
    runs: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<RunView>,
}

async fn list(session: &mut Session) -> Result<(), Failure> {
    const FORMATS: &[Format] = &[Format::Table, Format::Yaml, Format::Json, Format::Name];
    let format = session.output.format(FORMATS)?;
    let access = session.reading().await?;
    let (plugins, runs) = (access.objects("Plugin", None).await?, access.runs(None).await?);
    drop(access);
    let lines: Vec<Line> = plugins.iter().map(|plugin| line(plugin, &runs)).collect();
    match format {
        Format::Json => return session.output.json(&lines),
        Format::Yaml => return session.output.yaml_all(&lines),
        Format::Name => {
            return lines
                .iter()
                .try_for_each(|line| session.output.line(&format!("Plugin/{}", line.name)));
        }
        Format::Table => {}
    }
    let now = session.now();
    let mut table = Table::new(&[
        "NAME",
        "PROTOCOL",
        "STATUS",
        "REASON",
        "RUNS",
        "FAILED",
        "LAST",
        "OUTCOME",
        "EXECUTABLE",
    ]);
    for line in &lines {
        let last = line.last_run.as_ref();
        table.row([
            line.name.clone(),
            line.protocol.clone(),
            line.status.clone(),
            line.reason.clone(),
            line.runs.to_string(),
            line.failed.to_string(),
            last.map(|run| age(run.started_at, now)).unwrap_or_default(),
            last.map(|run| run.outcome.clone()).unwrap_or_default(),
            line.executable.clone(),
        ]);
    }
    get::print(session, &table, lines.is_empty())
}

fn line(plugin: &ObjectView, runs: &[RunView]) -> Line {
    let word = |field: &str| {
        let value = plugin.spec.as_ref().and_then(|spec| spec.get(field)?.as_str());
        value.map(str::to_owned)
    };
    let own = || runs.iter().filter(|run| run.plugin == plugin.metadata.name);
    let conditions = &plugin.status.conditions;
    let ready = conditions.iter().filter(|condition| condition.r#type == "PluginReady");
    // Whether it can be run says more than that it was accepted; what is wrong, more than both.
    let all_well = conditions.iter().all(|condition| condition.status == ConditionStatus::True);
    let ready: Vec<Condition> = ready.filter(|_| all_well).cloned().collect();
    let (status, reason) = get::summary(if ready.is_empty() { conditions } else { &ready });
    Line {
        name: plugin.metadata.name.clone(),
        protocol: word("protocol").unwrap_or_else(|| "oneshot".to_owned()),
        executable: word("executable").unwrap_or_default(),
        status,
        reason,
        runs: own().count(),
        failed: own().filter(|run| !run.succeeded()).count(),
        last_run: own().next().cloned(),
    }
}

/// The object with its conditions, and its newest runs.
async fn describe_one(session: &mut Session, name: &str) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    describe::run(session, "Plugin", name).await?;
    if format != Format::Table {
        return Ok(());
    }
    let mut runs = session.reading().await?.runs(Some(name)).await?;
    runs.truncate(LISTED);
    session.output.write("\n")?;
    get::run_table(session, &runs)
}
