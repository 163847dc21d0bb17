//! Waiting for what must come true.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far beyond anything a healthy node needs, however busy the machine.
const GENEROUS: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// Asks `probe` until it has an answer. At the deadline it fails with what the probe saw last and
/// the daemon's log.
#[track_caller]
pub fn wait_for<T>(what: &str, log: &Path, mut probe: impl FnMut() -> Result<T, String>) -> T {
    within(GENEROUS, what, log, &mut probe).0
}

/// The same for what an operator must see at once: five seconds at most on a busy machine, and the
/// time it took is printed.
#[track_caller]
pub fn soon<T>(what: &str, log: &Path, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let (found, took) = within(Duration::from_secs(5), what, log, &mut probe);
    println!("{what}: seen after {} ms", took.as_millis());
    found
}

#[track_caller]
fn within<T>(
    limit: Duration,
    what: &str,
    log: &Path,
    probe: &mut dyn FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let began = Instant::now();
    loop {
        let saw = match probe() {
            Ok(found) => return (found, began.elapsed()),
            Err(saw) => saw,
        };
        if began.elapsed() > limit {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("waited {limit:?} for {what}; saw last: {saw}\n--- daemon's log ---\n{log}");
        }
        sleep(LOOK_EVERY);
    }
}
