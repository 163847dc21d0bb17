//! What the plugin host costs over the bare spawn of the same program with the same pipes.
//!
//! Both sides take turns in one run, so that they meet the same machine: a loaded or throttled one
//! moves both. Goals: at most 20 % more for a dynamic program, 60 % for a static one (which starts
//! four times as fast, so the same work weighs more); the daemon's size does not matter; several at
//! once use all processors. `cargo bench --bench spawn`.

use bytes::Bytes;
use routerd::plugin::{
    Availability, Confinement, DEFAULT_GRACE, Digest, Limits, ProcessSpawner, RunSpec, Spawner,
    Walls, adopt_orphans,
};
use sha2::Digest as _;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 20;
const RUNS_PER_ROUND: usize = 50;
const DYNAMIC: &str = "/bin/cat";
const AT_ONCE: usize = 8;
const SMALL: usize = 30 << 20;
const LARGE: usize = 1 << 30;

fn main() {
    let runtime = Runtime::new().expect("runtime");
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("mode");
    adopt_orphans().expect("subreaper");
    let spawner = ProcessSpawner::new(dir.path().join("scratch"), dir.path().join("others"))
        .expect("scratch base");
    let bench = Bench { runtime, spawner, cwd: dir.path().join("cwd") };
    std::fs::create_dir(&bench.cwd).expect("working directory");

    println!("4 KiB on stdin, {} runs each, one at a time", ROUNDS * RUNS_PER_ROUND);
    let base = bench.compare("dynamic", Path::new(DYNAMIC));
    match static_program(dir.path()) {
        Some(program) => _ = bench.compare("static", &program),
        None => println!("static: not measured; this toolchain links no static program"),
    }
    bench.sizes();
    bench.parallel(base);
    bench.computing();
}

struct Bench {
    runtime: Runtime,
    spawner: ProcessSpawner,
    cwd: PathBuf,
}

fn spec(program: &Path, confinement: Confinement) -> RunSpec {
    RunSpec {
        executable: program.to_owned(),
        args: Vec::new(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        stdin: Bytes::from(vec![b'x'; 4096]),
        timeout: Duration::from_secs(10),
        grace: DEFAULT_GRACE,
        limits: Limits::default(),
        confinement,
        sha256: None,
        label: "bench".into(),
        warm: None,
    }
}

/// Copies its input, linked statically.
fn static_program(dir: &Path) -> Option<PathBuf> {
    let (source, program) = (dir.join("copy.rs"), dir.join("copy"));
    let text =
        "fn main() { std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).unwrap(); }";
    std::fs::write(&source, text).ok()?;
    let rustc = Command::new("rustc")
        .args(["-O", "-C", "target-feature=+crt-static", "-C", "relocation-model=static", "-o"])
        .args([&program, &source])
        .stderr(Stdio::null())
        .status();
    rustc.ok().filter(std::process::ExitStatus::success).map(|_| program)
}

/// A user of this machine that is not root.
fn other_user() -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let found = passwd.lines().find(|line| line.split(':').nth(2).is_some_and(|uid| uid != "0"))?;
    found.split(':').next().map(str::to_owned)
}

impl Bench {
    /// One program, every way to run it; answers the median of the bare spawn.
    fn compare(&self, kind: &str, program: &Path) -> Duration {
        let plain = spec(program, Confinement::Plugin);
        let bytes = std::fs::read(program).expect("the program");
        let pin = Digest(sha2::Sha256::digest(bytes).into());
        let pinned = RunSpec { sha256: Some(pin), ..plain.clone() };
        // A digest is cached for good only some seconds after the file was first seen.
        self.host(&pinned, 1);
        std::thread::sleep(Duration::from_secs(4));
        self.host(&pinned, 1);

        let landlock = Walls { landlock: true, ..Walls::default() };
        let network = Walls { no_network: true, ..Walls::default() };
        let memory = Walls { memory: Some(1 << 30), ..Walls::default() };
        let all = Walls {
            user: other_user(),
            processes: Some(1000),
            landlock: true,
            no_network: true,
            ..memory.clone()
        };
        let mut ways = vec![("host", plain.clone()), ("host, pinned", pinned)];
        for (name, walls) in [
            ("  memory", memory),
            ("  network: none", network),
            ("  landlock", landlock),
            ("  all walls", all),
        ] {
            let missing = self.spawner.walls(&walls).into_iter().find_map(|it| match it.state {
                Availability::NotAvailable(why) => Some(why),
                Availability::Enforced | Availability::EnforcedBut(_) => None,
            });
            match missing {
                None => ways.push((name, spec(program, Confinement::Walled(walls)))),
                Some(why) => println!("{kind}{name}: not measured; {why}"),
            }
        }

        let mut bare = Vec::new();
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            bare.extend(self.bare(program, &plain.stdin));
            for ((_, spec), times) in ways.iter().zip(&mut times) {
                times.extend(self.host(spec, RUNS_PER_ROUND));
            }
        }
        let base = report(&format!("{kind}: bare spawn"), &mut bare, None);
        for ((name, _), times) in ways.iter().zip(&mut times) {
            report(&format!("{kind}: {name}"), times, Some(base));
        }
        base
    }

    /// The least that gives the program its input and takes its output: nothing checked, bounded,
    /// timed or cleaned up.
    fn bare(&self, program: &Path, input: &[u8]) -> Vec<Duration> {
        (0..RUNS_PER_ROUND)
            .map(|_| {
                let started = Instant::now();
                let mut child = Command::new(program)
                    .env_clear()
                    .env("PATH", "/usr/bin:/bin")
                    .current_dir(&self.cwd)
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

    fn host(&self, spec: &RunSpec, runs: usize) -> Vec<Duration> {
        let (spec, spawner) = (spec.clone(), self.spawner.clone());
        // On a worker, as in the daemon: the thread that blocks on the runtime is not one.
        let all = self.runtime.spawn(async move {
            let mut times = Vec::with_capacity(runs);
            for _ in 0..runs {
                let started = Instant::now();
                let outcome = spawner.run(spec.clone(), CancellationToken::new()).await;
                let outcome = outcome.expect("run");
                assert!(outcome.exit.success() && outcome.stdout.len() == spec.stdin.len());
                times.push(started.elapsed());
            }
            times
        });
        self.runtime.block_on(all).expect("no panic")
    }

    /// The same daemon with little and with much memory, in turns.
    fn sizes(&self) {
        let plain = spec(Path::new(DYNAMIC), Confinement::Plugin);
        let mut times = [SMALL, LARGE].map(|size| (size, Vec::new()));
        for _ in 0..ROUNDS / 2 {
            for (size, times) in &mut times {
                let held = vec![1_u8; *size];
                times.extend(self.host(&plain, RUNS_PER_ROUND));
                drop(std::hint::black_box(held));
            }
        }
        let mut base = None;
        for (size, mut times) in times {
            let name = format!("daemon at {} MiB", size >> 20);
            base = base.or(Some(report(&name, &mut times, base)));
        }
    }

    fn parallel(&self, base: Duration) {
        let plain = spec(Path::new(DYNAMIC), Confinement::Plugin);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| self.host(&plain, RUNS_PER_ROUND));
            }
        });
        let each = started.elapsed() / u32::try_from(AT_ONCE * RUNS_PER_ROUND).expect("small");
        println!(
            "{AT_ONCE} at once: {each:.1?} per run = {:.2} x the bare throughput of one at a time",
            base.as_secs_f64() / each.as_secs_f64()
        );
    }

    /// Programs that compute, as many at once as one after the other: they get all processors.
    fn computing(&self) {
        let count = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let spec = RunSpec {
            args: vec!["-c".into(), count.into()],
            ..spec(Path::new("/bin/sh"), Confinement::Plugin)
        };
        let run = || {
            let outcome =
                self.runtime.block_on(self.spawner.run(spec.clone(), CancellationToken::new()));
            assert!(outcome.expect("it runs").exit.success());
        };
        let started = Instant::now();
        (0..AT_ONCE).for_each(|_| run());
        let in_turn = started.elapsed();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(run);
            }
        });
        let at_once = started.elapsed();
        println!(
            "{AT_ONCE} that compute: {in_turn:.1?} in turn, {at_once:.1?} at once = {:.2} x, on {} processors",
            in_turn.as_secs_f64() / at_once.as_secs_f64(),
            std::thread::available_parallelism().map_or(1, usize::from),
        );
    }
}

/// Prints a line; answers the median.
fn report(name: &str, times: &mut [Duration], base: Option<Duration>) -> Duration {
    times.sort_unstable();
    let p50 = times[times.len() / 2];
    let p99 = times[times.len() * 99 / 100];
    let over = base.map_or(String::new(), |base| {
        format!("  {:+.1} % at p50", (p50.as_secs_f64() / base.as_secs_f64() - 1.0) * 100.0)
    });
    println!("{name:<26} p50 {p50:>9.1?}  p99 {p99:>9.1?}{over}");
    p50
}
