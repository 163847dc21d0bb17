//! Numbers that look random and can be had again: a run that fails prints its seed.

use std::time::Duration;

/// The splitmix64 generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From `CRASH_SEED`, else another one each time.
    pub fn from_environment() -> Self {
        let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs());
        let seed = seed.unwrap_or_else(now);
        println!("seed: CRASH_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Waits for a moment nobody can foresee: it is what these tests are about.
    pub fn pause(&mut self, at_most: Duration) {
        let micros = u64::try_from(at_most.as_micros()).expect("a short pause");
        std::thread::sleep(Duration::from_micros(self.below(micros)));
    }
}
