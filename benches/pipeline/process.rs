//! What the system knows of a process: memory, processor time, and how often it woke up.

use std::collections::BTreeMap;
use std::fs;

/// Resident memory in MiB.
pub fn resident_mib(pid: u32) -> f64 {
    field(&status(&format!("/proc/{pid}/status")), "VmRSS:") / 1024.0
}

/// The most it ever was.
pub fn peak_mib(pid: u32) -> f64 {
    field(&status(&format!("/proc/{pid}/status")), "VmHWM:") / 1024.0
}

/// Processor time of a process and all its threads, in milliseconds; exact to ten.
pub fn processor_ms(pid: u32) -> f64 {
    let text = status(&format!("/proc/{pid}/stat"));
    // The name, in brackets, may hold anything.
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() * 10.0
}

/// How often each thread gave up the processor by itself, which it does once a wake-up; by the
/// thread's name and number.
pub fn switches(pid: u32) -> BTreeMap<String, u64> {
    let of = |task: String| {
        let text = status(&format!("{task}/status"));
        let name = text.lines().next().and_then(|line| line.split_whitespace().nth(1));
        let id = task.rsplit('/').next().unwrap_or_default();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a small counter
        let count = field(&text, "voluntary_ctxt_switches:") as u64;
        (format!("{} {id}", name.unwrap_or_default()), count)
    };
    threads(pid).into_iter().map(of).collect()
}

fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    tasks.flatten().map(|task| task.path().display().to_string()).collect()
}

/// A thread that ends while it is looked at has nothing to say.
fn status(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
