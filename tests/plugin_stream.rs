//! Warm processes against real ones: who answers, who is asked again, and that none is left.
//!
//! The programs are scripts for `/bin/sh`. Every process carries a marker in its environment, so
//! that `/proc` can tell what is left. This process adopts orphans like the daemon does; therefore
//! nothing in here may start a process except through the spawner.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use routerd::plugin::{
    Confinement, DEFAULT_GRACE, Digest, Exit, HostError, Limits, Outcome, ProcessSpawner, RunSpec,
    Spawner, WarmSpec, adopt_orphans,
};
use sha2::Digest as _;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const MARKER: &str = "STREAM_TEST";
/// For what must end by itself: reached only by a bug.
const NEVER: Duration = Duration::from_secs(60);
/// For what must be stopped.
const SHORT: Duration = Duration::from_millis(300);

/// Answers each line with its own process id.
const PID: &str = "while read -r line; do echo $$; done";

struct Host {
    spawner: ProcessSpawner,
    dir: TempDir,
    label: String,
}

impl Host {
    fn new() -> Self {
        static ADOPT: OnceLock<()> = OnceLock::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        ADOPT.get_or_init(|| adopt_orphans().expect("subreaper and /proc/…/children"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::tempdir().unwrap();
        let spawner =
            ProcessSpawner::new(dir.path().join("scratch"), dir.path().join("others")).unwrap();
        Self { spawner, dir, label: format!("{}-{number}", std::process::id()) }
    }

    fn spec(&self, script: &str) -> RunSpec {
        RunSpec {
            executable: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                (MARKER.to_owned(), self.label.clone()),
            ],
            stdin: Bytes::from_static(b"{}"),
            timeout: NEVER,
            grace: DEFAULT_GRACE,
            limits: Limits::default(),
            confinement: Confinement::Plugin,
            sha256: None,
            label: self.label.clone(),
            warm: Some(WarmSpec { pool: "p".to_owned(), version: "1".to_owned() }),
        }
    }

    /// A program of its own, which prints this word and its process id for each line.
    fn program(&self, word: &str) -> PathBuf {
        let (beside, path) = (self.dir.path().join("beside"), self.dir.path().join("program"));
        let script = format!("#!/bin/sh\nwhile read -r line; do echo {word} $$; done\n");
        fs::write(&beside, script).unwrap();
        fs::set_permissions(&beside, Permissions::from_mode(0o755)).unwrap();
        fs::rename(&beside, &path).unwrap();
        path
    }

    async fn ask(&self, spec: RunSpec) -> Result<Outcome, HostError> {
        let run = self.spawner.run(spec, CancellationToken::new());
        tokio::time::timeout(NEVER * 2, run).await.expect("the run hung")
    }

    /// Asks, and takes the answer for good.
    async fn good(&self, spec: RunSpec) -> String {
        let mut outcome = self.ask(spec).await.unwrap();
        assert_eq!(outcome.exit, Exit::Code(0), "{outcome:?}");
        if let Some(lease) = outcome.lease.take() {
            lease.keep();
        }
        String::from_utf8(outcome.stdout.to_vec()).unwrap()
    }

    fn processes(&self) -> usize {
        let marker = format!("{MARKER}={}\0", self.label);
        let carries = |pid: &u32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.windows(marker.len()).any(|w| w == marker.as_bytes()))
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(carries)
            .count()
    }

    /// Waits for a process, and those that it started itself, to be there.
    async fn starts(&self) {
        let deadline = Instant::now() + NEVER;
        while self.processes() == 0 {
            assert!(Instant::now() < deadline, "no process");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn comes_to(&self, processes: usize) {
        let deadline = Instant::now() + NEVER;
        // A listing of /proc is no snapshot: look twice.
        while self.processes() != processes || self.processes() != processes {
            assert!(Instant::now() < deadline, "{} processes", self.processes());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn one_process_answers_many_requests_and_ends_when_all_is_closed() {
    let host = Host::new();
    let first = host.good(host.spec(PID)).await;
    for _ in 0..100 {
        assert_eq!(host.good(host.spec(PID)).await, first);
    }
    assert_eq!(host.processes(), 1);
    host.spawner.close().await;
    host.comes_to(0).await;
    let refused = host.ask(host.spec(PID)).await;
    assert!(matches!(refused, Err(HostError::Cancelled)), "{refused:?}");
}

#[tokio::test]
async fn runs_at_the_same_time_have_a_process_each() {
    let host = Host::new();
    let asked = (0..3).map(|_| host.ask(host.spec(PID)));
    let outcomes = futures::future::join_all(asked).await;
    assert_eq!(host.processes(), 3);
    outcomes.into_iter().for_each(|outcome| outcome.unwrap().lease.unwrap().keep());
    host.good(host.spec(PID)).await;
    assert_eq!(host.processes(), 3, "those that are there are asked first");
}

#[tokio::test]
async fn a_process_whose_answer_was_none_is_ended_and_another_is_started() {
    let host = Host::new();
    let outcome = host.ask(host.spec(PID)).await.unwrap();
    let first = String::from_utf8(outcome.stdout.to_vec()).unwrap();
    drop(outcome);
    host.comes_to(0).await;
    assert_ne!(host.good(host.spec(PID)).await, first);
}

#[tokio::test]
async fn each_way_to_end_without_an_answer_is_told_as_of_a_single_run() {
    for (script, exit, stdout) in [
        ("read -r line; exit 3", Exit::Code(3), ""),
        ("read -r line; exit 0", Exit::Code(0), ""),
        ("read -r line; kill -9 $$", Exit::Signal(9), ""),
        ("read -r line; printf half", Exit::Code(0), "half"),
        ("printf half; exec cat >/dev/null", Exit::TimedOut, "half"),
        ("trap '' TERM; while :; do sleep 1; done", Exit::TimedOut, ""),
        ("read -r line; exec >&-; while :; do sleep 1; done", Exit::TimedOut, ""),
        ("sleep 60 & sleep 60", Exit::TimedOut, ""),
    ] {
        let host = Host::new();
        let grace = Duration::from_millis(200);
        let timeout = if exit == Exit::TimedOut { SHORT } else { NEVER };
        let outcome = host.ask(RunSpec { timeout, grace, ..host.spec(script) }).await.unwrap();
        assert_eq!(outcome.exit, exit, "{script}");
        assert_eq!(outcome.stdout, stdout, "{script}");
        assert!(outcome.lease.is_none(), "{script}");
        host.comes_to(0).await;
        assert!(!host.good(host.spec(PID)).await.is_empty(), "another one answers");
    }
}

#[tokio::test]
async fn an_endless_line_ends_the_process_at_the_limit() {
    let host = Host::new();
    let spec = RunSpec {
        limits: Limits { stdout: 1000, stderr_tail: 10 },
        ..host.spec("while :; do printf xxxxxxxxxxxxxxxxxxxx; printf yyyyyyyyyyyy >&2; done")
    };
    let outcome = host.ask(spec).await.unwrap();
    assert_eq!(outcome.exit, Exit::OutputTooLarge);
    assert_eq!((outcome.stdout.len(), outcome.stderr.bytes.len()), (1000, 10));
    host.comes_to(0).await;
}

#[tokio::test]
async fn the_first_line_is_the_answer_and_who_writes_two_is_not_asked_again() {
    let host = Host::new();
    let two = "while read -r line; do printf '\\n%s\\nsecond\\n' $$; done";
    let first = host.good(host.spec(two)).await;
    assert!(first.parse::<u32>().is_ok(), "{first}");
    let second = host.good(host.spec(two)).await;
    assert!(second.parse::<u32>().is_ok() && first != second, "{second}");
    // An answer that comes before the request was read belongs to no request.
    let eager = "echo early; while read -r line; do echo late; done";
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    let spec = RunSpec { stdin: big, ..host.spec(eager) };
    assert_eq!(host.good(spec).await, "early");
    host.comes_to(0).await;
}

#[tokio::test]
async fn an_answer_of_a_process_that_ends_with_it_is_an_answer() {
    let host = Host::new();
    for _ in 0..5 {
        assert_eq!(host.good(host.spec("read -r line; echo $line")).await, "{}");
    }
    host.comes_to(0).await;
}

#[tokio::test]
async fn stderr_belongs_to_the_request_during_which_it_was_written() {
    let host = Host::new();
    let script = "n=0; while read -r line; do n=$((n+1)); echo said $n >&2; echo ok; done";
    for n in 1..=3 {
        let outcome = host.ask(host.spec(script)).await.unwrap();
        assert_eq!(outcome.stderr.bytes, format!("said {n}\n"));
        outcome.lease.unwrap().keep();
    }
}

#[tokio::test]
async fn a_replaced_file_and_a_changed_version_are_run_anew() {
    let host = Host::new();
    let of = |version: &str| RunSpec {
        executable: host.dir.path().join("program"),
        args: Vec::new(),
        warm: Some(WarmSpec { pool: "p".to_owned(), version: version.to_owned() }),
        ..host.spec("")
    };
    host.program("one");
    let first = host.good(of("1")).await;
    assert!(first.starts_with("one "), "{first}");
    host.program("two");
    let second = host.good(of("1")).await;
    assert!(second.starts_with("two "), "{second}");
    let third = host.good(of("2")).await;
    assert!(third.starts_with("two ") && third != second, "{third}");
    host.comes_to(1).await;
    host.spawner.keep_warm("p", Some("2"));
    host.comes_to(1).await;
    host.spawner.keep_warm("p", None);
    host.comes_to(0).await;
}

#[tokio::test]
async fn the_checks_and_the_pin_hold_at_every_start() {
    let host = Host::new();
    let path = host.program("one");
    let pin = Digest(sha2::Sha256::digest(fs::read(&path).unwrap()).into());
    let spec = || RunSpec {
        executable: path.clone(),
        args: Vec::new(),
        sha256: Some(pin),
        ..host.spec("")
    };
    let outcome = host.ask(spec()).await.unwrap();
    assert_eq!(outcome.digest, Some(pin));
    outcome.lease.unwrap().keep();
    host.program("two");
    let swapped = host.ask(spec()).await;
    assert!(matches!(swapped, Err(HostError::DigestMismatch { .. })), "{swapped:?}");
    host.program("one");
    host.good(spec()).await;
    fs::set_permissions(&path, Permissions::from_mode(0o757)).unwrap();
    let open = host.ask(spec()).await;
    assert!(matches!(open, Err(HostError::Refused { .. })), "{open:?}");
    fs::remove_file(&path).unwrap();
    let gone = host.ask(spec()).await;
    assert!(matches!(gone, Err(HostError::NotFound { .. })), "{gone:?}");
    host.comes_to(0).await;
}

#[tokio::test]
async fn a_program_that_only_fails_rests_between_its_starts() {
    let host = Host::new();
    let mut rests = 0;
    for _ in 0..3 {
        match host.ask(host.spec("read -r line; exit 1")).await {
            Ok(outcome) => assert_eq!(outcome.exit, Exit::Code(1)),
            Err(HostError::Resting { failures, why, .. }) => {
                assert!(failures >= 2 && why.contains("status 1"), "{failures} {why}");
                rests += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(rests > 0, "the third start came too soon");
    // Another version is another program.
    let warm = Some(WarmSpec { pool: "p".to_owned(), version: "2".to_owned() });
    host.good(RunSpec { warm, ..host.spec(PID) }).await;
}

#[tokio::test]
async fn a_process_that_ended_while_it_waited_costs_no_request() {
    let host = Host::new();
    let first = host.good(host.spec(PID)).await;
    let pid = rustix::process::Pid::from_raw(first.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    host.comes_to(0).await;
    assert_ne!(host.good(host.spec(PID)).await, first);
}

#[tokio::test]
async fn a_request_that_ends_its_process_is_put_to_a_new_one_before_it_is_blamed() {
    let host = Host::new();
    let script = "while read -r line; do case $line in *bad*) echo once >&2; exit 7;; esac; \
                  echo ok; done";
    for _ in 0..3 {
        host.good(host.spec(script)).await;
        let bad = RunSpec { stdin: Bytes::from_static(b"bad"), ..host.spec(script) };
        let outcome = host.ask(bad).await.unwrap();
        assert_eq!((outcome.exit, &outcome.stderr.bytes[..]), (Exit::Code(7), &b"once\n"[..]));
        host.comes_to(0).await;
    }
}

#[tokio::test]
async fn cancelling_stops_the_process_and_dropping_kills_it() {
    let host = Host::new();
    let cancel = CancellationToken::new();
    let hang = host.spec("trap 'echo cleaned up >&2; exit 0' TERM; while :; do sleep 0.05; done");
    let run = host.spawner.run(hang.clone(), cancel.clone());
    let (outcome, ()) = tokio::join!(run, async {
        host.starts().await;
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap().exit, Exit::Cancelled);
    host.comes_to(0).await;
    tokio::select! {
        outcome = host.ask(hang) => panic!("it hangs by design: {outcome:?}"),
        () = host.starts() => {}
    }
    host.comes_to(0).await;
    assert!(fs::read_dir(scratch(&host)).unwrap().count() <= 2, "directories are given back");
}

fn scratch(host: &Host) -> impl AsRef<Path> {
    host.dir.path().join("scratch")
}

#[tokio::test]
async fn what_waits_is_told_by_the_end_of_its_input_and_given_its_grace() {
    let host = Host::new();
    let said = host.dir.path().join("said");
    let script = format!(
        "trap '' TERM; while read -r line; do echo ok; done; echo ended >{}",
        said.display()
    );
    host.good(host.spec(&script)).await;
    host.spawner.close().await;
    assert_eq!(fs::read_to_string(said).unwrap(), "ended\n");
}
