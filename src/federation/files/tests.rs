use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn text(file: &File) -> Result<String, FileError> {
    file.content().map(|content| String::from_utf8(content.to_vec()).unwrap())
}

#[test]
fn a_private_file_that_others_may_read_is_refused_and_says_how_to_close_it() {
    let place = Place::new();
    for mode in [0o640, 0o604, 0o620, 0o644, 0o601] {
        let path = place.put("secret", "s", mode);
        let error = text(&Files::new().open(&path, Access::Private)).unwrap_err();
        assert_eq!(error, FileError::NotPrivate { path: path.display().to_string(), mode });
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert_eq!(text(&Files::new().open(&path, Access::Public)).unwrap(), "s");
    }
    let path = place.put("secret", "s", 0o400);
    assert_eq!(text(&Files::new().open(&path, Access::Private)).unwrap(), "s");
}

#[test]
fn what_is_no_file_too_large_or_absent_is_said() {
    let place = Place::new();
    let files = Files::new();
    let missing = text(&files.open(place.path("missing"), Access::Private)).unwrap_err();
    assert!(missing.to_string().ends_with("missing: it is not there"), "{missing}");
    let directory = text(&files.open(place.directory.path(), Access::Private));
    assert!(matches!(directory, Err(FileError::NotAFile { .. })), "{directory:?}");
    let large = place.put("large", &"x".repeat(64 * 1024 + 1), 0o600);
    let large = text(&files.open(large, Access::Private));
    assert!(matches!(large, Err(FileError::TooLarge { limit: MAX_PRIVATE, .. })), "{large:?}");
}

#[test]
fn a_look_notices_a_rewrite_a_rename_a_closing_and_a_removal() {
    let place = Place::new();
    let files = Files::new();
    let path = place.put("secret", "one", 0o600);
    let file = files.open(&path, Access::Private);
    let mut changes = files.changes();
    let mut looked = |expected: Result<&str, ()>| {
        files.look();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        files.look();
        assert!(!changes.has_changed().unwrap(), "nothing changed since");
        assert_eq!(text(&file).map_err(|_| ()), expected.map(ToOwned::to_owned));
    };
    place.put("secret", "two", 0o600);
    looked(Ok("two"));
    fs::rename(place.put("next", "three", 0o600), &path).unwrap();
    looked(Ok("three"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    looked(Err(()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    looked(Ok("three"));
    fs::remove_file(&path).unwrap();
    looked(Err(()));
    std::os::unix::fs::symlink(place.put("target", "four", 0o600), &path).unwrap();
    looked(Ok("four"));
}

#[test]
fn a_change_within_one_tick_of_the_file_system_is_found_by_the_second_look() {
    let place = Place::new();
    let files = Files::new();
    let path = place.put("secret", "one", 0o600);
    let file = files.open(&path, Access::Private);
    // The same size, and the times of the first version: what a quick second write looks like.
    let before = Stamp::from(&fs::metadata(&path).unwrap());
    place.put("secret", "two", 0o600);
    let stamp = Stamp::from(&fs::metadata(&path).unwrap());
    file.lock().stamp = Some(stamp);
    assert_eq!(before.size, stamp.size);
    files.look();
    assert_eq!(text(&file).unwrap(), "two");
}

#[test]
fn a_file_that_nobody_holds_is_forgotten() {
    let place = Place::new();
    let files = Files::new();
    let path = place.put("secret", "one", 0o600);
    let (file, again) = (files.open(&path, Access::Private), files.open(&path, Access::Private));
    assert!(Arc::ptr_eq(&file, &again));
    drop((file, again));
    files.look();
    assert!(files.held().is_empty());
}

#[test]
fn whoever_opens_a_file_at_the_same_time_holds_the_same_one() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let path = directory.path().join(round.to_string());
        std::fs::write(&path, "secret").unwrap();
        let (files, start) = (Files::new(), std::sync::Barrier::new(8));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                start.wait();
                files.open(&path, Access::Public)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(opened.iter().all(|file| Arc::ptr_eq(file, &opened[0])), "round {round}");
    }
}
