//! The plugin host against real processes: `examples/badplugin.rs` does everything wrong, and each
//! run must end for the right reason and leave no process behind.
//!
//! Every run's environment carries a marker of its own, inherited by whatever it starts, so that
//! `/proc` can tell what is left of it. This process adopts orphans like the daemon does; therefore
//! nothing in here may start a process except through the spawner.

use bytes::Bytes;
use routerd::plugin::{
    Confinement, DEFAULT_GRACE, Digest, Exit, HostError, Limits, Outcome, ProcessSpawner, RunSpec,
    Spawner, TrustProblem, adopt_orphans,
};
use serde_json::Value;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

#[path = "plugin_run/walls.rs"]
mod walls;

const MARKER: &str = "BADPLUGIN_TEST_RUN";
/// For runs that must end by themselves: reached only by a bug.
const NEVER: Duration = Duration::from_secs(60);
/// For runs that must be stopped.
const SHORT: Duration = Duration::from_millis(300);

fn badplugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/badplugin");
    assert!(program.exists(), "no {}: cargo build --example badplugin", program.display());
    program
}

/// A spawner with a scratch base of its own.
struct Host {
    spawner: ProcessSpawner,
    scratch: TempDir,
}

impl Host {
    fn new() -> Self {
        static ADOPT: OnceLock<()> = OnceLock::new();
        ADOPT.get_or_init(|| adopt_orphans().expect("subreaper and /proc/…/children"));
        let scratch = tempfile::tempdir().unwrap();
        let spawner =
            ProcessSpawner::new(scratch.path().join("scratch"), scratch.path().join("others"))
                .unwrap();
        Self { spawner, scratch }
    }

    async fn run(&self, spec: RunSpec) -> Outcome {
        self.try_run(spec).await.unwrap()
    }

    /// Runs, and checks what holds for every run: it ended, and nothing of it is left.
    async fn try_run(&self, spec: RunSpec) -> Result<Outcome, HostError> {
        let label = spec.label.clone();
        let (allowed, before) = (spec.timeout + spec.grace, peak_kib());
        let run = self.spawner.run(spec, CancellationToken::new());
        let started = Instant::now();
        let outcome = timeout(NEVER * 2, run).await.expect("the run hung");
        let took = started.elapsed();
        nothing_left_of(&label).await;
        if let Ok(outcome) = &outcome {
            // Figures for people; `--nocapture --test-threads=1` shows them undisturbed.
            println!(
                "{label:<36} {:<42} {took:>9.1?}, over timeout and grace {:>8.1?}, \
                 gone after {:>8.1?}, memory +{} KiB",
                outcome.exit.to_string(),
                took.saturating_sub(allowed),
                started.elapsed().saturating_sub(took),
                peak_kib().saturating_sub(before),
            );
        }
        self.no_scratch_left().await;
        outcome
    }

    /// Directories may wait for the next run, but only empty ones.
    async fn no_scratch_left(&self) {
        let empty = |base: &str| {
            let dirs = fs::read_dir(self.scratch.path().join(base)).into_iter().flatten();
            let entries = |dir: fs::DirEntry| fs::read_dir(dir.path());
            dirs.flatten().all(|dir| entries(dir).is_ok_and(|mut all| all.next().is_none()))
        };
        until("the working directories are empty", || empty("scratch") && empty("others")).await;
    }
}

fn spec(mode: &str) -> RunSpec {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let label = format!("{}-{number}-{mode}", std::process::id());
    RunSpec {
        executable: badplugin(),
        args: vec![mode.to_owned()],
        env: vec![
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            (MARKER.to_owned(), label.clone()),
        ],
        stdin: Bytes::from_static(b"{}"),
        timeout: NEVER,
        grace: DEFAULT_GRACE,
        limits: Limits::default(),
        confinement: Confinement::Plugin,
        sha256: None,
        label,
        warm: None,
    }
}

fn short(mode: &str) -> RunSpec {
    RunSpec { timeout: SHORT, grace: Duration::from_millis(200), ..spec(mode) }
}

/// The processes that carry a run's marker. A zombie has no environment: it does not count.
fn processes_of(label: &str) -> Vec<u32> {
    let marker = format!("{MARKER}={label}\0");
    let carries = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.windows(marker.len()).any(|w| w == marker.as_bytes()))
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(carries)
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + NEVER;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn nothing_left_of(label: &str) {
    // A listing of /proc is no snapshot: a process that starts another and exits can hide in one.
    let nothing = || processes_of(label).is_empty();
    until(&format!("nothing is left of {label}"), || nothing() && nothing()).await;
}

fn catches_term(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
    caught.is_some_and(|mask| u64::from_str_radix(mask, 16).unwrap() & (1 << 14) != 0)
}

fn json(outcome: &Outcome) -> Value {
    assert!(outcome.exit.success(), "{outcome:?}");
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[tokio::test]
async fn a_well_behaved_plugin_answers() {
    let outcome = Host::new().run(spec("ok")).await;
    assert_eq!(json(&outcome)["kind"], "PluginResult");
    assert!(!outcome.pipes_held && outcome.stderr.bytes.is_empty() && outcome.digest.is_none());
}

#[tokio::test]
async fn what_does_not_end_is_timed_out_and_ended_with_all_its_children() {
    let host = Host::new();
    for mode in ["hang", "ignore-term", "fork-children", "close-stdout-live-on", "drip"] {
        let outcome = host.run(short(mode)).await;
        assert_eq!(outcome.exit, Exit::TimedOut, "{mode}");
        assert!(outcome.duration >= SHORT, "{mode}");
    }
}

#[tokio::test]
async fn a_plugin_that_ends_on_term_is_given_the_time_to() {
    let host = Host::new();
    let spec = RunSpec { grace: NEVER, ..spec("stop-on-term") };
    let label = spec.label.clone();
    let cancel = CancellationToken::new();
    let run = host.spawner.run(spec, cancel.clone());
    let stop_it_once_it_listens = async {
        until("the trap is set", || processes_of(&label).iter().any(|&pid| catches_term(pid)))
            .await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(run, stop_it_once_it_listens);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.exit, Exit::Cancelled);
    assert!(outcome.stderr.bytes.ends_with(b"cleaned up\n"), "{outcome:?}");
    nothing_left_of(&label).await;
}

#[tokio::test]
async fn a_cancelled_run_is_not_started() {
    let host = Host::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let answer = host.spawner.run(spec("ok"), cancel).await;
    assert!(matches!(answer, Err(HostError::Cancelled)), "{answer:?}");
}

#[tokio::test]
async fn a_dropped_run_takes_its_processes_with_it() {
    let host = Host::new();
    let spec = spec("fork-children");
    let label = spec.label.clone();
    let run = host.spawner.run(spec, CancellationToken::new());
    tokio::select! {
        outcome = run => panic!("it hangs by design: {outcome:?}"),
        () = until("all four processes run", || processes_of(&label).len() == 4) => {}
    }
    nothing_left_of(&label).await;
    host.no_scratch_left().await;
}

#[tokio::test]
async fn what_a_plugin_leaves_running_ends_with_its_run() {
    let host = Host::new();
    for mode in ["leave-children", "daemonise", "daemonise-deep"] {
        let outcome = host.run(spec(mode)).await;
        assert_eq!(json(&outcome)["kind"], "PluginResult", "{mode}");
        assert!(!outcome.pipes_held, "{mode}");
    }
}

#[tokio::test]
async fn what_belongs_to_a_run_that_lives_is_left_alone_by_the_end_of_others() {
    let host = Host::new();
    let hook = RunSpec { confinement: Confinement::Hook, ..spec("orphan-in-group") };
    let label = hook.label.clone();
    let cancel = CancellationToken::new();
    let run = host.spawner.run(hook, cancel.clone());
    let others = async {
        // The orphan's parent is gone when the kernel has given it to us.
        let me = std::process::id().to_string();
        let adopted = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|l| l.strip_prefix("PPid:").is_some_and(|p| p.trim() == me))
        };
        let both = || processes_of(&label).iter().filter(|pid| adopted(pid)).count() == 2;
        until("the hook and its orphan run", both).await;
        for mode in ["ok", "daemonise", "ok"] {
            let outcome = host.spawner.run(spec(mode), CancellationToken::new()).await.unwrap();
            assert_eq!(json(&outcome)["kind"], "PluginResult");
        }
        assert_eq!(processes_of(&label).len(), 2, "the orphan of the hook's group is there");
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(run, others);
    assert_eq!(outcome.unwrap().exit, Exit::Cancelled);
    nothing_left_of(&label).await;
}

#[tokio::test]
async fn a_process_that_holds_the_pipes_holds_nobody_up() {
    let host = Host::new();
    let held = host.run(spec("grandchild-holds-pipe")).await;
    assert_eq!(json(&held)["kind"], "PluginResult");
    assert!(held.pipes_held);
    // Whether this one was ended before it was noticed depends on the runs beside it.
    let escaped = host.run(spec("escaped-holds-pipe")).await;
    assert_eq!(json(&escaped)["kind"], "PluginResult");
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn floods_are_bounded_in_memory_and_end_for_their_reason() {
    let host = Host::new();
    let before = peak_kib();
    for mode in ["flood-stdout", "one-gigabyte"] {
        let outcome = host.run(RunSpec { grace: SHORT, ..spec(mode) }).await;
        assert_eq!(outcome.exit, Exit::OutputTooLarge, "{mode}");
        assert_eq!(outcome.stdout.len(), Limits::default().stdout, "{mode}");
    }
    let outcome = host.run(short("flood-stderr")).await;
    assert_eq!(outcome.exit, Exit::TimedOut);
    assert_eq!(outcome.stderr.bytes.len(), Limits::default().stderr_tail);
    assert!(outcome.stderr.dropped > 0);
    // The peak of the whole process, with the other tests in it.
    assert!(peak_kib().saturating_sub(before) < 64 << 10, "memory grew from {before} KiB");
}

#[tokio::test]
async fn of_a_long_stderr_the_end_is_kept_and_the_rest_counted() {
    let outcome = Host::new().run(spec("noisy")).await;
    assert_eq!(json(&outcome)["kind"], "PluginResult");
    assert!(outcome.stderr.bytes.ends_with(b"\nthe last line\n"));
    let total = outcome.stderr.dropped + outcome.stderr.bytes.len() as u64;
    assert_eq!(total, (1 << 20) + "the last line\n".len() as u64);
}

#[tokio::test]
async fn input_is_written_while_output_is_read_and_need_not_be_read_at_all() {
    let host = Host::new();
    let input = Bytes::from(vec![b'x'; Limits::default().stdout]);
    let echoed = host.run(RunSpec { stdin: input.clone(), ..spec("echo") }).await;
    assert_eq!((echoed.exit, echoed.stdout), (Exit::Code(0), input.clone()));
    let unread = host.run(RunSpec { stdin: input, ..spec("never-read-stdin") }).await;
    assert_eq!(json(&unread)["kind"], "PluginResult");
}

#[tokio::test]
async fn the_exit_is_reported_as_it_was_whatever_was_printed() {
    let host = Host::new();
    for (mode, exit) in [
        ("exit-1", Exit::Code(1)),
        ("exit-126", Exit::Code(126)),
        ("exit-127", Exit::Code(127)),
        ("signal-with-valid-json", Exit::Signal(6)),
    ] {
        let outcome = host.run(spec(mode)).await;
        assert_eq!(outcome.exit, exit, "{mode}");
        assert!(!outcome.exit.success(), "{mode}");
        assert!(outcome.stdout.starts_with(b"{"), "{mode}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_result_are_passed_on_unchanged() {
    let host = Host::new();
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(host.run(spec("binary")).await.stdout, every_byte);
    assert_eq!(host.run(spec("silent")).await.stdout, "");
    assert!(host.run(spec("bom")).await.stdout.starts_with("\u{feff}{".as_bytes()));
    assert_eq!(host.run(spec("deep-nesting")).await.stdout.len(), 500_000);
}

/// What the descriptors 0, 1 and 2 are, and the numbers of all others.
fn standard_and_other_fds(dump: &Value) -> ([String; 3], BTreeSet<String>) {
    let mut fds: BTreeMap<String, String> = serde_json::from_value(dump["fds"].clone()).unwrap();
    let standard = ["0", "1", "2"].map(|fd| fds.remove(fd).expect("a standard stream"));
    (standard, fds.into_keys().collect())
}

/// Descriptors this test did not open: whoever started it left them open across execution.
fn inherited_by_this_test() -> BTreeSet<String> {
    let close_on_exec = |fd: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_none_or(|f| u32::from_str_radix(f.trim(), 8).unwrap() & 0o2_000_000 != 0)
    };
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|fd| !["0", "1", "2"].contains(&fd.as_str()) && !close_on_exec(fd))
        .collect()
}

#[tokio::test]
async fn a_plugin_sees_its_own_environment_directory_and_three_pipes_and_nothing_else() {
    let host = Host::new();
    let _a_file_the_daemon_has_open = fs::File::open("/proc/self/stat").unwrap();
    let asked = RunSpec { args: vec!["dump".into(), "a b".into()], ..spec("dump") };
    let seen = json(&host.run(asked.clone()).await);
    assert_eq!(seen["args"], serde_json::json!([badplugin(), "dump", "a b"]));
    let env: BTreeMap<String, String> = serde_json::from_value(seen["env"].clone()).unwrap();
    assert_eq!(env, asked.env.iter().cloned().collect());
    assert_eq!(seen["stdinBytes"], 2);
    assert_eq!(seen["cwdEntries"], 0);
    let base = host.scratch.path().join("scratch").canonicalize().unwrap();
    assert!(Path::new(seen["cwd"].as_str().unwrap()).starts_with(base));
    let (pipes, others) = standard_and_other_fds(&seen);
    assert!(pipes.iter().all(|target| target.starts_with("pipe:")), "{pipes:?}");
    assert_eq!(others, inherited_by_this_test(), "more than this test was started with");
    let status = seen["status"].as_str().unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(field("NSpgid:"), field("NSpid:"), "it leads a group of its own");
    assert_eq!(field("SigBlk:"), "0000000000000000");
}

#[tokio::test]
async fn what_a_plugin_writes_into_its_directory_is_not_there_for_the_next_run() {
    let host = Host::new();
    assert_eq!(json(&host.run(spec("write-scratch")).await)["cwdEntries"], 1);
    assert_eq!(json(&host.run(spec("dump")).await)["cwdEntries"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_runs_do_not_disturb_the_runs_beside_them() {
    let host = Host::new();
    let bad = ["ignore-term", "fork-children", "flood-stderr", "close-stdout-live-on"].map(short);
    let left = ["daemonise", "leave-children", "grandchild-holds-pipe"].map(spec);
    let labels: Vec<_> = bad.iter().chain(&left).map(|spec| spec.label.clone()).collect();
    let run = |spec| host.spawner.run(spec, CancellationToken::new());
    let bad = futures::future::join_all(bad.into_iter().map(run));
    let left = futures::future::join_all(left.into_iter().map(run));
    let good = futures::future::join_all((0..40).map(|_| run(spec("ok"))));
    let (bad, left, good) = tokio::join!(bad, left, good);
    assert!(bad.into_iter().all(|outcome| outcome.unwrap().exit == Exit::TimedOut));
    for outcome in left.into_iter().chain(good) {
        assert_eq!(json(&outcome.unwrap())["kind"], "PluginResult");
    }
    for label in labels {
        nothing_left_of(&label).await;
    }
    host.no_scratch_left().await;
}

/// A script in a directory that passes the trust check.
fn script(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    install(&path, text);
    (dir, path)
}

/// Under a new inode, as a package manager does it.
fn install(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

fn digest_of(path: &Path) -> Digest {
    Digest(sha2::Sha256::digest(fs::read(path).unwrap()).into())
}

#[tokio::test]
async fn a_pinned_program_runs_only_as_long_as_its_bytes_are_the_pinned_ones() {
    let host = Host::new();
    let pin = digest_of(&badplugin());
    let outcome = host.run(RunSpec { sha256: Some(pin), ..spec("dump") }).await;
    assert_eq!(outcome.digest, Some(pin));
    let seen = json(&outcome);
    let (_, others) = standard_and_other_fds(&seen);
    assert_eq!(others, inherited_by_this_test(), "the pinned descriptor is not inherited");
    assert_eq!(seen["args"][0], badplugin().to_str().unwrap());

    let (_dir, path) = script("#!/bin/sh\necho one\n");
    let pinned = RunSpec { executable: path.clone(), sha256: Some(digest_of(&path)), ..spec("") };
    assert_eq!(host.run(pinned.clone()).await.stdout, "one\n");
    install(&path, "#!/bin/sh\necho two\n");
    let error = host.try_run(pinned.clone()).await.unwrap_err();
    assert!(matches!(error, HostError::DigestMismatch { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&pinned.sha256.unwrap().to_string()), "{message}");
    assert!(message.contains(&digest_of(&path).to_string()), "{message}");
    let unpinned = host.run(RunSpec { sha256: None, ..pinned }).await;
    assert_eq!(unpinned.stdout, "two\n");
}

#[tokio::test]
async fn what_the_host_cannot_run_is_the_hosts_failure_and_says_what_to_do() {
    let host = Host::new();
    let (dir, path) = script("#!/no/such/interpreter\n");
    let asked = |executable: &Path| RunSpec { executable: executable.to_owned(), ..spec("ok") };

    let error = host.try_run(asked(&path)).await.unwrap_err();
    assert!(matches!(error, HostError::NotExecutable { .. }), "{error:?}");
    assert!(error.to_string().contains("interpreter"), "{error}");

    install(&path, "no program at all");
    let error = host.try_run(asked(&path)).await.unwrap_err();
    assert!(matches!(error, HostError::NotExecutable { .. }), "{error:?}");
    assert!(error.to_string().contains("#!"), "{error}");

    let open_for_writing = fs::OpenOptions::new().append(true).open(&path).unwrap();
    install(&dir.path().join("other"), "#!/bin/sh\n");
    let error = host.try_run(asked(&path)).await.unwrap_err();
    assert!(matches!(error, HostError::Busy { .. }), "{error:?}");
    drop(open_for_writing);

    let error = host.try_run(asked(dir.path())).await.unwrap_err();
    assert!(
        matches!(&error, HostError::Refused { problem: TrustProblem::NotAFile(..), .. }),
        "{error:?}"
    );

    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let error = host.try_run(asked(&path)).await.unwrap_err();
    assert!(
        matches!(&error, HostError::Refused { problem: TrustProblem::WorldWritable(at), .. } if at == dir.path()),
        "{error:?}"
    );
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();

    fs::remove_file(&path).unwrap();
    let error = host.try_run(asked(&path)).await.unwrap_err();
    assert!(matches!(error, HostError::NotFound { .. }), "{error:?}");

    let not_for_execve = RunSpec { args: vec!["a\0b".into()], ..spec("ok") };
    let error = host.try_run(not_for_execve).await.unwrap_err();
    assert!(matches!(error, HostError::Spawn { .. }), "{error:?}");
}
