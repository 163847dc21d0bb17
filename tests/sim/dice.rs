//! Chance that replays: SplitMix64 from a printed seed.

use std::time::Duration;

/// A sequence of choices; the same seed gives the same choices.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The choices of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit.max(1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.index(choices.len())]
    }

    /// One of these numbers.
    pub fn number(&mut self, choices: &[u64]) -> u64 {
        choices[self.index(choices.len())]
    }

    /// An index into a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index fits")
    }

    /// A duration between the two, in milliseconds.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let millis = |d: Duration| u64::try_from(d.as_millis()).expect("a short time");
        from + Duration::from_millis(self.below(millis(to.saturating_sub(from)) + 1))
    }
}
