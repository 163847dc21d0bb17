//! The store as its users see it, on the memory engine and with the real writer thread.

use std::convert::Infallible;
use std::pin::pin;

use serde::{Deserialize, Serialize};

use super::super::memory::{Fault, Operation};
use super::super::record::Table;
use super::super::watch::{ChangeKind, Changes};
use super::*;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    group: String,
    id: u64,
    text: String,
}

impl Record for Note {
    const TABLE: Table = Table::new(0x42, "notes", 1);
    type Key = (String, u64);
    fn key(&self) -> Self::Key {
        (self.group.clone(), self.id)
    }
}

fn note(group: &str, id: u64, text: &str) -> Note {
    Note { group: group.to_owned(), id, text: text.to_owned() }
}

fn key(group: &str, id: u64) -> (String, u64) {
    (group.to_owned(), id)
}

async fn put(store: &Store, record: Note) -> Result<Revision, WriteError<StoreError>> {
    store.write(move |txn| txn.put(&record)).await.map(|committed| committed.revision)
}

#[tokio::test]
async fn each_write_that_changes_something_gets_the_next_revision() {
    let store = Store::in_memory(MemoryEngine::new());
    assert_eq!(put(&store, note("a", 1, "x")).await.expect("written"), 1);
    assert_eq!(put(&store, note("a", 2, "x")).await.expect("written"), 2);
    assert_eq!(store.head(), 2);
}

#[tokio::test]
async fn writing_what_is_there_already_writes_nothing() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    put(&store, note("a", 1, "x")).await.expect("written");
    let applies = engine.applies();
    assert_eq!(put(&store, note("a", 1, "x")).await.expect("accepted"), 1);
    let gone = store.write(|txn| txn.delete::<Note>(&key("a", 9))).await.expect("accepted");
    assert_eq!((gone.revision, engine.applies()), (1, applies));
}

#[tokio::test]
async fn a_refused_transaction_leaves_no_trace() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    let refused = store.write(|txn| {
        txn.put(&note("a", 1, "x")).map_err(|_| "store")?;
        Err::<(), _>("no")
    });
    assert!(matches!(refused.await, Err(WriteError::Rejected("no"))));
    assert_eq!(store.get::<Note>(&key("a", 1)).expect("read"), None);
    assert_eq!((store.head(), engine.applies()), (0, 0));
}

#[tokio::test]
async fn a_panic_fails_its_own_transaction_only() {
    let store = Store::threaded_in_memory(&MemoryEngine::new());
    let panics = store.write(|txn| -> Result<(), Infallible> {
        txn.put(&note("a", 1, "x")).expect("put");
        panic!("a bug in a closure")
    });
    let (panicked, written) = tokio::join!(panics, put(&store, note("a", 2, "x")));
    assert!(matches!(panicked, Err(WriteError::Panicked(text)) if text == "a bug in a closure"));
    assert_eq!(written.expect("written"), 1);
    assert_eq!(store.get::<Note>(&key("a", 1)).expect("read"), None);
}

#[tokio::test]
async fn scans_follow_the_order_of_keys_and_stay_inside_their_prefix() {
    let store = Store::in_memory(MemoryEngine::new());
    for (group, id) in [("b", 1), ("a", 300), ("a", 2), ("ab", 1), ("a", 1)] {
        put(&store, note(group, id, "x")).await.expect("written");
    }
    let read = |scan: &Scan| -> Vec<_> {
        store.scan::<Note>(scan).map(|row| row.expect("a row").key()).collect()
    };
    let group = Scan::prefix(&"a".to_owned());
    assert_eq!(read(&group), [key("a", 1), key("a", 2), key("a", 300)]);
    assert_eq!(read(&group.clone().reverse()), [key("a", 300), key("a", 2), key("a", 1)]);
    assert_eq!(read(&group.clone().and_after(&key("a", 1))), [key("a", 2), key("a", 300)]);
    assert_eq!(read(&group.until(&key("a", 300))), [key("a", 1), key("a", 2)]);
    assert_eq!(read(&Scan::from(&key("ab", 1))), [key("ab", 1), key("b", 1)]);
    assert_eq!(read(&Scan::prefix(&"c".to_owned())), []);
}

#[tokio::test]
async fn large_records_come_back_whole_and_leave_nothing_behind() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    let large = |fill: &str| note("a", 1, &fill.repeat(1 << 20));
    for record in [large("x"), large("yz"), note("a", 1, "small"), large("x")] {
        put(&store, record.clone()).await.expect("written");
        assert_eq!(store.get::<Note>(&key("a", 1)).expect("read"), Some(record));
    }
    store.write(|txn| txn.delete::<Note>(&key("a", 1))).await.expect("deleted");
    let left = engine.range(std::ops::Bound::Included(vec![2]), std::ops::Bound::Unbounded, false);
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn what_is_acknowledged_survives_a_crash_and_revisions_go_on() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    put(&store, note("a", 1, "x")).await.expect("written");
    let store = Store::in_memory(engine.crash());
    assert_eq!(store.get::<Note>(&key("a", 1)).expect("read"), Some(note("a", 1, "x")));
    assert_eq!(put(&store, note("a", 2, "x")).await.expect("written"), 2);
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_and_goes_on_when_there_is_room() {
    let engine = MemoryEngine::new();
    let store = Store::threaded_in_memory(&engine);
    engine.fail(Operation::Apply, 1, Fault::DiskFull);
    let full = put(&store, note("a", 1, "x")).await;
    assert!(matches!(full, Err(WriteError::Store(StoreError::DiskFull { .. }))));
    assert!(matches!(store.health().borrow().writes, Writes::DiskFull { .. }));
    assert_eq!(put(&store, note("a", 1, "x")).await.expect("room again"), 1);
    assert_eq!(store.health().borrow().writes, Writes::Ok);
}

#[tokio::test]
async fn after_an_io_error_nothing_is_acknowledged_any_more() {
    for operation in [Operation::Apply, Operation::Sync] {
        let engine = MemoryEngine::new();
        let store = Store::threaded_in_memory(&engine);
        engine.fail(operation, 1, Fault::Io);
        for _ in 0..2 {
            let failed = put(&store, note("a", 1, "x")).await;
            assert!(matches!(failed, Err(WriteError::Store(StoreError::Failed(_)))));
        }
        assert!(matches!(store.health().borrow().writes, Writes::Failed(_)));
        assert_eq!(store.head(), 0);
        assert_eq!(store.watch(0).next().await, Changes::Closed);
    }
}

#[tokio::test]
async fn writers_that_wait_together_share_one_sync() {
    let engine = MemoryEngine::new();
    let store = Store::threaded_in_memory(&engine);
    let (release, busy) = std::sync::mpsc::channel::<()>();
    // The first transaction keeps the writer busy until all the others are queued.
    let first = store.write(move |txn| {
        _ = busy.recv();
        txn.put(&note("a", 0, "x"))
    });
    let others = (1..=100).map(|id| put(&store, note("a", id, "x")));
    let queued = futures::future::join_all(others);
    let release = async { drop(release) };
    let (first, others, ()) = tokio::join!(first, queued, release);
    first.expect("written");
    let mut revisions: Vec<_> = others.into_iter().map(|done| done.expect("written")).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=101).collect::<Vec<_>>());
    assert_eq!(engine.syncs(), 1);
}

#[tokio::test]
async fn a_watcher_sees_every_change_once_and_in_order() {
    let store = Store::threaded_in_memory(&MemoryEngine::new());
    let mut watch = store.watch(0);
    let writes = async {
        for id in 0..50 {
            put(&store, note("a", id, "x")).await.expect("written");
        }
        store.write(|txn| txn.delete::<Note>(&key("a", 0))).await.expect("deleted");
    };
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < 51 {
            let Changes::Batch { keys, .. } = watch.next().await else { panic!("lagged") };
            seen.extend(keys);
        }
        seen
    };
    let ((), seen) = tokio::join!(writes, read);
    let revisions: Vec<_> = seen.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (1..=51).collect::<Vec<_>>());
    assert_eq!(seen[50].key_of::<Note>(), Some(Ok(key("a", 0))));
    assert_eq!(seen[50].kind, ChangeKind::Delete);
}

#[tokio::test]
async fn a_watcher_waits_until_something_happens_and_ends_with_the_store() {
    let store = Store::threaded_in_memory(&MemoryEngine::new());
    let mut watch = store.watch(0);
    let (changes, written) = tokio::join!(watch.next(), put(&store, note("a", 1, "x")));
    assert_eq!(written.expect("written"), 1);
    assert!(matches!(changes, Changes::Batch { upto: 1, .. }));
    let (end, ()) = tokio::join!(watch.next(), store.clone().close());
    assert_eq!(end, Changes::Closed);
    let refused = put(&store, note("a", 2, "x")).await;
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Closed))));
}

#[tokio::test]
async fn who_gets_ready_hears_of_a_group_while_it_is_synced_and_all_others_when_it_is_durable() {
    let engine = MemoryEngine::new();
    let store = Store::threaded_in_memory(&engine);
    let (mut ready, mut durable) = (store.watch_applied(0), store.watch(0));
    let busy = engine.stall_syncs();
    let mut written = pin!(put(&store, note("a", 1, "x")));
    assert!(futures::poll!(&mut written).is_pending());
    assert!(matches!(ready.next().await, Changes::Batch { upto: 1, .. }));
    assert_eq!((store.applied(), store.head()), (1, 0));
    {
        let mut synced = pin!(store.settled());
        let mut told = pin!(durable.next());
        assert!(futures::poll!(&mut written).is_pending());
        assert!(futures::poll!(&mut synced).is_pending());
        assert!(futures::poll!(&mut told).is_pending());
        drop(busy);
        synced.await.expect("the disk took it");
        assert!(matches!(told.await, Changes::Batch { upto: 1, .. }));
    }
    assert_eq!(written.await.expect("written"), 1);
    assert_eq!(store.head(), 1);
}

#[tokio::test]
async fn what_a_full_disk_refused_is_waited_for_by_nobody() {
    let engine = MemoryEngine::new();
    let store = Store::threaded_in_memory(&engine);
    put(&store, note("a", 1, "x")).await.expect("written");
    engine.fail(Operation::Apply, 1, Fault::DiskFull);
    put(&store, note("a", 2, "x")).await.expect_err("the disk is full");
    store.settled().await.expect("all that is there is durable");
}

#[tokio::test]
async fn what_the_disk_did_not_take_is_never_called_durable() {
    let engine = MemoryEngine::new();
    let store = Store::threaded_in_memory(&engine);
    let (mut ready, mut durable) = (store.watch_applied(0), store.watch(0));
    engine.fail(Operation::Sync, 1, Fault::Io);
    put(&store, note("a", 1, "x")).await.expect_err("the disk failed");
    assert!(matches!(ready.next().await, Changes::Batch { upto: 1, .. }));
    assert_eq!(ready.next().await, Changes::Closed);
    assert_eq!(durable.next().await, Changes::Closed);
    let settled = store.settled().await;
    assert!(matches!(settled, Err(StoreError::Failed(_))), "{settled:?}");
    assert_eq!(store.head(), 0);
}

#[tokio::test]
async fn a_writer_that_panics_is_waited_for_by_nobody() {
    for operation in [Operation::Apply, Operation::Sync] {
        let engine = MemoryEngine::new();
        let store = Store::threaded_in_memory(&engine);
        let mut durable = store.watch(0);
        engine.fail(operation, 1, Fault::Panic);
        put(&store, note("a", 1, "x")).await.expect_err("the writer is gone");
        let settled = store.settled().await;
        assert!(matches!(settled, Err(StoreError::Failed(_))), "{settled:?}");
        assert_eq!(durable.next().await, Changes::Closed);
        assert!(matches!(store.health().borrow().writes, Writes::Failed(_)));
        put(&store, note("a", 2, "x")).await.expect_err("the writer is gone");
    }
}

#[tokio::test]
async fn who_waits_for_a_group_that_is_refused_meanwhile_waits_no_longer() {
    let engine = MemoryEngine::new();
    let store = Store::threaded_in_memory(&engine);
    let busy = engine.stall_syncs();
    let mut first = pin!(put(&store, note("a", 1, "x")));
    assert!(futures::poll!(&mut first).is_pending());
    store.watch_applied(0).next().await;
    // The second group is taken up once the first is synced.
    engine.fail(Operation::Apply, 1, Fault::DiskFull);
    let mut second = pin!(put(&store, note("a", 2, "x")));
    assert!(futures::poll!(&mut second).is_pending());
    let mut settled = pin!(store.settled());
    assert!(futures::poll!(&mut settled).is_pending());
    drop(busy);
    settled.await.expect("the first one is durable");
    first.await.expect("written");
    second.await.expect_err("the disk is full");
    store.settled().await.expect("all that is there is durable");
}

#[tokio::test]
async fn what_is_durable_stays_so_when_the_store_is_closed() {
    let store = Store::threaded_in_memory(&MemoryEngine::new());
    put(&store, note("a", 1, "x")).await.expect("written");
    store.clone().close().await;
    store.settled().await.expect("all that is there is durable");
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_and_one_of_another_store_lags() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    for id in 0..3 {
        put(&store, note("a", id, "x")).await.expect("written");
    }
    let store = Store::in_memory(engine.crash());
    let Changes::Batch { upto: 3, keys } = store.watch(1).next().await else { panic!("lagged") };
    assert_eq!(keys.iter().map(|change| change.revision).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.watch(9).next().await, Changes::Lagged { head: 3 });
}

#[tokio::test]
async fn a_cursor_older_than_the_log_lags_and_the_log_stays_bounded() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    for id in 0..5000 {
        put(&store, note("a", id, "x")).await.expect("written");
    }
    assert_eq!(store.watch(0).next().await, Changes::Lagged { head: 5000 });
    let log = |engine: &MemoryEngine| {
        use std::ops::Bound::{Excluded, Included};
        engine.range(Included(vec![1]), Excluded(vec![2]), false).count()
    };
    assert_eq!(log(&engine), 4096);
    let store = Store::in_memory(engine.crash());
    assert!(matches!(store.watch(904).next().await, Changes::Batch { .. }));
    assert_eq!(store.watch(903).next().await, Changes::Lagged { head: 5000 });
}

#[tokio::test]
async fn the_background_scrub_reports_damage_and_has_it_remembered() {
    let engine = MemoryEngine::new();
    let store = Store::in_memory(engine.clone());
    put(&store, note("a", 1, "x")).await.expect("written");
    let row = row_key::<Note>(&key("a", 1));
    let mut batch = super::super::EngineBatch::default();
    batch.put(row, b"not what was written".to_vec());
    engine.apply(batch).expect("applied");
    let meta = Meta::load(&engine).expect("read").expect("the store's own row");
    let scrubbed =
        Store::start(Arc::new(engine.clone()), meta, Limits::default(), Health::default(), true);
    let store = scrubbed.expect("a store");
    let mut health = store.health();
    health.wait_for(Health::is_damaged).await.expect("the scrub ends");
    assert_eq!(engine.damage().len(), 1);
    let read = store.get::<Note>(&key("a", 1));
    assert!(matches!(read, Err(StoreError::DamagedRow { table: "notes", .. })));
    put(&store, note("a", 2, "x")).await.expect("the rest goes on");
}

#[test]
fn writing_works_without_a_runtime() {
    let store = Store::threaded_in_memory(&MemoryEngine::new());
    let done = store.write_blocking(|txn| txn.put(&note("a", 1, "x"))).expect("written");
    assert_eq!(done.revision, 1);
}
