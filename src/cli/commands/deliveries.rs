//! `federation peers`, `federation deliveries`, `federation deliveries summary`, `federation retry`.

use super::Session;
use crate::api::kinds::federation::Direction;
use crate::cli::access;
use crate::cli::args::{DeliveriesArgs, DeliveriesCommand, Delivery, Format, RetryArgs};
use crate::cli::failure::Failure;
use crate::cli::table::{Table, age, until};
use crate::control::views::{DeliveryStatus, counted};
use crate::control::{DeliveryFilter, RetryRequest};

const FORMATS: &[Format] = &[Format::Table, Format::Yaml, Format::Json];

pub(super) async fn peers(session: &mut Session) -> Result<(), Failure> {
    let format =
        session.output.format(&[Format::Table, Format::Yaml, Format::Json, Format::Name])?;
    let peers = session.reading().await?.peers().await?;
    match format {
        Format::Json => return session.output.json(&peers),
        Format::Yaml => return session.output.yaml(&peers),
        Format::Name => {
            let names = peers.iter().map(|peer| format!("EventPeer/{}", peer.name));
            return names.into_iter().try_for_each(|name| session.output.line(&name));
        }
        Format::Table => {}
    }
    let now = session.now();
    let mut table = Table::new(&[
        "NAME",
        "GROUP",
        "NODE",
        "DIRECTION",
        "DELIVERING",
        "SINCE",
        "PENDING",
        "DEAD",
        "LAST",
        "ENDPOINT",
        "MESSAGE",
    ]);
    for peer in peers {
        let fails = peer.delivering == Some(false);
        table.row([
            peer.name,
            peer.group,
            peer.node_name,
            direction(peer.direction).to_owned(),
            delivering(peer.delivering, &peer.reason),
            peer.since.map(|since| age(since, now)).unwrap_or_default(),
            peer.pending.to_string(),
            peer.dead.to_string(),
            peer.last_delivered_at.map(|last| age(last, now)).unwrap_or_default(),
            peer.endpoint,
            if fails { peer.message } else { String::new() },
        ]);
    }
    session.output.write(&table.to_string())
}

/// The word of the manifest.
pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Push => "push",
        Direction::Receive => "receive",
        Direction::Both => "both",
    }
}

/// `yes`, or why not.
pub(super) fn delivering(delivering: Option<bool>, reason: &str) -> String {
    match delivering {
        Some(true) => "yes".to_owned(),
        Some(false) => format!("no: {reason}"),
        None => String::new(),
    }
}

pub(super) async fn run(session: &mut Session, args: &DeliveriesArgs) -> Result<(), Failure> {
    if let Some(DeliveriesCommand::Summary) = args.command {
        return summary(session).await;
    }
    let format = session.output.format(FORMATS)?;
    let filter = DeliveryFilter {
        group: args.group.clone(),
        peer: args.peer.clone(),
        event_id: args.event_id.clone(),
        status: args.status.map(DeliveryStatus::from),
        limit: args.limit.map(|limit| limit as usize),
    };
    let list = session.reading().await?.deliveries(&filter).await?;
    if list.more {
        let shown = list.items.len();
        session.notes.push(format!("note: {shown} are shown; there are more (--limit)"));
    }
    match format {
        Format::Json => return session.output.json(&list.items),
        Format::Yaml => return session.output.yaml(&list.items),
        _ => {}
    }
    let now = session.now();
    let mut table = Table::new(&[
        "PEER", "GROUP", "STATUS", "SINCE", "TYPE", "SUBJECT", "ENDS", "EVENT", "REASON",
    ]);
    for view in list.items {
        table.row([
            view.peer,
            view.group,
            view.status.as_str().to_owned(),
            age(view.settled_at.unwrap_or(view.received_at), now),
            view.r#type,
            view.subject,
            until(view.live_until, now),
            view.event_id,
            view.reason,
        ]);
    }
    session.output.write(&table.to_string())
}

impl From<Delivery> for DeliveryStatus {
    fn from(typed: Delivery) -> Self {
        match typed {
            Delivery::Pending => Self::Pending,
            Delivery::Delivered => Self::Delivered,
            Delivery::Dead => Self::Dead,
            Delivery::Expired => Self::Expired,
        }
    }
}

async fn summary(session: &mut Session) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let summaries = session.reading().await?.delivery_summary().await?;
    match format {
        Format::Json => return session.output.json(&summaries),
        Format::Yaml => return session.output.yaml(&summaries),
        _ => {}
    }
    let now = session.now();
    let mut table = Table::new(&[
        "GROUP",
        "PEER",
        "EVENTS",
        "DELIVERED",
        "PENDING",
        "DEAD",
        "EXPIRED",
        "LAG",
        "NEAREST EXPIRY",
    ]);
    for own in summaries {
        table.row([
            own.group,
            own.peer,
            own.events.to_string(),
            own.delivered.to_string(),
            own.pending.to_string(),
            own.dead.to_string(),
            own.expired.to_string(),
            own.oldest_pending.map(|oldest| age(oldest, now)).unwrap_or_default(),
            own.nearest_expiry.map(|end| until(end, now)).unwrap_or_default(),
        ]);
    }
    session.output.write(&table.to_string())
}

pub(super) async fn retry(session: &mut Session, args: RetryArgs) -> Result<(), Failure> {
    let format = session.output.format(FORMATS)?;
    let request = RetryRequest { group: args.group, peer: args.peer, event_id: args.event_id };
    let answer = access::daemon(&session.paths).await?.retry_deliveries(request).await?;
    match format {
        Format::Json => session.output.json(&answer),
        Format::Yaml => session.output.yaml(&answer),
        _ => {
            let peers = counted(answer.peers.len() as u64, "peer");
            let revived = counted(answer.revived, "refused event");
            session.output.line(&format!("{peers} tried now, {revived} owed again"))
        }
    }
}
