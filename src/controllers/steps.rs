//! Steps of the clock: timers run by the monotonic clock, so when node time leaps, or goes back,
//! everything that waits for a moment is looked at again.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::follow::{Triggers, keep_time};
use crate::runtime::{Shutdown, Trigger};
use crate::sources::clock_set::ClockSet;
use crate::sources::node_time::HOLD;

/// How often the two clocks are compared while there is reason to: a leap is noticed this late at
/// most.
const EVERY: Duration = Duration::from_secs(10);
/// How long there is reason to after the clock was set: until a leap that is held is believed.
const AFTERMATH: Duration = Duration::from_secs(HOLD.as_secs() + 3 * EVERY.as_secs());
/// What the clocks may drift apart in that time without being looked at: an expiry is at most
/// this late because of it.
const DRIFT: SignedDuration = SignedDuration::from_millis(500);

/// Watches for steps of node time until `shutdown` drains. Where nobody tells when the clock is set,
/// it looks again and again.
pub async fn watch(
    shared: Arc<Shared>,
    triggers: Triggers,
    mut set: Option<ClockSet>,
    shutdown: Shutdown,
) {
    let mut last = (shared.clock.now(), Instant::now());
    let mut calm = Instant::now();
    loop {
        let next = async {
            match &set {
                Some(set) if calm <= Instant::now() => Some(set.happened().await),
                _ => {
                    sleep(EVERY).await;
                    None
                }
            }
        };
        let heard = tokio::select! {
            () = shutdown.draining() => return,
            heard = next => heard,
        };
        match heard {
            Some(true) => calm = Instant::now() + AFTERMATH,
            Some(false) => set = None,
            None => {}
        }
        let now = (shared.clock.now(), Instant::now());
        let by_node = now.0.duration_since(last.0);
        let by_timer = SignedDuration::try_from(now.1 - last.1).unwrap_or(SignedDuration::MAX);
        last = now;
        if (by_node - by_timer).abs() > DRIFT {
            tracing::warn!(step = ?(by_node - by_timer), "node time stepped; planning anew");
            look_again(&shared, &triggers);
        }
    }
}

fn look_again(shared: &Shared, triggers: &Triggers) {
    keep_time(&mut shared.effective(), shared.clock.now());
    let (pairs, groups): (_, Vec<Arc<str>>) = {
        let world = shared.world();
        (world.all_pairs(), world.objects.groups().map(|(name, _)| name.as_str().into()).collect())
    };
    triggers.plans.extend(pairs, Trigger::Related);
    triggers.history.extend(groups, Trigger::Related);
    triggers.published.related(());
}
