//! What the outbox writes: how deliveries ended, which store was met, and what is forgotten.
//!
//! Each is one small transaction that may run twice.

use std::sync::Arc;

use super::index::{Current, Peering};
use crate::api::Time;
use crate::api::delivery::{Ack, Verdict};
use crate::store::tables::{DeliveryRow, OutboxRow};
use crate::store::{Scan, Store, StoreError, WriteError};

/// Rows that one transaction deletes at most.
pub const SLICE: usize = 512;

/// How sending one event ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The event.
    pub current: Arc<Current>,
    /// As it was sent.
    pub observed_at: Time,
    /// As it was sent.
    pub expires_at: Option<Time>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it was given up.
    pub reason: String,
}

type Wrote<T> = Result<T, WriteError<StoreError>>;

/// Puts endings on record, for the store of `epoch`. Returns the rows.
pub async fn endings(
    store: &Store,
    peer: &Arc<str>,
    peering: &Peering,
    epoch: u32,
    endings: Vec<Ending>,
    now: Time,
) -> Wrote<(OutboxRow, Vec<DeliveryRow>)> {
    let rows: Vec<DeliveryRow> = endings
        .into_iter()
        .map(|ending| DeliveryRow {
            peer: peer.to_string(),
            fact: ending.current.fact,
            group: ending.current.group.to_string(),
            event_id: ending.current.id.clone(),
            ack: Ack {
                epoch,
                seq: ending.current.offer.seq,
                observed_at: ending.observed_at,
                expires_at: ending.expires_at,
                verdict: ending.verdict,
            },
            at: now,
            reason: ending.reason,
        })
        .collect();
    let (name, uid) = (peer.to_string(), peering.accepted.uid.clone());
    let bytes = rows.len() * 256;
    let wrote = store.write_sized(bytes, move |txn| {
        rows.iter().try_for_each(|row| txn.put(row))?;
        let old = txn.get::<OutboxRow>(&name)?;
        let known = old.as_ref().map_or(0, |old| old.epoch);
        let own = old.filter(|old| old.uid == uid);
        // What expires before the peer was ever met is counted as well.
        let mut outbox = own.unwrap_or_else(|| {
            let epoch = if known == 0 { 0 } else { known + 1 };
            OutboxRow::new(&name, &uid, "", epoch, now)
        });
        for row in &rows {
            match row.ack.verdict {
                Verdict::Delivered => {
                    outbox.delivered += 1;
                    outbox.delivered_at = Some(now);
                }
                Verdict::Dead => outbox.dead += 1,
                Verdict::Expired => outbox.expired += 1,
            }
        }
        txn.put(&outbox)?;
        Ok::<_, StoreError>((outbox, rows))
    });
    Ok(wrote.await?.value)
}

/// The peer's present store is `id`. Returns its row: a new one if it is another store, or another
/// peer of the same name.
pub async fn meet(
    store: &Store,
    peer: &Arc<str>,
    peering: &Peering,
    id: String,
    now: Time,
) -> Wrote<OutboxRow> {
    let (name, uid) = (peer.to_string(), peering.accepted.uid.clone());
    let wrote = store.write(move |txn| {
        let old = txn.get::<OutboxRow>(&name)?;
        let epoch = old.as_ref().map_or(0, |old| old.epoch);
        let new = match old.filter(|old| old.uid == uid) {
            Some(old) if old.store == id && old.epoch > 0 => return Ok(old),
            Some(old) => OutboxRow { store: id, epoch: epoch + 1, since: now, ..old },
            None => OutboxRow::new(&name, &uid, &id, epoch + 1, now),
        };
        txn.put(&new)?;
        Ok::<_, StoreError>(new)
    });
    Ok(wrote.await?.value)
}

/// Forgets what is on record of facts that are no longer stored.
pub async fn forget(
    store: &Store,
    peer: &Arc<str>,
    facts: Vec<crate::api::fact::FactId>,
) -> Wrote<()> {
    let name = peer.to_string();
    let wrote = store.write(move |txn| {
        facts.iter().try_for_each(|fact| txn.delete::<DeliveryRow>(&(name.clone(), *fact)))
    });
    wrote.await?;
    Ok(())
}

/// Deletes a slice of the rows of a peer that nothing is pushed to. Returns whether there are more.
pub async fn clean_up(store: &Store, peer: &Arc<str>) -> Wrote<bool> {
    let name = peer.to_string();
    let wrote = store.write(move |txn| {
        let scan = Scan::prefix(&name);
        let rows = txn.scan::<DeliveryRow>(&scan).take(SLICE);
        let keys: Vec<_> = rows.map(|row| row.map(|row| row.fact)).collect::<Result<_, _>>()?;
        for fact in &keys {
            txn.delete::<DeliveryRow>(&(name.clone(), *fact))?;
        }
        let more = keys.len() == SLICE;
        if !more {
            txn.delete::<OutboxRow>(&name)?;
        }
        Ok::<_, StoreError>(more)
    });
    Ok(wrote.await?.value)
}
