//! Facts as the store holds them: one with its event, and at a start all those that have a say.
//!
//! Most rows of a long history are facts that ended, and the store keeps the others apart. Only when
//! the manifests have come to reach further than when the two were told apart, all are looked at: then
//! no more is read of a row than says whether it has a say, and several ranges are read side by side.

use std::collections::HashSet;
use std::sync::Arc;

use crate::api::fact::FactId;
use crate::controllers::world::Fact;
use crate::store::facts::{Reach, find, put_fact};
use crate::store::tables::{EndedFact, EventRow, FactEnd, FactRow};
use crate::store::{Scan, Store, StoreError, WriteError};

/// Ranges that are read at the same time. Ids are digests: the ranges are equally long.
const RANGES: u8 = 4;
/// Facts that are moved in one transaction.
const SLICE: usize = 512;

/// How often a fact is read again that changed while it was read.
const ATTEMPTS: usize = 4;

/// A fact with its event; `None` without either.
pub(super) fn read(store: &Store, id: &FactId) -> Result<Option<Arc<Fact>>, StoreError> {
    for _ in 0..ATTEMPTS {
        let Some(row) = find(store, id)? else { return Ok(None) };
        if let Some(fact) = with_event(store, row)? {
            return Ok(Some(fact));
        }
        // Superseded since, and its event pruned: there is a newer row.
    }
    Ok(None)
}

fn with_event(store: &Store, row: FactRow) -> Result<Option<Arc<Fact>>, StoreError> {
    let event = store.get::<EventRow>(&(row.group.clone(), row.event_id.clone()))?;
    let event = event.filter(|event| event.seq == row.seq);
    Ok(event.map(|event| Arc::new(Fact::new(row, event))))
}

/// The facts that have a say by this reach, and those that somebody has dealt with.
pub(super) fn with_a_say(
    store: &Store,
    reach: &Reach,
    mut wanted: HashSet<FactId>,
) -> Result<Vec<Arc<Fact>>, StoreError> {
    if !Reach::load(store)?.covers(reach) {
        wanted.extend(complete(store, reach)?);
    }
    let mut facts = Vec::new();
    for row in store.scan::<FactRow>(&Scan::all()) {
        let row = row?;
        let id = row.fact;
        match with_event(store, row)? {
            Some(fact) => {
                wanted.remove(&id);
                facts.push(fact);
            }
            None => _ = wanted.insert(id),
        }
    }
    for id in wanted {
        facts.extend(read(store, &id)?);
    }
    Ok(facts)
}

/// Moves all facts that are within reach and were kept with those that ended; returns them. Where
/// nothing can be written they are found all the same, and looked for again the next time.
fn complete(store: &Store, reach: &Reach) -> Result<Vec<FactId>, StoreError> {
    // From now on nothing within reach is put there; a crash before the end begins it again.
    let begun = save(store, Reach { complete: false, ..reach.clone() });
    let within = within(store, reach)?;
    let completed = begun.and_then(|()| {
        within.chunks(SLICE).try_for_each(|slice| move_all(store, slice))?;
        save(store, reach.clone())
    });
    if let Err(error) = completed {
        tracing::warn!(%error, "facts that ended could not be moved; all are read again");
    }
    Ok(within)
}

fn move_all(store: &Store, facts: &[FactId]) -> Result<(), StoreError> {
    let facts = facts.to_vec();
    let moved = store.write_blocking(move |txn| {
        for id in &facts {
            if let Some(row) = find(txn, id)? {
                put_fact(txn, Some(&row), row.clone())?;
            }
        }
        Ok::<_, StoreError>(())
    });
    moved.map(drop).map_err(failed)
}

fn save(store: &Store, reach: Reach) -> Result<(), StoreError> {
    store.write_blocking(move |txn| reach.save(txn)).map(drop).map_err(failed)
}

fn failed(error: WriteError<StoreError>) -> StoreError {
    match error {
        WriteError::Rejected(error) | WriteError::Store(error) => error,
        WriteError::Panicked(why) => StoreError::Failed(why),
    }
}

/// The facts within reach, of all that are kept with those that ended.
fn within(store: &Store, reach: &Reach) -> Result<Vec<FactId>, StoreError> {
    std::thread::scope(|scope| {
        let of_range = |range: Scan| {
            let read = range.clone();
            let read = move || within_range(store, &read, reach);
            (range, std::thread::Builder::new().spawn_scoped(scope, read))
        };
        let ranges: Vec<_> = ranges().map(of_range).collect();
        let mut facts = Vec::new();
        for (range, thread) in ranges {
            let read = match thread {
                // A panic in there is one here.
                Ok(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                // The system gives no more threads, or no addresses for one.
                Err(_) => within_range(store, &range, reach),
            };
            facts.append(&mut read?);
        }
        Ok(facts)
    })
}

fn within_range(store: &Store, range: &Scan, reach: &Reach) -> Result<Vec<FactId>, StoreError> {
    let mut found = Vec::new();
    for row in store.scan_as::<EndedFact, FactEnd>(range) {
        let row = row?;
        if reach.holds_end(&row) {
            found.push(row.fact);
        }
    }
    Ok(found)
}

/// All ids, cut into ranges by their first byte.
fn ranges() -> impl Iterator<Item = Scan> {
    (0..RANGES).map(|range| {
        let from = range * (u8::MAX / RANGES + 1);
        let scan = Scan::from(&first_with(from));
        match from.checked_add(u8::MAX / RANGES + 1) {
            Some(to) => scan.until(&first_with(to)),
            None => scan,
        }
    })
}

/// The least id with this first byte.
fn first_with(byte: u8) -> FactId {
    let mut id = [0; 16];
    id[0] = byte;
    FactId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Time;
    use crate::store::MemoryEngine;

    fn row(first: u8, rest: u8) -> FactRow {
        let mut id = [rest; 16];
        id[0] = first;
        FactRow {
            fact: FactId(id),
            group: "g".into(),
            seq: 1,
            event_id: "e".into(),
            event_type: "t".into(),
            observed_at: Time::UNIX_EPOCH,
            expires_at: None,
            stretches: Vec::new(),
            ended: None,
        }
    }

    #[test]
    fn the_ranges_hold_every_fact_once() {
        let store = Store::in_memory(MemoryEngine::new());
        let rows: Vec<_> = (0..=u8::MAX).flat_map(|n| [row(n, 0), row(n, 0xff)]).collect();
        let stored: Vec<_> = rows.iter().map(|row| row.fact).collect();
        let written = store.write_blocking(move |txn| {
            rows.into_iter().try_for_each(|row| txn.put(&EndedFact(row)))
        });
        written.expect("in memory");
        let read = |range| store.scan_as::<EndedFact, FactEnd>(&range);
        let read: Vec<_> = ranges().flat_map(read).map(|row| row.expect("a row").fact).collect();
        assert_eq!(read, stored);
    }
}
