//! `render`, also as `dynamic render`.

use super::Session;
use crate::cli::access;
use crate::cli::args::{Format, RenderArgs};
use crate::cli::failure::Failure;
use crate::cli::manifests;
use crate::cli::table::{Table, age};
use crate::control::{RenderFormat, RenderReport};

pub(super) async fn run(session: &mut Session, args: &RenderArgs) -> Result<(), Failure> {
    if args.report {
        return report(session).await;
    }
    let format = match session.output.format(&[Format::Yaml, Format::Json])? {
        Format::Json => RenderFormat::Json,
        _ => RenderFormat::Yaml,
    };
    if args.watch {
        return watch(session, format).await;
    }
    let text = manifests::rendering(session).await?.render(format).await?;
    print(session, format, &text)
}

fn print(session: &mut Session, format: RenderFormat, text: &[u8]) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(text);
    match format {
        RenderFormat::Json => session.output.json_text(&text),
        RenderFormat::Yaml => session.output.yaml_text(&text),
    }
}

/// Prints every revision that is there when the last one is printed: the newest, never a queue,
/// and none twice.
async fn watch(session: &mut Session, format: RenderFormat) -> Result<(), Failure> {
    let access = access::daemon(&session.paths).await?;
    let mut seen = None;
    loop {
        // What was rendered says which revision it is, so nothing comes between the two.
        let (text, shown) = access.rendered(format).await?;
        if shown.is_none() || shown != seen {
            if seen.is_some() && matches!(format, RenderFormat::Yaml) {
                session.output.line("---")?;
            }
            print(session, format, &text)?;
            session.output.flush()?;
        }
        seen = shown;
        while Some(&access.revision(seen.as_ref()).await?) == seen.as_ref() {}
    }
}

async fn report(session: &mut Session) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let report = manifests::rendering(session).await?.report().await?;
    match format {
        Format::Json => session.output.json(&report),
        Format::Yaml => session.output.yaml(&report),
        _ => tables(session, &report),
    }
}

fn tables(session: &mut Session, report: &RenderReport) -> Result<(), Failure> {
    let now = session.now();
    let RenderReport { report, .. } = report;
    let mut tables = Vec::new();
    if !report.left_out.is_empty() {
        let mut table = Table::new(&["LEFT OUT", "REASON", "SINCE", "PART", "MESSAGE"]);
        for left in &report.left_out {
            let directive = left.directive.as_ref().map(|op| format!("{op} ")).unwrap_or_default();
            table.row([
                format!("{directive}{}", left.object),
                left.reason.clone(),
                age(left.since, now),
                left.part.clone(),
                left.message.clone(),
            ]);
        }
        tables.push(table);
    }
    if !report.masked.is_empty() {
        let mut table = Table::new(&["MASKED", "SINCE", "AT", "BY"]);
        for masked in &report.masked {
            let by: Vec<&str> = masked.by.iter().map(|by| by.part.as_str()).collect();
            let (object, at) = (masked.object.to_string(), masked.source.to_string());
            table.row([object, age(masked.since, now), at, by.join(", ")]);
        }
        tables.push(table);
    }
    if !report.startup_problems.is_empty() {
        let mut table = Table::new(&["STARTUP", "REASON", "AT", "MESSAGE"]);
        for problem in &report.startup_problems {
            table.row([
                problem.object.to_string(),
                problem.reason.clone(),
                problem.source.to_string(),
                problem.message.clone(),
            ]);
        }
        tables.push(table);
    }
    if tables.is_empty() {
        return session.output.line("nothing was left out");
    }
    for (at, table) in tables.iter().enumerate() {
        if at > 0 {
            session.output.write("\n")?;
        }
        session.output.write(&table.to_string())?;
    }
    Ok(())
}
