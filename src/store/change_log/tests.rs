//! The log on disk and in memory are the same, whatever the size of the groups.

use proptest::prelude::*;

use super::super::memory::MemoryEngine;
use super::*;

fn change(revision: Revision, key_bytes: usize) -> Change {
    Change { revision, table: 0x20, key: vec![7; key_bytes], kind: ChangeKind::Put }
}

fn commit(log: &mut ChangeLog, engine: &MemoryEngine, changes: Vec<Change>) {
    let mut batch = EngineBatch::default();
    let group = log.stage(changes, &mut batch);
    assert!(batch.rows.iter().all(|(_, value)| value.as_ref().is_none_or(|v| v.len() < 65_536)));
    engine.apply(batch).expect("applied");
    log.append(group);
}

fn empty() -> ChangeLog {
    ChangeLog::load(&MemoryEngine::new(), 0).expect("loaded")
}

proptest! {
    #[test]
    fn a_log_reads_back_from_disk_as_it_is_in_memory(
        groups in prop::collection::vec(prop::collection::vec(1..9000_usize, 1..12), 1..12),
    ) {
        let engine = MemoryEngine::new();
        let mut log = empty();
        let mut revision = 0;
        for sizes in groups {
            let changes = sizes.into_iter().map(|size| { revision += 1; change(revision, size) });
            commit(&mut log, &engine, changes.collect());
        }
        let loaded = ChangeLog::load(&engine, revision).expect("loaded");
        for cursor in 0..=revision {
            prop_assert_eq!(loaded.read(cursor, revision, 5), log.read(cursor, revision, 5));
        }
    }
}

#[test]
fn a_gap_in_the_log_makes_older_cursors_lag() {
    let engine = MemoryEngine::new();
    let mut log = empty();
    (1..=5).for_each(|revision| commit(&mut log, &engine, vec![change(revision, 3)]));
    let mut batch = EngineBatch::default();
    batch.put(row_key(3, 0), b"not a frame".to_vec());
    engine.apply(batch).expect("applied");
    let loaded = ChangeLog::load(&engine, 5).expect("loaded");
    assert_eq!(loaded.read(2, 5, 9), Read::Lagged(5));
    assert!(matches!(loaded.read(3, 5, 9), Read::Batch(5, keys) if keys.len() == 2));
}

#[test]
fn a_batch_ends_between_groups_and_holds_at_least_one() {
    let (engine, mut log) = (MemoryEngine::new(), empty());
    commit(&mut log, &engine, (1..=3).map(|revision| change(revision, 3)).collect());
    commit(&mut log, &engine, vec![change(4, 3)]);
    assert!(matches!(log.read(0, 4, 2), Read::Batch(3, keys) if keys.len() == 3));
    assert!(matches!(log.read(3, 4, 2), Read::Batch(4, keys) if keys.len() == 1));
    assert_eq!(log.read(4, 4, 2), Read::UpToDate);
    // The last group is not durable yet.
    assert!(matches!(log.read(0, 3, 9), Read::Batch(3, keys) if keys.len() == 3));
    assert_eq!(log.read(3, 3, 9), Read::UpToDate);
}
