//! Crashes, power cuts, damage and full disks, on the real programs.
//!
//! `cargo test` runs a few rounds of each as a smoke test. `CRASH=1 cargo test --test crash` runs
//! them long, after `cargo build --example event-to-remote-claim`; `CRASH_ROUNDS`, `CRASH_CUTS` and
//! `CRASH_SEED` set the numbers, and words name scenarios: `cargo test --test crash -- power`.
//! Scenarios that mount file systems need root and are reported as skipped without.

mod damage;
mod disk_full;
mod kill;
mod load;
mod mounts;
mod node;
mod offline;
mod power;
mod random;
mod writer;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use random::Random;

/// How long the scenarios go on.
struct Extent {
    rounds: u64,
    cuts: u64,
    daemon_cuts: u64,
    harms: u64,
}

impl Extent {
    fn from_environment() -> Self {
        let long = std::env::var_os("CRASH").is_some_and(|value| value != "0");
        let number = |name: &str, short: u64, long_one: u64| {
            let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
            given.unwrap_or(if long { long_one } else { short })
        };
        Self {
            rounds: number("CRASH_ROUNDS", 3, 100),
            cuts: number("CRASH_CUTS", 2, 36),
            daemon_cuts: number("CRASH_DAEMON_CUTS", 1, 12),
            harms: number("CRASH_HARMS", 3, 24),
        }
    }
}

/// A scenario: its name, whether it mounts, what it does.
type Scenario = (&'static str, bool, fn(&Extent, &mut Random));

const SCENARIOS: &[Scenario] = &[
    ("kill", false, |extent, random| kill::run(extent.rounds, random)),
    ("damage", false, |extent, random| damage::run(extent.harms, random)),
    ("offline", false, |_, _| offline::run()),
    ("disk-full", true, |_, _| disk_full::run()),
    ("power-store", true, |extent, random| power::of_the_store(extent.cuts, random)),
    ("power-daemon", true, |extent, random| power::of_the_daemon(extent.daemon_cuts, random)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, state, says] = &arguments[..]
        && word == power::WRITER
    {
        let early = says == "early";
        let says = if early { writer::Says::TooEarly } else { writer::Says::Acknowledged };
        writer::write_for_ever(Path::new(state), says);
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |(name, _, _): &&Scenario| {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let unavailable = mounts::unavailable();
    if unavailable.is_none() && !mounts::is_inside() && SCENARIOS.iter().any(|s| chosen(&s)) {
        return ExitCode::from(u8::try_from(mounts::enter()).unwrap_or(1));
    }
    let (extent, mut random) = (Extent::from_environment(), Random::from_environment());
    for (name, mounts, run) in SCENARIOS.iter().filter(chosen) {
        match &unavailable {
            Some(why) if *mounts => println!("{name}: SKIPPED: {why}"),
            _ => {
                let began = Instant::now();
                run(&extent, &mut random);
                println!("{name}: ok, {} s", began.elapsed().as_secs());
            }
        }
    }
    ExitCode::SUCCESS
}
