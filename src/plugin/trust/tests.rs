//! The table of what passes, made of real files in temporary directories.

use super::*;
use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

/// Of no user that owns a file here.
const NOBODY: u32 = 54321;

fn me() -> u32 {
    geteuid().as_raw()
}

/// A uid that may execute what this test writes, but is not root.
fn unprivileged() -> u32 {
    if me() == 0 { NOBODY } else { me() }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// `<temp>/bin/tool`, 0755 below a 0755 directory, whatever the umask.
fn installed() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    chmod(root.path(), 0o755);
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    chmod(&bin, 0o755);
    let tool = bin.join("tool");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    chmod(&tool, 0o755);
    (root, tool)
}

fn problem(path: &Path, euid: u32) -> TrustProblem {
    match check_executable(path, euid) {
        Err(HostError::Refused { path: named, problem }) => {
            assert_eq!(named, path);
            problem
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn a_file_of_ours_below_a_sticky_temporary_directory_passes() {
    let (_root, tool) = installed();
    let checked = check_executable(&tool, me()).unwrap();
    assert_eq!(checked, Checked { path: tool.canonicalize().unwrap(), warnings: vec![] });
}

#[test]
fn a_world_writable_file_or_directory_is_refused_by_name_with_the_fix() {
    let (_root, tool) = installed();
    let bin = tool.parent().unwrap();
    chmod(bin, 0o757);
    assert_eq!(problem(&tool, me()), TrustProblem::WorldWritable(bin.to_owned()));
    let message = problem(&tool, me()).to_string();
    assert!(message.contains(&format!("chmod o-w {}", bin.display())), "{message}");
    chmod(bin, 0o755);
    chmod(&tool, 0o757);
    assert_eq!(problem(&tool, me()), TrustProblem::WorldWritable(tool));
}

#[test]
fn a_sticky_directory_passes_only_if_it_is_roots() {
    let (_root, tool) = installed();
    let bin = tool.parent().unwrap();
    chmod(bin, 0o1777);
    if me() == 0 {
        check_executable(&tool, 0).unwrap();
        std::os::unix::fs::chown(bin, Some(NOBODY), None).unwrap();
    }
    assert_eq!(problem(&tool, me()), TrustProblem::WorldWritable(bin.to_owned()));
}

#[test]
fn group_write_is_an_error_for_root_and_a_warning_for_others() {
    let (_root, tool) = installed();
    let bin = tool.parent().unwrap();
    chmod(bin, 0o775);
    assert_eq!(problem(&tool, 0), TrustProblem::GroupWritable(bin.to_owned()));
    let checked = check_executable(&tool, unprivileged()).unwrap();
    assert_eq!(checked.warnings, [TrustWarning::GroupWritable(bin.to_owned())]);
}

#[test]
fn a_file_of_another_user_is_refused_and_a_directory_of_another_user_is_warned_about() {
    if me() != 0 {
        return; // Only root can give a file away.
    }
    let (_root, tool) = installed();
    let bin = tool.parent().unwrap();
    std::os::unix::fs::chown(bin, Some(NOBODY), None).unwrap();
    let checked = check_executable(&tool, 0).unwrap();
    assert_eq!(checked.warnings, [TrustWarning::ForeignOwner(bin.to_owned(), NOBODY)]);
    std::os::unix::fs::chown(&tool, Some(NOBODY), None).unwrap();
    assert_eq!(problem(&tool, 0), TrustProblem::ForeignOwner(tool.clone(), NOBODY));
    assert!(check_executable(&tool, NOBODY).is_ok(), "the daemon's own user may own it");
}

#[test]
fn links_are_followed_and_every_directory_on_the_way_counts() {
    let (root, tool) = installed();
    let links = root.path().join("links");
    fs::create_dir(&links).unwrap();
    chmod(&links, 0o755);
    let link = links.join("tool");
    symlink("../bin/tool", &link).unwrap();
    assert_eq!(check_executable(&link, me()).unwrap().path, tool.canonicalize().unwrap());

    let through_directory = root.path().join("current");
    symlink(tool.parent().unwrap(), &through_directory).unwrap();
    let checked = check_executable(&through_directory.join("tool"), me()).unwrap();
    assert_eq!(checked.path, tool.canonicalize().unwrap());

    chmod(&links, 0o777);
    assert_eq!(
        problem(&link, me()),
        TrustProblem::WorldWritable(links),
        "who can replace the link decides what runs"
    );
}

#[test]
fn a_dangling_link_and_a_missing_file_name_the_component_that_is_missing() {
    let (root, tool) = installed();
    let link = root.path().join("link");
    symlink("bin/gone", &link).unwrap();
    for asked in [link, tool.with_file_name("gone"), tool.with_file_name("gone").join("deeper")] {
        match check_executable(&asked, me()) {
            Err(HostError::NotFound { path, component }) => {
                assert_eq!(path, asked);
                assert!(component.ends_with("bin/gone"), "{}", component.display());
            }
            other => panic!("{other:?}"),
        }
    }
    let below_a_file = check_executable(&tool.join("deeper"), me());
    assert!(matches!(below_a_file, Err(HostError::NotFound { .. })), "{below_a_file:?}");
}

#[test]
fn a_loop_of_links_ends() {
    let (root, _tool) = installed();
    let link = root.path().join("loop");
    symlink("loop", &link).unwrap();
    assert_eq!(problem(&link, me()), TrustProblem::TooManyLinks);
}

#[test]
fn only_a_regular_executable_file_at_an_absolute_path_will_do() {
    let (_root, tool) = installed();
    let bin = tool.parent().unwrap();
    assert_eq!(problem(bin, me()), TrustProblem::NotAFile(bin.to_owned(), "a directory"));
    assert!(matches!(problem(Path::new("/dev/null"), me()), TrustProblem::NotAFile(_, "a device")));
    assert_eq!(problem(Path::new("bin/tool"), me()), TrustProblem::NotAbsolute);
    assert!(matches!(problem(Path::new("/"), me()), TrustProblem::NotAFile(_, "a directory")));
    chmod(&tool, 0o644);
    let error = check_executable(&tool, me()).unwrap_err();
    assert!(matches!(error, HostError::NotExecutable { .. }), "{error:?}");
    assert!(error.to_string().contains("chmod +x"), "{error}");
}
