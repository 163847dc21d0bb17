//! The scrub finds bad and missing rows, also while the store is written to.

use super::super::engine::EngineBatch;
use super::super::memory::MemoryEngine;
use super::*;

fn rows(keys: std::ops::Range<u16>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let row = |n: u16| frame::encode(&[&[0x20], &n.to_be_bytes()[..]].concat(), 1, b"value");
    keys.flat_map(row).collect()
}

fn store(count: u16) -> (MemoryEngine, Meta) {
    let engine = MemoryEngine::new();
    let mut meta = Meta::new([0; 16], 1);
    let mut batch = EngineBatch::default();
    for (key, value) in rows(0..count) {
        meta.rows.insert(&key, &value);
        batch.put(key, value);
    }
    engine.apply(batch).expect("applied");
    (engine, meta)
}

fn pass(scrub: &mut Scrub, engine: &MemoryEngine, meta: &Meta) -> Slice {
    loop {
        match scrub.slice(engine, meta) {
            Slice::More => {}
            end => return end,
        }
    }
}

#[test]
fn an_intact_store_is_clean() {
    for count in [0, 1, 256, 1000] {
        let (engine, meta) = store(count);
        let mut scrub = Scrub::new();
        assert_eq!(pass(&mut scrub, &engine, &meta), Slice::Clean);
        assert_eq!(scrub.checked(), u64::from(count));
    }
}

#[test]
fn a_row_that_vanished_is_found() {
    let (engine, meta) = store(1000);
    let mut batch = EngineBatch::default();
    batch.delete(rows(500..501)[0].0.clone());
    engine.apply(batch).expect("applied");
    assert!(matches!(pass(&mut Scrub::new(), &engine, &meta), Slice::Damaged(_)));
}

#[test]
fn a_row_that_changed_on_disk_is_found() {
    let (engine, meta) = store(1000);
    let (key, mut value) = rows(500..501).swap_remove(0);
    value[9] ^= 1;
    engine.apply(EngineBatch { rows: vec![(key, Some(value))] }).expect("applied");
    assert!(matches!(pass(&mut Scrub::new(), &engine, &meta), Slice::Damaged(_)));
}

#[test]
fn writes_before_and_behind_the_cursor_are_no_damage() {
    let (engine, mut meta) = store(1000);
    let mut scrub = Scrub::new();
    assert_eq!(scrub.slice(&engine, &meta), Slice::More);
    for (key, value) in rows(100..101).into_iter().chain(rows(900..901)) {
        let mut delta = RowDelta::default();
        delta.replace(&key, Some(&value), None);
        if scrub.has_passed(&key) {
            scrub.adjust(delta);
        }
        meta.rows.add(delta);
        engine.apply(EngineBatch { rows: vec![(key, None)] }).expect("applied");
    }
    assert_eq!(pass(&mut scrub, &engine, &meta), Slice::Clean);
}
