//! One line a figure: name, value, goal, and whether it is met. Shared by all benches, so that
//! `make bench` reads as one table.

/// What a figure should be.
#[derive(Clone, Copy)]
#[allow(dead_code)] // no bench needs all of them
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Printed to compare with.
    None,
}

/// Whether small counts will do: a smoke test of the benches, not a measurement.
#[allow(dead_code)]
pub fn quick() -> bool {
    std::env::var_os("BENCH_QUICK").is_some_and(|value| value == "1")
}

/// `full`, or `few` in the quick mode.
#[allow(dead_code)]
pub fn count<T>(full: T, few: T) -> T {
    if quick() { few } else { full }
}

/// Prints one figure.
pub fn figure(name: &str, value: f64, unit: &str, goal: Goal) {
    let (goal, verdict) = match goal {
        Goal::AtLeast(least) => (format!("≥ {}", number(least)), verdict(value >= least)),
        Goal::AtMost(most) => (format!("≤ {}", number(most)), verdict(value <= most)),
        Goal::None => (String::new(), ""),
    };
    let line = format!("{name:<58} {:>11} {unit:<9} {goal:<12} {verdict}", number(value));
    println!("{}", line.trim_end());
}

fn verdict(met: bool) -> &'static str {
    if met { "ok" } else { "MISS" }
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let groups = digits.as_bytes().rchunks(3).rev();
            let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
    }
}

/// The value that `percent` of the sorted times stay below, in milliseconds.
#[allow(dead_code)]
pub fn percentile(times: &mut [std::time::Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}
