//! Node time: the wall clock, guarded against steps. The only place that reads the wall clock.
//!
//! Expiry decides what is in force, so a clock that leaps must not end every lease at once.
//!
//! * **Forward** by more than 5 min against the monotonic clock: held. Node time runs on by the
//!   monotonic clock for 5 min; if the wall still says so then, it is believed. The monotonic
//!   clock counts suspend (`CLOCK_BOOTTIME`), so waking up is no step.
//! * **Backward** by 5 min at most: node time does not go back. It runs at half speed until the
//!   wall has caught up, so nothing that has expired is alive again.
//! * **Backward** by more: a clock that was far ahead was set right. Node time follows at once,
//!   because holding on would make this node refuse, and be refused by, all others for as long.
//!   This revives nothing only because every expiry is a durable write when it is first seen:
//!   controllers record the end, they do not derive it again from the clock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::SignedDuration;

use crate::api::Time;
use crate::api::clock::Clock;
use crate::api::condition::Condition;

/// The largest step that is not held: 5 min.
pub const LARGEST_STEP: Duration = Duration::from_secs(300);
/// How long a forward step is held: 5 min.
pub const HOLD: Duration = Duration::from_secs(300);

/// A step that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How far the wall clock is from node time; negative if it went back.
    pub by: SignedDuration,
    /// Node time when it was seen.
    pub since: Time,
    /// When, by node time, a forward step will be believed; absent for one that was followed.
    pub until: Option<Time>,
}

impl Step {
    /// The condition `ClockStepped`.
    pub fn condition(&self) -> Condition {
        let seconds = self.by.as_secs();
        let (reason, message) = match self.until {
            Some(until) => (
                "ForwardStepHeld",
                format!("the clock leapt {seconds}s ahead; it is believed at {until} if it stays"),
            ),
            None => ("BackwardStepFollowed", format!("the clock was set back by {}s", -seconds)),
        };
        Condition::new("ClockStepped", true, reason, message, self.since)
    }
}

/// Wall and monotonic readings in, node time out.
#[derive(Debug, Default)]
pub struct NodeTime {
    last: Option<(Time, Duration)>,
    hold: Option<Hold>,
    followed: Option<(Step, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    step: Step,
    began: Duration,
}

impl NodeTime {
    /// Node time at these readings. `mono` never goes back.
    pub fn observe(&mut self, wall: Time, mono: Duration) -> Time {
        let Some((last, last_mono)) = self.last else {
            self.last = Some((wall, mono));
            return wall;
        };
        let elapsed = mono.saturating_sub(last_mono);
        let expected = add(last, elapsed);
        let ahead = wall.duration_since(expected);
        let step = signed(LARGEST_STEP);
        let node = if ahead > step {
            self.forward(wall, expected, ahead, mono)
        } else {
            self.hold = None;
            if ahead < -step {
                let step = Step { by: ahead, since: wall, until: None };
                self.followed = Some((step, mono));
                wall
            } else if wall < last || ahead < -signed(elapsed) / 2 {
                add(last, elapsed / 2)
            } else {
                wall
            }
        };
        if self.followed.is_some_and(|(_, seen)| mono.saturating_sub(seen) >= HOLD) {
            self.followed = None;
        }
        self.last = Some((node, mono));
        node
    }

    /// The step that is held, or that was followed within the last 5 min.
    pub fn step(&self) -> Option<Step> {
        self.hold.map(|hold| hold.step).or(self.followed.map(|(step, _)| step))
    }

    fn forward(&mut self, wall: Time, expected: Time, by: SignedDuration, mono: Duration) -> Time {
        let again = |hold: &Hold| (by - hold.step.by).abs() > signed(LARGEST_STEP);
        let hold = match self.hold {
            Some(hold) if !again(&hold) => hold,
            // The first step, or another one on top of it: the waiting begins anew.
            _ => Hold {
                step: Step { by, since: expected, until: Some(add(expected, HOLD)) },
                began: mono,
            },
        };
        if mono.saturating_sub(hold.began) >= HOLD {
            self.hold = None;
            return wall;
        }
        self.hold = Some(hold);
        expected
    }
}

fn add(time: Time, duration: Duration) -> Time {
    time.saturating_add(signed(duration)).unwrap_or(Time::MAX)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The daemon's clock.
#[derive(Debug, Default)]
pub struct SystemClock(Mutex<NodeTime>);

impl SystemClock {
    /// A clock that believes the first reading.
    pub fn new() -> Self {
        Self::default()
    }

    /// The step that is held, or that was followed within the last 5 min.
    pub fn step(&self) -> Option<Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).step()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Time {
        let mut node = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: readings that overtake each other would look like steps.
        let wall = Time::try_from(SystemTime::now()).unwrap_or(Time::UNIX_EPOCH);
        node.observe(wall, monotonic())
    }
}

/// Time since boot, suspend included.
fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wall that differs from the monotonic clock by `off`.
    fn at(node: &mut NodeTime, mono: u64, off: i64) -> i64 {
        let wall = Time::from_second(1_000_000 + i64::try_from(mono).unwrap() + off).unwrap();
        node.observe(wall, Duration::from_secs(mono)).as_second() - 1_000_000
    }

    #[test]
    fn small_steps_forward_are_followed() {
        let mut node = NodeTime::default();
        assert_eq!(at(&mut node, 0, 0), 0);
        assert_eq!(at(&mut node, 10, 300), 310);
        assert_eq!(node.step(), None);
    }

    #[test]
    fn a_large_step_forward_is_held_for_five_minutes_and_then_believed() {
        let mut node = NodeTime::default();
        at(&mut node, 0, 0);
        assert_eq!(at(&mut node, 10, 3600), 10);
        let step = node.step().expect("the step is told");
        assert_eq!(step.by.as_secs(), 3600);
        assert_eq!(step.condition().reason, "ForwardStepHeld");
        assert_eq!(at(&mut node, 309, 3600), 309);
        assert_eq!(at(&mut node, 310, 3600), 3910);
        assert_eq!(node.step(), None);
    }

    #[test]
    fn a_step_that_is_taken_back_was_never_believed() {
        let mut node = NodeTime::default();
        at(&mut node, 0, 0);
        at(&mut node, 10, 3600);
        assert_eq!(at(&mut node, 100, 0), 100);
        assert_eq!(node.step(), None);
        assert_eq!(at(&mut node, 320, 3600), 320, "the next step waits from its own beginning");
    }

    #[test]
    fn a_second_step_on_top_of_a_held_one_waits_anew() {
        let mut node = NodeTime::default();
        at(&mut node, 0, 0);
        at(&mut node, 10, 3600);
        at(&mut node, 200, 7200);
        assert_eq!(at(&mut node, 320, 7200), 320);
        assert_eq!(at(&mut node, 500, 7200), 7700);
    }

    #[test]
    fn a_small_step_back_slows_node_time_and_never_turns_it() {
        let mut node = NodeTime::default();
        at(&mut node, 0, 0);
        let mut last = at(&mut node, 100, 0);
        for mono in 101..400 {
            let now = at(&mut node, mono, -60);
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
        assert_eq!(last, 399 - 60, "the wall has caught up");
    }

    #[test]
    fn a_large_step_back_is_followed_and_told() {
        let mut node = NodeTime::default();
        at(&mut node, 0, 3600);
        assert_eq!(at(&mut node, 10, 0), 10);
        let step = node.step().expect("the step is told");
        assert_eq!(step.condition().reason, "BackwardStepFollowed");
        at(&mut node, 310, 0);
        assert_eq!(node.step(), None, "and forgotten after a while");
    }
}
