//! A transaction sees the engine, the group before it and itself, in this order of precedence.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::memory::MemoryEngine;
use super::super::record::Table;
use super::super::{Engine, EngineBatch, Scan};
use super::*;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row(u64, u64);

impl Record for Row {
    const TABLE: Table = Table::new(0x30, "rows", 1);
    type Key = u64;
    fn key(&self) -> u64 {
        self.0
    }
}

/// Writes of one layer: key, and value or delete.
type Writes = Vec<(u64, Option<u64>)>;

fn writes() -> impl Strategy<Value = Writes> {
    prop::collection::vec((0..12_u64, prop::option::of(0..100_u64)), 0..12)
}

fn write(txn: &mut Txn<'_>, writes: &Writes) {
    for &(key, value) in writes {
        match value {
            Some(value) => txn.put(&Row(key, value)).expect("put"),
            None => txn.delete::<Row>(&key).expect("delete"),
        }
    }
}

fn overlay(engine: &MemoryEngine, below: &Overlay, layer: &Writes) -> Overlay {
    let reads = Reads::new(engine);
    let mut txn = Txn::new(&reads, below, 1);
    write(&mut txn, layer);
    txn.into_writes()
}

proptest! {
    #[test]
    fn layered_reads_equal_a_plain_map(
        stored in writes(), group in writes(), own in writes(), from in 0..12_u64, reverse: bool,
    ) {
        let engine = MemoryEngine::new();
        let nothing = Overlay::new();
        let rows = overlay(&engine, &nothing, &stored).into_iter().collect();
        engine.apply(EngineBatch { rows }).expect("applied");
        let below = overlay(&engine, &nothing, &group);
        let reads = Reads::new(&engine);
        let mut txn = Txn::new(&reads, &below, 1);
        write(&mut txn, &own);

        let mut model = BTreeMap::new();
        for (key, value) in stored.iter().chain(&group).chain(&own) {
            match value {
                Some(value) => model.insert(*key, *value),
                None => model.remove(key),
            };
        }
        for key in 0..12 {
            let expected = model.get(&key).map(|value| Row(key, *value));
            prop_assert_eq!(txn.get::<Row>(&key).expect("read"), expected.clone());
            prop_assert_eq!(txn.get::<Row>(&key).expect("read"), expected, "and again");
        }
        let mut expected: Vec<_> = model.range(from..).map(|(k, v)| Row(*k, *v)).collect();
        let mut scan = Scan::from(&from);
        if reverse {
            expected.reverse();
            scan = scan.reverse();
        }
        let rows: Result<Vec<_>, _> = txn.scan::<Row>(&scan).collect();
        prop_assert_eq!(rows.expect("rows"), expected);
    }
}

#[test]
fn what_cannot_be_stored_is_refused_by_name() {
    #[derive(Serialize, Deserialize)]
    struct Big(String, String);
    impl Record for Big {
        const TABLE: Table = Table::new(0x31, "big", 1);
        type Key = String;
        fn key(&self) -> String {
            self.0.clone()
        }
    }
    let (engine, nothing) = (MemoryEngine::new(), Overlay::new());
    let reads = Reads::new(&engine);
    let mut txn = Txn::new(&reads, &nothing, 1);
    let long_key = txn.put(&Big("k".repeat(9000), String::new()));
    assert!(matches!(long_key, Err(StoreError::KeyTooLong { table: "big", .. })));
    let large = txn.put(&Big(String::new(), "v".repeat(MAX_RECORD_BYTES)));
    assert!(matches!(large, Err(StoreError::TooLarge { table: "big", .. })));
}
