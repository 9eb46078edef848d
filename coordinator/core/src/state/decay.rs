//! How what was used is forgotten: by half in every half-life. Whole numbers only, so that it comes to the same
//! everywhere.

use common::{org::retention::Retention, time::Timestamp};

/// A half-life has so many steps, between which nothing is forgotten.
const STEPS_LOG2: u32 = 10;
const STEPS: usize = 1 << STEPS_LOG2;
/// 2^(-1/2), 2^(-1/4), ... in parts of 2^32, rounded.
const ROOTS: [u64; STEPS_LOG2 as usize] = [
    3_037_000_500,
    3_611_622_603,
    3_938_502_376,
    4_112_874_773,
    4_202_935_003,
    4_248_701_965,
    4_271_771_996,
    4_283_353_945,
    4_289_156_690,
    4_292_061_010,
];
/// 2^(-step/1024) in parts of 2^32.
const WITHIN: [u64; STEPS] = within();
/// 1/ln 2 in parts of 2^32: something that is held for ever and half forgotten each half-life adds up to so many
/// half-lives of it.
const WINDOW: u128 = 6_196_328_019;

const fn within() -> [u64; STEPS] {
    let mut parts = [1 << 32; STEPS];
    let mut step = 0;
    while step < STEPS {
        let mut bit = 0;
        while bit < STEPS_LOG2 {
            if step & (STEPS >> 1 >> bit) != 0 {
                parts[step] = (parts[step] * ROOTS[bit as usize]) >> 32;
            }
            bit += 1;
        }
        step += 1;
    }
    parts
}

const MOST_MS: u64 = 366 * 86_400_000;

/// In milliseconds, from one to those of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfLife(u64);

/// What part of something is left, in parts of 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left(u64);

impl HalfLife {
    /// Settings allow no more than a year.
    pub(crate) fn of(setting: Retention) -> Self {
        let ms = match setting {
            Retention::Forever => MOST_MS,
            Retention::For(span) => {
                u64::try_from(span.as_duration().as_millis()).unwrap_or(MOST_MS)
            }
        };
        Self(ms.clamp(1, MOST_MS))
    }

    /// Returns what part is left at one moment of what was there at another. Steps are those since 1970: however often
    /// somebody looks, the same is forgotten.
    pub(crate) fn left_between(self, from: Timestamp, to: Timestamp) -> Left {
        let before = self.steps(from.unix_ms());
        Left::after(self.steps(to.unix_ms()).saturating_sub(before))
    }

    fn steps(self, ms: u64) -> u128 {
        (u128::from(ms) << STEPS_LOG2) / u128::from(self.0)
    }

    /// Returns for how many milliseconds something held for ever counts in the end.
    pub(crate) fn window_ms(self) -> u64 {
        let window = (u128::from(self.0) * WINDOW) >> 32;
        u64::try_from(window).unwrap_or(u64::MAX)
    }

    /// Returns for how many of `wall_ms` something counts that was held so long until now: what was at their
    /// beginning is forgotten in part.
    pub(crate) fn counted_ms(self, wall_ms: u64) -> u64 {
        let steps = self.steps(wall_ms);
        if steps < 8 {
            // Too coarse for so short a time, of which hardly anything is forgotten.
            return wall_ms;
        }
        let window = self.window_ms();
        (window - Left::after(steps).of(window)).min(wall_ms)
    }
}

impl Left {
    fn after(steps: u128) -> Self {
        let whole = u32::try_from(steps >> STEPS_LOG2).unwrap_or(u32::MAX);
        let step = usize::try_from(steps & (STEPS as u128 - 1)).unwrap_or(0);
        Self(WITHIN[step].checked_shr(whole).unwrap_or(0))
    }

    /// Returns that part of an amount.
    pub(crate) fn of(self, amount: u64) -> u64 {
        let left = (u128::from(amount) * u128::from(self.0)) >> 32;
        u64::try_from(left).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn day() -> HalfLife {
        HalfLife::of(Retention::days(1))
    }

    fn left(half_life: HalfLife, ms: u64, amount: u64) -> u64 {
        let part = half_life.left_between(Timestamp::default(), Timestamp::from_unix_ms(ms));
        part.of(amount)
    }

    #[test]
    fn half_is_forgotten_in_each_half_life() {
        let left = |ms: u64| left(day(), ms, 1_000_000);
        assert_eq!(left(0), 1_000_000);
        assert_eq!(left(DAY_MS), 500_000);
        assert_eq!(left(3 * DAY_MS), 125_000);
        assert_eq!(left(DAY_MS / 2), 707_106);
        assert_eq!(left(u64::MAX), 0);
    }

    #[test]
    fn never_more_is_left_later() {
        let mut before = u64::MAX;
        for minute in 0..5 * 1440 {
            let left = left(day(), minute * 60_000, 1 << 40);
            assert!(left <= before, "after {minute} minutes");
            before = left;
        }
    }

    #[test]
    fn who_looks_often_forgets_as_much() {
        let (mut amount, mut at) = (1 << 40, Timestamp::default());
        for second in 1..=DAY_MS / 1000 {
            let next = Timestamp::from_unix_ms(second * 1000);
            amount = day().left_between(at, next).of(amount);
            at = next;
        }
        let at_once = left(day(), DAY_MS, 1 << 40);
        assert!(amount.abs_diff(at_once) < at_once / 100_000, "{amount}");
    }

    #[test]
    fn what_was_long_ago_counts_for_less() {
        let counted = |ms: u64| day().counted_ms(ms);
        assert_eq!(counted(1000), 1000);
        let hour = counted(3_600_000);
        assert!((3_400_000..=3_600_000).contains(&hour), "{hour}");
        // window * (1 - 1/2) and the whole window.
        assert_eq!(counted(DAY_MS), day().window_ms() - day().window_ms() / 2);
        assert_eq!(counted(1000 * DAY_MS), day().window_ms());
        assert_eq!(day().window_ms(), 124_648_851);
    }

    #[test]
    fn the_shortest_half_life_forgets_at_once() {
        let none = HalfLife::of(Retention::days(0));
        assert_eq!(left(none, 100, u64::MAX), 0);
        assert_eq!(left(none, 0, 7), 7);
        assert_eq!(
            HalfLife::of(Retention::Forever),
            HalfLife::of(Retention::days(366))
        );
    }
}
