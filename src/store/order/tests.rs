//! The order of receipt against a plain list.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::MemoryEngine;

fn all(events: impl Iterator<Item = Result<(u64, String), StoreError>>) -> Vec<(u64, String)> {
    events.map(|event| event.expect("it reads")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_what_a_list_would_be(
        steps in proptest::collection::vec((0..3u8, 0..200u64, 1..40u64), 1..40),
        asked in 0..300u64,
    ) {
        let store = Store::in_memory(MemoryEngine::new());
        let mut lists: BTreeMap<&str, BTreeMap<u64, String>> = BTreeMap::new();
        let mut next = 1;
        for (what, from, count) in steps {
            let group = if count % 5 == 0 { "h" } else { "g" };
            let list = lists.entry(group).or_default();
            let wrote = if what == 0 {
                let places: Vec<u64> = list.keys().copied().filter(|p| *p >= from).take(usize::try_from(count).expect("few")).collect();
                places.iter().for_each(|place| drop(list.remove(place)));
                store.write_blocking(move |txn| remove(txn, group, &places))
            } else {
                let new: Vec<(u64, String)> = (next..next + count).map(|seq| (seq, format!("e{seq}"))).collect();
                next += count;
                list.extend(new.iter().cloned());
                store.write_blocking(move |txn| new.iter().try_for_each(|(seq, id)| append(txn, group, *seq, id)))
            };
            wrote.expect("in memory");
        }
        for (group, list) in lists {
            let after: Vec<_> = list.range(asked + 1..).map(|(seq, id)| (*seq, id.clone())).collect();
            prop_assert_eq!(all(super::after(&store, group, asked).expect("it reads")), after);
            let newest: Vec<_> = list.iter().rev().map(|(seq, id)| (*seq, id.clone())).collect();
            prop_assert_eq!(all(newest_first(&store, group).expect("it reads")), newest);
            let id = at(&store, group, asked).expect("it reads");
            prop_assert_eq!(id.as_ref(), list.get(&asked));
            prop_assert_eq!(count(&store, group).expect("it reads"), list.len() as u64);
        }
    }
}

#[test]
fn a_page_has_a_limit_and_an_event_costs_a_part_of_it() {
    let store = Store::in_memory(MemoryEngine::new());
    let wrote =
        store.write_blocking(|txn| (1..=100).try_for_each(|seq| append(txn, "g", seq, "e")));
    wrote.expect("in memory");
    let pages = store.scan::<OrderPage>(&Scan::all());
    let pages: Vec<usize> = pages.map(|page| page.expect("it reads").events.len()).collect();
    assert_eq!(pages, [32, 32, 32], "the last four are with the number");
    let wrote = store.write_blocking(|txn| remove(txn, "g", &(1..=40).collect::<Vec<_>>()));
    wrote.expect("in memory");
    assert_eq!(store.scan::<OrderPage>(&Scan::all()).count(), 2, "an empty one goes");
}
