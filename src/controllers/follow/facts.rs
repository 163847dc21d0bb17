//! Facts as the store holds them: one with its event, and at a start all those that have a say.
//!
//! Most rows of a long history are facts that ended. A start has to look at each of them once, so it
//! reads no more of a row than says that, and reads several ranges side by side.

use std::sync::Arc;

use crate::api::fact::FactId;
use crate::controllers::world::Fact;
use crate::store::tables::{EventRow, FactEnd, FactRow};
use crate::store::{Scan, Store, StoreError};

/// Ranges that are read at the same time. Ids are digests: the ranges are equally long.
const RANGES: u8 = 4;

/// A fact with its event; `None` without either.
pub(super) fn read(store: &Store, id: &FactId) -> Result<Option<Arc<Fact>>, StoreError> {
    let Some(row) = store.get::<FactRow>(id)? else { return Ok(None) };
    let event = store.get::<EventRow>(&(row.group.clone(), row.seq))?;
    Ok(event.map(|event| Arc::new(Fact::new(row, event))))
}

/// The facts of which `has_a_say` is true.
pub(super) fn with_a_say(
    store: &Store,
    has_a_say: impl Fn(&FactEnd) -> bool + Sync,
) -> Result<Vec<Arc<Fact>>, StoreError> {
    let has_a_say = &has_a_say;
    std::thread::scope(|scope| {
        let ranges: Vec<_> =
            ranges().map(|range| scope.spawn(move || of_range(store, &range, has_a_say))).collect();
        let mut facts = Vec::new();
        for range in ranges {
            // A panic in there is one here.
            let read = range.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            facts.append(&mut read?);
        }
        Ok(facts)
    })
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

fn of_range(
    store: &Store,
    range: &Scan,
    has_a_say: &impl Fn(&FactEnd) -> bool,
) -> Result<Vec<Arc<Fact>>, StoreError> {
    let mut facts = Vec::new();
    for row in store.scan_as::<FactRow, FactEnd>(range) {
        let row = row?;
        if has_a_say(&row) {
            facts.extend(read(store, &row.fact)?);
        }
    }
    Ok(facts)
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
        let written = store.write_blocking(move |txn| rows.iter().try_for_each(|r| txn.put(r)));
        written.expect("in memory");
        let read = |range| store.scan_as::<FactRow, FactEnd>(&range);
        let read: Vec<_> = ranges().flat_map(read).map(|row| row.expect("a row").fact).collect();
        assert_eq!(read, stored);
    }
}
