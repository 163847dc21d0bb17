//! `federation event list`, also as `get events`.

use super::Session;
use crate::cli::args::{EventArgs, Format};
use crate::cli::failure::Failure;
use crate::cli::table::{Table, age, until};
use crate::control::EventFilter;
use crate::control::views::EventView;

const FORMATS: &[Format] = &[Format::Table, Format::Yaml, Format::Json, Format::Name];

pub(super) async fn run(session: &mut Session, args: &EventArgs) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let list = session.reading().await?.events(&filter(args)).await?;
    if list.more {
        let shown = list.items.len();
        session.notes.push(format!("note: the newest {shown}; there are older ones (--limit)"));
    }
    show(session, format, &list.items)
}

/// One event by its id.
pub(super) async fn one(session: &mut Session, args: &EventArgs, id: &str) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let found = session.reading().await?.event(&filter(args), id).await?;
    match found.as_slice() {
        [] => Err(Failure::new(crate::cli::failure::NO, format!("no event {id:?}"))
            .hint("it may have been pruned, or never have arrived")),
        [event] if format == Format::Json => session.output.json(event),
        several => show(session, format, several),
    }
}

fn filter(args: &EventArgs) -> EventFilter {
    EventFilter {
        group: args.group.clone(),
        r#type: args.r#type.clone(),
        subject: args.subject.clone(),
        include_expired: args.include_expired,
        limit: args.limit.map(|limit| limit as usize),
    }
}

fn show(session: &mut Session, format: Format, events: &[EventView]) -> Result<(), Failure> {
    match format {
        Format::Json => return session.output.json(&events),
        Format::Yaml => return session.output.yaml(&events),
        Format::Name => {
            return events
                .iter()
                .try_for_each(|view| session.output.line(&format!("Event/{}", view.event.id)));
        }
        Format::Table => {}
    }
    let now = session.now();
    let mut table = Table::new(&[
        "OBSERVED", "GROUP", "TYPE", "SUBJECT", "NODE", "STATE", "ENDS", "FROM", "ID",
    ]);
    for view in events {
        let event = &view.event;
        let state = match (view.live, view.current) {
            (true, _) => "Live",
            (false, true) => "Expired",
            (false, false) => "Superseded",
        };
        table.row([
            age(event.observed_at.unwrap_or(view.received_at), now),
            event.group.clone(),
            event.r#type.clone(),
            event.subject.clone(),
            event.source_node.clone(),
            state.to_owned(),
            until(view.live_until, now),
            view.received_from.clone(),
            event.id.clone(),
        ]);
    }
    session.output.write(&table.to_string())
}
