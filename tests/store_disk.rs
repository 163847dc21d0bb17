//! The store on real disks: reopening, every refusal, and damage of every kind.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use routerd::store::{
    Changes, Health, HealthNote, OpenError, OpenOptions, OpenReport, Record, Scan, Store,
    StoreError, Table, WriteError, Writes,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    id: u64,
    body: String,
}

impl Record for Event {
    const TABLE: Table = Table::new(0x20, "events", 1);
    type Key = u64;
    fn key(&self) -> u64 {
        self.id
    }
}

fn event(id: u64) -> Event {
    Event { id, body: format!("event {id} ").repeat(20) }
}

fn options(state: &Path) -> OpenOptions {
    OpenOptions::daemon(state, jiff::Timestamp::UNIX_EPOCH)
}

fn open(state: &Path) -> (Store, OpenReport) {
    Store::open(&options(state)).expect("the store opens")
}

fn refusal(options: &OpenOptions) -> OpenError {
    Store::open(options).expect_err("the store is refused")
}

fn fill(store: &Store, ids: std::ops::Range<u64>) {
    for id in ids {
        store.write_blocking(move |txn| txn.put(&event(id))).expect("a durable write");
    }
}

fn count(store: &Store) -> usize {
    let rows: Result<Vec<_>, _> = store.scan::<Event>(&Scan::all()).collect();
    rows.expect("intact rows").len()
}

/// A closed store with `rows` events and one record of 1 MiB, each write in a group of its own.
fn filled(rows: u64) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    let (store, _) = open(&state);
    fill(&store, 1..rows + 1);
    let large = Event { id: 0, body: "large".repeat(200_000) };
    store.write_blocking(move |txn| txn.put(&large)).expect("a durable write");
    drop(store);
    (directory, state)
}

fn data_file(state: &Path) -> PathBuf {
    state.join("db/db")
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let (_directory, state) = filled(100);
    let (store, report) = open(&state);
    assert!(!report.created && report.quarantined.is_empty() && report.notes.is_empty());
    assert_eq!((report.revision, count(&store)), (101, 101));
    assert_eq!(store.get::<Event>(&7).expect("read"), Some(event(7)));
    assert!(store.health().borrow().is_ok());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let changes = runtime.block_on(async { store.watch(99).next().await });
    assert!(matches!(changes, Changes::Batch { upto: 101, keys } if keys.len() == 2));
}

#[test]
fn the_state_directory_is_private_and_holds_what_is_documented() {
    let (_directory, state) = filled(1);
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("db"))), (0o750, 0o700));
    let identity = fs::read(state.join("identity.json")).expect("identity.json");
    let identity: serde_json::Value = serde_json::from_slice(&identity).expect("JSON");
    assert_eq!(identity["highWater"], 2);
    assert_eq!(fs::read_dir(state.join("db/blobs")).expect("blobs").count(), 0);
}

#[test]
fn a_store_in_use_is_refused_as_locked_and_opens_when_it_is_released() {
    let (_directory, state) = filled(1);
    let (store, _) = open(&state);
    assert!(matches!(refusal(&options(&state)), OpenError::Locked { .. }));
    drop(store);
    assert_eq!(count(&open(&state).0), 2);
}

#[test]
fn a_lingering_watch_does_not_hold_the_lock() {
    let (_directory, state) = filled(1);
    let (store, _) = open(&state);
    let watch = store.watch(0);
    drop(store);
    assert_eq!(count(&open(&state).0), 2);
    drop(watch);
}

#[test]
fn files_in_place_of_the_directory_are_named_for_what_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    fs::write(&state, b"SQLite format 3\0and the rest of its header").expect("a file");
    assert!(matches!(refusal(&options(&state)), OpenError::Sqlite { .. }));
    fs::write(&state, b"something else").expect("a file");
    assert!(matches!(refusal(&options(&state)), OpenError::FileInPlace { .. }));
}

#[test]
fn a_command_creates_nothing_it_was_not_asked_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    let offline = |create| OpenOptions::offline(&state, jiff::Timestamp::UNIX_EPOCH, create);
    assert!(matches!(refusal(&offline(false)), OpenError::Absent { .. }));
    assert!(!state.exists());
    fs::create_dir(&state).expect("an empty directory");
    assert!(matches!(refusal(&offline(false)), OpenError::Absent { .. }));
    assert_eq!(fs::read_dir(&state).expect("the directory").count(), 0);
    let (store, report) = Store::open(&offline(true)).expect("created");
    assert!(report.created);
    drop(store);
    assert!(Store::open(&offline(false)).is_ok());
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let (_directory, state) = filled(1);
    drop(Store::open(&OpenOptions { schema: 9, ..options(&state) }).expect("a newer program"));
    let refused = refusal(&options(&state));
    assert!(matches!(refused, OpenError::NewerSchema { found: 9, known: 2, .. }));
    assert!(!state.join("quarantine").exists());
}

#[test]
fn a_full_disk_refuses_writes_and_the_store_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let seen = Arc::clone(&free);
    let probe = Arc::new(move || Ok(seen.load(Ordering::SeqCst)));
    let options =
        OpenOptions { free_space: Some(probe), ..options(&directory.path().join("state")) };
    let (store, _) = Store::open(&options).expect("opened");
    fill(&store, 0..3);
    free.store(options.reserve_bytes - 1, Ordering::SeqCst);
    let refused = store.write_blocking(|txn| txn.put(&event(3)));
    assert!(matches!(refused, Err(WriteError::Store(StoreError::DiskFull { .. }))));
    assert!(matches!(store.health().borrow().writes, Writes::DiskFull { .. }));
    assert_eq!((count(&store), store.head()), (3, 3));
    free.store(u64::MAX, Ordering::SeqCst);
    fill(&store, 3..4);
    assert_eq!(store.health().borrow().clone(), Health { scrub_done: true, ..Health::default() });
}

/// Whatever was done to the files: the store either still holds every row, or says that it was
/// damaged, keeps the files, and works.
fn assert_intact_or_quarantined(state: &Path, rows: usize, what: &str) -> bool {
    let (store, report) = open(state);
    if report.quarantined.is_empty() {
        assert_eq!(count(&store), rows, "{what}: rows are missing and nobody says so");
        return false;
    }
    assert!(report.created, "{what}");
    let entry = &report.quarantined[0];
    assert!(entry.path.join("why").exists(), "{what}");
    let notes = store.health().borrow().notes.clone();
    let told = |note: &HealthNote| matches!(note, HealthNote::Quarantined { path, .. } if *path == entry.path);
    assert!(notes.iter().any(told), "{what}: {notes:?}");
    fill(&store, 1..3);
    assert_eq!(count(&store), 2, "{what}");
    true
}

fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_store(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn damage(original: &Path, rows: usize, what: &str, harm: impl FnOnce(&Path)) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    copy_store(original, &state);
    harm(&state);
    assert_intact_or_quarantined(&state, rows, what)
}

#[test]
fn emptied_swapped_and_vanished_databases_are_never_taken_for_new_ones() {
    let (_directory, state) = filled(50);
    let (_other_directory, other) = filled(5);
    assert!(damage(&state, 51, "gone", |state| fs::remove_dir_all(state.join("db")).expect("rm")));
    assert!(damage(&state, 51, "emptied", |state| {
        fs::write(data_file(state), b"").expect("emptied");
    }));
    assert!(damage(&state, 51, "swapped", |state| {
        fs::remove_dir_all(state.join("db")).expect("removed");
        copy_store(&other.join("db"), &state.join("db"));
    }));
    assert!(damage(&state, 51, "zeroed", |state| {
        let length = fs::metadata(data_file(state)).expect("metadata").len();
        let zeros = vec![0; usize::try_from(length).expect("small")];
        fs::write(data_file(state), zeros).expect("zeroed");
    }));
}

#[test]
fn damage_noted_while_the_store_was_in_use_counts_at_the_next_open() {
    let (_directory, state) = filled(5);
    assert!(damage(&state, 6, "noted", |state| {
        let path = state.join("identity.json");
        let noted = fs::read(&path).expect("identity.json");
        let mut noted: serde_json::Value = serde_json::from_slice(&noted).expect("JSON");
        noted["damaged"] = "row 2000: the checksum does not match".into();
        fs::write(&path, noted.to_string()).expect("written");
    }));
}

#[test]
fn a_lost_identity_file_is_made_anew_and_reported() {
    let (_directory, state) = filled(5);
    for harm in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, b"{")] {
        harm(&state.join("identity.json")).expect("harmed");
        let (store, report) = open(&state);
        assert_eq!((report.notes.len(), report.created, count(&store)), (1, false, 6));
    }
}

#[test]
fn an_older_copy_of_the_same_database_is_found() {
    let (_directory, state) = filled(20);
    let old = tempfile::tempdir().expect("a directory");
    copy_store(&state.join("db"), old.path());
    let (store, _) = open(&state);
    fill(&store, 100..110);
    drop(store);
    fs::remove_dir_all(state.join("db")).expect("removed");
    copy_store(old.path(), &state.join("db"));
    assert!(assert_intact_or_quarantined(&state, 31, "rolled back"));
}

#[test]
fn truncated_files_are_found_wherever_they_end() {
    let (_directory, state) = filled(300);
    let length = fs::metadata(data_file(&state)).expect("metadata").len();
    for part in 0..16 {
        let end = length * part / 16;
        assert!(damage(&state, 301, &format!("truncated to {end}"), |state| {
            let file = fs::OpenOptions::new().write(true).open(data_file(state)).expect("opened");
            file.set_len(end).expect("truncated");
        }));
    }
}

#[test]
fn flipped_bits_and_zeroed_pages_lose_no_row_silently() {
    let (_directory, state) = filled(300);
    let length = fs::metadata(data_file(&state)).expect("metadata").len();
    let mut found = 0;
    for part in 0..40_u64 {
        let at = length * part / 40 + part * 7;
        let harm = |bytes: u64, change: fn(u8) -> u8| {
            move |state: &Path| {
                let mut options = fs::OpenOptions::new();
                let file = options.read(true).write(true).open(data_file(state)).expect("opened");
                let end = (at + bytes).min(length);
                let mut page = vec![0; usize::try_from(end - at).expect("small")];
                file.read_exact_at(&mut page, at).expect("read");
                for byte in &mut page {
                    *byte = change(*byte);
                }
                file.write_all_at(&page, at).expect("written");
            }
        };
        let flip = harm(1, |byte| byte ^ 0x10);
        found += usize::from(damage(&state, 301, &format!("bit flipped at {at}"), flip));
        let zero = harm(4096, |_| 0);
        found += usize::from(damage(&state, 301, &format!("page zeroed at {at}"), zero));
    }
    assert!(found > 10, "only {found} of 80 kinds of damage hit something");
}

#[test]
fn damaged_snapshots_cost_nothing_but_a_replay() {
    let (_directory, state) = filled(50);
    drop(open(&state));
    for harm in [b"".as_slice(), b"not a snapshot at all"] {
        let quarantined = damage(&state, 51, "snapshot", |state| {
            for entry in fs::read_dir(state.join("db")).expect("db").flatten() {
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    fs::write(entry.path(), harm).expect("written");
                }
            }
            fs::write(state.join("db/snap.00000000FFFFFFFF.generating"), b"half").expect("written");
        });
        assert!(!quarantined);
    }
}

#[test]
fn a_command_reports_damage_and_moves_nothing() {
    let (_directory, state) = filled(5);
    fs::write(data_file(&state), b"").expect("emptied");
    let offline = OpenOptions::offline(&state, jiff::Timestamp::UNIX_EPOCH, true);
    assert!(matches!(refusal(&offline), OpenError::Damaged { .. }));
    assert!(!state.join("quarantine").exists());
}

#[test]
fn a_range_is_read_both_ways_and_goes_on_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(&directory.path().join("state"));
    // Every third id, over many pages of the engine.
    let ids: Vec<u64> = (0..1500).step_by(3).collect();
    let rows = ids.clone();
    let filled =
        store.write_blocking(move |txn| rows.into_iter().try_for_each(|id| txn.put(&event(id))));
    filled.expect("a durable write");
    let read = |scan: &Scan| -> Vec<u64> {
        store.scan::<Event>(scan).map(|row| row.expect("a row").id).collect()
    };
    for (from, to) in
        [(0, 1500), (1, 1497), (3, 4), (3, 3), (4, 5), (600, 603), (9, 6), (1498, 9999)]
    {
        let mut expected: Vec<_> =
            ids.iter().copied().filter(|id| (from..to).contains(id)).collect();
        let scan = Scan::from(&from).until(&to);
        assert_eq!(read(&scan), expected, "{from}..{to}");
        expected.reverse();
        assert_eq!(read(&scan.reverse()), expected, "{from}..{to} backwards");
    }

    for (scan, left) in [(Scan::all(), 600), (Scan::all().reverse(), 900)] {
        let mut rows = store.scan::<Event>(&scan).map(|row| row.expect("a row").id);
        assert!(rows.by_ref().any(|id| id == left));
        let gone = store.write_blocking(move |txn| {
            (left - 60..left + 60).step_by(3).try_for_each(|id| txn.delete::<Event>(&id))
        });
        gone.expect("a durable write");
        assert_eq!(rows.next(), Some(if left == 600 { 660 } else { 837 }));
    }
}

#[test]
fn what_is_put_while_a_range_is_read_neither_repeats_nor_hides_what_was_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(&directory.path().join("state"));
    let ids: Vec<u64> = (0..900).step_by(3).collect();
    let rows = ids.clone();
    let filled =
        store.write_blocking(move |txn| rows.into_iter().try_for_each(|id| txn.put(&event(id))));
    filled.expect("a durable write");
    for (scan, beside) in [(Scan::all(), 1), (Scan::all().reverse(), 2)] {
        let mut seen = Vec::new();
        for row in store.scan::<Event>(&scan) {
            let id = row.expect("a row").id;
            seen.push(id);
            if id % 3 == 0 {
                // On both sides of the place where the reader is, so that pages split under it.
                let put = store.write_blocking(move |txn| {
                    txn.put(&event(id + beside))?;
                    txn.put(&event(id.saturating_sub(3) + beside))
                });
                put.expect("a durable write");
            }
        }
        let forward = beside == 1;
        assert!(seen.is_sorted_by(|a, b| if forward { a < b } else { a > b }), "{seen:?}");
        let mut old: Vec<_> = seen.into_iter().filter(|id| id % 3 == 0).collect();
        old.sort_unstable();
        assert_eq!(old, ids);
    }
}
