use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::*;
use crate::store::{MemoryEngine, OpenOptions, Record, Scan, Store, Table};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    id: u64,
    text: String,
}

impl Record for Note {
    const TABLE: Table = Table::new(0x20, "notes", 1);
    type Key = u64;
    fn key(&self) -> u64 {
        self.id
    }
}

fn put(store: &Store, id: u64, text: &str) {
    let note = Note { id, text: text.to_owned() };
    store.write_blocking(move |txn| txn.put(&note)).unwrap();
}

fn delete(store: &Store, id: u64) {
    store.write_blocking(move |txn| txn.delete::<Note>(&id)).unwrap();
}

fn notes(store: &Store) -> Vec<Note> {
    store.scan::<Note>(&Scan::all()).collect::<Result<_, _>>().unwrap()
}

fn options(state: &Path) -> OpenOptions {
    OpenOptions {
        reserve_bytes: 0,
        ..OpenOptions::offline(state, jiff::Timestamp::UNIX_EPOCH, true)
    }
}

fn taken(store: &Store) -> Vec<u8> {
    let mut out = Vec::new();
    store.backup(jiff::Timestamp::UNIX_EPOCH, &mut out).unwrap();
    out
}

fn restored(bytes: &[u8], state: &Path) -> Result<Restored, RestoreError> {
    let path = state.with_extension("backup");
    std::fs::write(&path, bytes).unwrap();
    restore(&options(state), &mut File::open(path).unwrap())
}

fn some_notes() -> Store {
    let store = Store::in_memory(MemoryEngine::new());
    for id in 0..600 {
        put(&store, id, &format!("note {id}"));
    }
    // In pieces, of 1 MiB.
    put(&store, 600, &"long ".repeat(200_000));
    store
}

#[test]
fn a_store_made_of_a_backup_holds_the_same_rows_at_the_same_revision_under_another_id() {
    let store = some_notes();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let made = restored(&taken(&store), &state).unwrap();
    assert_eq!(made.backup.revision, store.head());
    assert_ne!(made.store_id, store.id());
    let (again, report) = Store::open(&options(&state)).unwrap();
    assert_eq!((again.id(), report.revision), (made.store_id, store.head()));
    assert!(report.notes.is_empty() && report.quarantined.is_empty(), "{report:?}");
    assert_eq!(notes(&again), notes(&store));
    assert!(again.health().borrow().scrub_done, "every row was checked");
    put(&again, 1000, "and it goes on");
    assert_eq!(again.head(), store.head() + 1);
}

/// Changes the store at every chunk that the backup writes, in front of the copy and behind it.
struct Meanwhile<'a> {
    store: &'a Store,
    out: Vec<u8>,
    writes: u64,
}

impl Write for Meanwhile<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(bytes)?;
        self.writes += 1;
        if self.writes < 900 && self.writes.is_multiple_of(3) {
            put(self.store, 0, &format!("changed {}", self.writes));
            put(self.store, 10_000 + self.writes, "new");
            delete(self.store, 1 + self.writes);
            // Now in one piece, now in two.
            let times = if self.writes.is_multiple_of(2) { 40_000 } else { 10_000 };
            let long = self.writes.to_string().repeat(times);
            put(self.store, 600, &long);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backup_is_the_store_at_one_revision_whatever_changes_while_it_is_taken() {
    let store = some_notes();
    let mut meanwhile = Meanwhile { store: &store, out: Vec::new(), writes: 0 };
    let revision = store.backup(jiff::Timestamp::UNIX_EPOCH, &mut meanwhile).unwrap();
    let out = meanwhile.out;
    assert!(revision > 601 && revision == store.head(), "{revision}, {}", store.head());
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    restored(&out, &state).unwrap();
    let (again, _) = Store::open(&options(&state)).unwrap();
    assert_eq!(notes(&again), notes(&store));
}

#[test]
fn a_backup_that_is_cut_short_anywhere_is_refused_and_nothing_is_made() {
    let store = Store::in_memory(MemoryEngine::new());
    put(&store, 1, "one");
    let whole = taken(&store);
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    for length in 0..whole.len() {
        let refused = restored(&whole[..length], &state).unwrap_err();
        let cut = matches!(refused, RestoreError::Backup(BadBackup::CutShort { .. }));
        assert!(cut || length == 0, "{length}: {refused:?}");
    }
    assert!(!state.exists());
}

#[test]
fn every_changed_byte_of_a_backup_is_found() {
    let store = Store::in_memory(MemoryEngine::new());
    put(&store, 1, "one");
    let whole = taken(&store);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        verify(&bytes[..], 1).expect_err(&format!("byte {at}"));
    }
    verify(&[&whole[..], b"x"].concat()[..], 1).unwrap_err();
    assert_eq!(verify(&whole[..], 1).unwrap().bytes, whole.len() as u64);
}

#[test]
fn a_backup_of_newer_data_and_what_is_no_backup_are_named_for_what_they_are() {
    let store = Store::in_memory(MemoryEngine::new());
    put(&store, 1, "one");
    let whole = taken(&store);
    let newer = verify(&whole[..], 0).unwrap_err();
    assert!(matches!(newer, BadBackup::NewerSchema { found: 1, known: 0 }), "{newer:?}");
    let mut later = whole.clone();
    later["routerd backup\n".len()] = 9;
    let later = verify(&later[..], 1).unwrap_err();
    assert!(matches!(later, BadBackup::NewerFormat { found: 9 }), "{later:?}");
    for other in [&b""[..], b"SQLite format 3\0", b"kind: EventGroup"] {
        assert!(matches!(verify(other, 1), Err(BadBackup::NotABackup)), "{other:?}");
    }
}

#[test]
fn rows_that_are_not_those_of_the_store_leave_no_store_behind() {
    // Every piece is in order, but the end counts another store's rows.
    let header = BackupHeader {
        store_id: uuid::Uuid::nil(),
        schema: 1,
        made_at: jiff::Timestamp::UNIX_EPOCH,
        made_by: String::new(),
    };
    let mut out = Vec::new();
    let writer = format::Writer::begin(&mut out, &header).unwrap();
    let rows = crate::store::meta::RowDelta { count: 1, digest: 1 };
    writer.end(7, rows).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let refused = restored(&out, &state).unwrap_err();
    assert!(matches!(refused, RestoreError::NotTheStore(_)), "{refused:?}");
    assert!(!state.exists());
}

#[test]
fn a_state_directory_that_holds_anything_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("quarantine"), "x").unwrap();
    let refused = restored(&taken(&some_notes()), &state).unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused:?}");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    std::fs::remove_file(state.join("quarantine")).unwrap();
    std::fs::create_dir(state.join("lost+found")).unwrap();
    restored(&taken(&some_notes()), &state).unwrap();
    let refused = restored(&taken(&some_notes()), &state).unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused:?}");
}

#[test]
fn what_an_interrupted_restore_leaves_is_nobodys_store_and_is_taken_up_by_the_next() {
    use crate::store::OpenError;
    use crate::store::identity::{self, Identity, IdentityFile};
    let store = some_notes();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    restored(&taken(&store), &state).unwrap();
    let begun = identity::read(&state).unwrap().unwrap();
    let begun = Identity { complete: false, restoring: true, high_water: 0, ..begun };
    drop(IdentityFile::replace(&state, begun).unwrap());
    for database in ["whole", "gone"] {
        for options in [options(&state), OpenOptions::daemon(&state, jiff::Timestamp::UNIX_EPOCH)] {
            let refused = Store::open(&options).map(|_| ()).unwrap_err();
            assert!(
                matches!(refused, OpenError::RestoreInterrupted { .. }),
                "{database}: {refused}"
            );
            assert!(refused.to_string().contains("run routerctl restore again"), "{refused}");
        }
        _ = std::fs::remove_dir_all(state.join("db"));
    }
    restored(&taken(&store), &state).unwrap();
    let (again, _) = Store::open(&options(&state)).unwrap();
    assert_eq!(notes(&again), notes(&store));
}
