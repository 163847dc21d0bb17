//! `status`.

use super::Session;
use crate::api::Time;
use crate::cli::access::Access;
use crate::cli::args::Format;
use crate::cli::failure::Failure;
use crate::cli::manifests;
use crate::cli::table::{Table, age};
use crate::control::views::{StatusView, counted};
use crate::control::{ListenerView, RunFigures};

pub(super) async fn run(session: &mut Session) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let status = match session.reading().await? {
        Access::Store(control) => {
            control.status_with(manifests::report(session, control.store())?)?
        }
        daemon @ Access::Daemon(_) => daemon.status().await?,
    };
    match format {
        Format::Json => session.output.json(&status),
        Format::Yaml => session.output.yaml(&status),
        _ => page(session, &status),
    }
}

fn page(session: &mut Session, status: &StatusView) -> Result<(), Failure> {
    let out = &mut session.output;
    for (label, text) in head(status) {
        out.line(&format!("{label:<11}{text}"))?;
    }
    for table in tables(status).into_iter().flatten() {
        out.write("\n")?;
        out.write(&table.to_string())?;
    }
    if let Some(config) = &status.config {
        for problem in &config.problems {
            out.write("\n")?;
            out.line(&problem.to_string())?;
            if let Some(hint) = &problem.hint {
                out.line(&format!("  hint: {hint}"))?;
            }
        }
    }
    if !status.notices.is_empty() {
        out.write("\nAttention:\n")?;
        for notice in &status.notices {
            out.line(&format!("  {notice}"))?;
        }
    }
    Ok(())
}

fn head(status: &StatusView) -> Vec<(&'static str, String)> {
    let now = status.now;
    let daemon = match status.started_at {
        Some(at) => format!("routerd {}, up {}", status.version, age(at, now)),
        None => "not running; read from the store".to_owned(),
    };
    let store = &status.store;
    let health = match (store.healthy, store.writable) {
        (true, _) => "healthy",
        (false, true) => "needs attention",
        (false, false) => "takes no writes",
    };
    let mut lines = vec![
        ("Node:", status.node.clone()),
        ("Daemon:", daemon),
        ("Store:", format!("revision {}, {health}, id {}", store.revision, store.id)),
    ];
    if let Some(config) = &status.config {
        let roots: Vec<&str> = config.roots.iter().map(|root| root.path.as_str()).collect();
        lines.push((
            "Config:",
            format!(
                "{} from {}, {}, {}; {}",
                counted(config.accepted, "object"),
                counted(config.files.read, "file"),
                counted(config.problems.len() as u64 + config.problems_omitted, "problem"),
                config.watching.mode,
                roots.join(", "),
            ),
        ));
    } else {
        lines.push(("Config:", format!("{} accepted", counted(status.objects, "object"))));
    }
    let parts = status.parts;
    lines.push((
        "Parts:",
        format!(
            "{} stored, {} effective, {} retiring",
            parts.total, parts.effective, parts.retiring
        ),
    ));
    let revision = status.effective.revision.map(|r| format!("revision {r}, ")).unwrap_or_default();
    lines.push(("Effective:", format!("{revision}digest {}", status.effective.digest)));
    if status.running {
        lines.push(("Pending:", status.pending_total.to_string()));
    }
    lines
}

fn tables(status: &StatusView) -> [Option<Table>; 6] {
    [
        groups(status),
        peers(status),
        subscriptions(status),
        plugins(status),
        outputs(status),
        pending(status, status.now),
    ]
}

fn peers(status: &StatusView) -> Option<Table> {
    let mut table = Table::new(&["PEER", "GROUP", "DIRECTION", "DELIVERING", "PENDING", "DEAD"]);
    for peer in &status.peers {
        table.row([
            peer.name.clone(),
            peer.group.clone(),
            super::deliveries::direction(peer.direction).to_owned(),
            super::deliveries::delivering(peer.delivering, &peer.reason),
            peer.pending.to_string(),
            peer.dead.to_string(),
        ]);
    }
    (!status.peers.is_empty()).then_some(table)
}

fn groups(status: &StatusView) -> Option<Table> {
    let mut table = Table::new(&[
        "GROUP",
        "NODE",
        "LIVE FACTS",
        "STORED EVENTS",
        "LISTENS",
        "RECEIVED",
        "REJECTED",
    ]);
    for group in &status.groups {
        table.row([
            group.name.clone(),
            group.node_name.clone(),
            format!("{}/{}", group.live_facts, group.max_live_facts),
            group.stored_events.to_string(),
            listens(group.listener.as_ref()),
            figure(group.listener.as_ref().map(|listener| listener.received)),
            figure(group.listener.as_ref().map(|listener| listener.rejected.values().sum())),
        ]);
    }
    (!status.groups.is_empty()).then_some(table)
}

fn listens(listener: Option<&ListenerView>) -> String {
    match listener {
        None => String::new(),
        Some(own) if own.listening => own.address.clone(),
        Some(own) => format!("no ({})", own.reason),
    }
}

fn figure(count: Option<u64>) -> String {
    count.map(|count| count.to_string()).unwrap_or_default()
}

fn subscriptions(status: &StatusView) -> Option<Table> {
    let mut table = Table::new(&[
        "SUBSCRIPTION",
        "GROUP",
        "PLUGIN",
        "MATCHED",
        "PARTS",
        "RETIRING",
        "FAILING",
        "DEAD",
    ]);
    for own in &status.subscriptions {
        let suspended = if own.suspended { " (suspended)" } else { "" };
        table.row([
            format!("{}{suspended}", own.name),
            own.group.clone(),
            own.plugin.clone(),
            own.matched.map(|n| n.to_string()).unwrap_or_default(),
            own.parts.to_string(),
            own.retiring.to_string(),
            own.failing.to_string(),
            own.dead_lettered.to_string(),
        ]);
    }
    (!status.subscriptions.is_empty()).then_some(table)
}

fn plugins(status: &StatusView) -> Option<Table> {
    let mut table =
        Table::new(&["PLUGIN", "READY", "REASON", "RUNS", "FAILED", "KILLED", "EXECUTABLE"]);
    for plugin in &status.plugins {
        let count = |what: fn(&RunFigures) -> u64| {
            plugin.runs.as_ref().map_or_else(|| "-".to_owned(), |runs| what(runs).to_string())
        };
        table.row([
            plugin.name.clone(),
            plugin.ready.map_or("unknown", |ready| if ready { "yes" } else { "no" }).to_owned(),
            plugin.reason.clone(),
            count(|runs| runs.total),
            count(|runs| runs.total - runs.outcomes.get("Succeeded").unwrap_or(&0)),
            count(|runs| runs.killed),
            plugin.executable.clone(),
        ]);
    }
    (!status.plugins.is_empty()).then_some(table)
}

fn outputs(status: &StatusView) -> Option<Table> {
    let mut table = Table::new(&["OUTPUT", "APPLIED", "REASON", "PATH"]);
    for output in &status.outputs {
        table.row([
            output.name.clone(),
            output
                .applied
                .map_or("unknown", |applied| if applied { "yes" } else { "no" })
                .to_owned(),
            output.reason.clone(),
            output.path.clone(),
        ]);
    }
    (!status.outputs.is_empty()).then_some(table)
}

fn pending(status: &StatusView, now: Time) -> Option<Table> {
    (!status.pending.is_empty()).then(|| super::wait::table(&status.pending, now))
}
