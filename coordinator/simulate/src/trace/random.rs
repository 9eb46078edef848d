//! Random numbers of a seed, and what is drawn with them.

use std::time::Duration;

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        // 53 bits, which a float holds exactly.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number below `most`.
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    pub(super) fn among<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let place = self.below(choices.len() as u64);
        choices
            .get(usize::try_from(place).unwrap_or_default())
            .copied()
    }

    /// Draws from a lognormal distribution.
    pub(super) fn lognormal_ms(&mut self, median_ms: u64, sigma: f64) -> u64 {
        // Box and Muller; 1 - unit() is never 0.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        milliseconds(median_ms as f64 * (sigma * normal).exp())
    }

    /// Draws from an exponential distribution.
    pub(super) fn exponential_ms(&mut self, mean_ms: u64) -> u64 {
        milliseconds(mean_ms as f64 * -(1.0 - self.unit()).ln())
    }
}

/// Returns whole milliseconds; what is beyond a number is the largest one.
fn milliseconds(ms: f64) -> u64 {
    let span = Duration::try_from_secs_f64(ms / 1000.0).ok();
    let whole = span.and_then(|span| u64::try_from(span.as_millis()).ok());
    whole.unwrap_or(u64::MAX)
}
