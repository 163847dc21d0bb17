//! What the plugin host costs over the bare spawn of the same program with the same pipes.
//!
//! Both sides take turns in one run, so that they meet the same machine: a loaded or throttled one
//! moves both. Goal: at most 20 % more for a dynamic program. `cargo bench --bench spawn`.

use bytes::Bytes;
use routerd::plugin::{
    DEFAULT_GRACE, Digest, Limits, ProcessSpawner, RunSpec, Spawner, adopt_orphans,
};
use sha2::Digest as _;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 20;
const RUNS_PER_ROUND: usize = 50;
const PROGRAM: &str = "/bin/cat";
const AT_ONCE: usize = 8;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let dir = tempfile::tempdir().expect("temporary directory");
    adopt_orphans().expect("subreaper");
    let spawner = ProcessSpawner::new(dir.path().join("scratch")).expect("scratch base");
    let input = Bytes::from(vec![b'x'; 4096]);
    let cwd = dir.path().join("cwd");
    std::fs::create_dir(&cwd).expect("working directory");

    let plain = RunSpec {
        executable: PathBuf::from(PROGRAM),
        args: Vec::new(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        stdin: input.clone(),
        timeout: Duration::from_secs(10),
        grace: DEFAULT_GRACE,
        limits: Limits::default(),
        sha256: None,
        label: "bench".into(),
    };
    let bytes = std::fs::read(PROGRAM).expect("the program");
    let pin = Digest(sha2::Sha256::digest(bytes).into());
    let pinned = RunSpec { sha256: Some(pin), ..plain.clone() };
    // A digest is cached for good only some seconds after the file was first seen.
    host(&runtime, &spawner, &pinned, 1);
    std::thread::sleep(Duration::from_secs(4));
    host(&runtime, &spawner, &pinned, 1);

    let mut times = [(); 3].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        times[0].extend(bare(&input, &cwd));
        times[1].extend(host(&runtime, &spawner, &plain, RUNS_PER_ROUND));
        times[2].extend(host(&runtime, &spawner, &pinned, RUNS_PER_ROUND));
    }
    println!("{PROGRAM} with 4 KiB on stdin, {} runs each, one at a time", ROUNDS * RUNS_PER_ROUND);
    let base = report("bare spawn", &mut times[0], None);
    report("host", &mut times[1], Some(base));
    report("host, pinned", &mut times[2], Some(base));
    parallel(&runtime, &spawner, &plain, base);
}

/// The least that gives the program its input and takes its output: nothing checked, bounded,
/// timed or cleaned up.
fn bare(input: &[u8], cwd: &Path) -> Vec<Duration> {
    (0..RUNS_PER_ROUND)
        .map(|_| {
            let started = Instant::now();
            let mut child = Command::new(PROGRAM)
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .current_dir(cwd)
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("spawn");
            child.stdin.take().expect("stdin").write_all(input).expect("write");
            let mut out = Vec::new();
            child.stdout.take().expect("stdout").read_to_end(&mut out).expect("read");
            child.stderr.take().expect("stderr").read_to_end(&mut out).expect("read");
            assert!(child.wait().expect("wait").success() && out.len() == input.len());
            started.elapsed()
        })
        .collect()
}

fn host(
    runtime: &tokio::runtime::Runtime,
    spawner: &ProcessSpawner,
    spec: &RunSpec,
    runs: usize,
) -> Vec<Duration> {
    let spec = spec.clone();
    let spawner = spawner.clone();
    // On a worker, as in the daemon: the thread that blocks on the runtime is not one.
    let all = runtime.spawn(async move {
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let started = Instant::now();
            let outcome = spawner.run(spec.clone(), CancellationToken::new()).await.expect("run");
            assert!(outcome.exit.success() && outcome.stdout.len() == spec.stdin.len());
            times.push(started.elapsed());
        }
        times
    });
    runtime.block_on(all).expect("no panic")
}

fn parallel(
    runtime: &tokio::runtime::Runtime,
    spawner: &ProcessSpawner,
    spec: &RunSpec,
    base: Duration,
) {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| host(runtime, spawner, spec, RUNS_PER_ROUND));
        }
    });
    let each = started.elapsed() / u32::try_from(AT_ONCE * RUNS_PER_ROUND).expect("small");
    println!(
        "{AT_ONCE} at once      {each:>9.1?} per run = {:.2} x the bare throughput",
        base.as_secs_f64() / each.as_secs_f64()
    );
}

/// Prints a line; answers the median.
fn report(name: &str, times: &mut [Duration], base: Option<Duration>) -> Duration {
    times.sort_unstable();
    let p50 = times[times.len() / 2];
    let p99 = times[times.len() * 99 / 100];
    let over = base.map_or(String::new(), |base| {
        format!(
            "  {:+.1} % over bare at p50",
            (p50.as_secs_f64() / base.as_secs_f64() - 1.0) * 100.0
        )
    });
    println!("{name:<14} p50 {p50:>9.1?}  p99 {p99:>9.1?}{over}");
    p50
}
