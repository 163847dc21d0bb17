//! The crash model.

use super::*;

fn batch(n: u8) -> EngineBatch {
    EngineBatch { rows: vec![(vec![n], Some(vec![n])), (b"last".to_vec(), Some(vec![n]))] }
}

fn rows(engine: &MemoryEngine) -> usize {
    engine.range(Bound::Unbounded, Bound::Unbounded, false).count()
}

#[test]
fn a_crash_loses_what_was_not_synced_and_nothing_else() {
    let engine = MemoryEngine::new();
    engine.apply(batch(1)).expect("applied");
    engine.sync().expect("synced");
    engine.apply(batch(2)).expect("applied");
    let after = engine.crash();
    assert_eq!(after.get(&[1]).expect("read"), Some(vec![1]));
    assert_eq!(after.get(&[2]).expect("read"), None);
    assert_eq!(after.get(b"last").expect("read"), Some(vec![1]));
}

#[test]
fn any_number_of_whole_unsynced_batches_may_survive() {
    let engine = MemoryEngine::new();
    (1..=3).for_each(|n| engine.apply(batch(n)).expect("applied"));
    let mut seen: Vec<_> = (0..64).map(|seed| rows(&engine.crash_with_seed(seed))).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 2, 3, 4]);
}

#[test]
fn a_fault_strikes_the_nth_call_once() {
    let engine = MemoryEngine::new();
    engine.fail(Operation::Apply, 2, Fault::DiskFull);
    engine.apply(batch(1)).expect("the first");
    assert!(matches!(engine.apply(batch(2)), Err(EngineError::DiskFull { .. })));
    assert_eq!(engine.get(&[2]).expect("read"), None);
    engine.apply(batch(2)).expect("the third");
}

#[test]
fn ranges_go_both_ways_across_pages() {
    let engine = MemoryEngine::new();
    let keys: Vec<_> = (0..1000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let rows = keys.iter().map(|key| (key.clone(), Some(Vec::new()))).collect();
    engine.apply(EngineBatch { rows }).expect("applied");
    let read = |reverse| {
        let (from, to) = (Bound::Excluded(keys[9].clone()), Bound::Excluded(keys[990].clone()));
        engine.range(from, to, reverse).map(|row| row.expect("a row").0).collect::<Vec<_>>()
    };
    assert_eq!(read(false), keys[10..990]);
    let mut backwards = read(true);
    backwards.reverse();
    assert_eq!(backwards, keys[10..990]);
}
