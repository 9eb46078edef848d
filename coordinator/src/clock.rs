//! The coordinator's clocks, the only place that reads the system's. There are two times.
//!
//! The *org's time* ([`Clock::now`]) is what the book says: it never goes back, not when the system's clock is set
//! back, and not from one run to the next, since it starts no earlier than the newest event in the book and what `kept`
//! says. While it is ahead of the system's clock it goes on a tenth slower, so that what is due is due and the
//! difference shrinks; a duration measured meanwhile is a tenth too short at most.
//!
//! The *system's time* ([`Clock::system`]) is what everybody else believes: certificates are signed by it, since
//! their holders check them by clocks of their own, and so are the codes of two-factor apps.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use common::{code::Code, problem::Problem, time::Timestamp};

/// How far the system's clock may be behind what it said before, without a word from whoever runs the coordinator:
/// more than time zones can be confused by.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(24 * 3600);
/// How far it may be ahead of that: nothing but a wrong clock goes further between two looks of a process, and a
/// coordinator that did not run for longer is worth a word.
pub(crate) const LEAP: Duration = Duration::from_secs(366 * 86_400);
/// A difference that is worth a line in the log.
const WORTH_SAYING: Duration = Duration::from_secs(60);

/// Both times.
#[derive(Debug)]
pub(crate) struct Clock {
    pace: Mutex<Pace>,
}

impl Clock {
    /// Returns a clock whose org's time is at least `earliest`.
    pub(crate) fn starting_at(earliest: Timestamp) -> Self {
        let nothing = Timestamp::default();
        Self {
            pace: Mutex::new(Pace::starting_at(earliest, nothing, Instant::now())),
        }
    }

    /// Returns the clock of a coordinator whose org's time was at least `earliest`, and whose system's clock said `seen`
    /// when it ran last. `trusted` is whoever runs it saying that this is right now, whatever it said then.
    ///
    /// # Errors
    /// The system's clock is behind or far ahead of that, and not trusted.
    pub(crate) fn resume(
        earliest: Timestamp,
        seen: Timestamp,
        trusted: bool,
    ) -> Result<Self, Problem> {
        let system = system();
        let (shown, latest) = if trusted {
            (earliest.max(system), system)
        } else {
            check(system, seen)?;
            (earliest, seen)
        };
        let clock = Self {
            pace: Mutex::new(Pace::starting_at(shown, latest, Instant::now())),
        };
        clock.say();
        Ok(clock)
    }

    /// Says in the log how far the org's time is ahead.
    fn say(&self) {
        let (now, system) = self.both();
        let ahead = now.since(system);
        if ahead > WORTH_SAYING {
            let seconds = ahead.as_secs();
            tracing::warn!(
                org = %now, %system, seconds,
                "the system's clock is behind the org's time, which goes on from where it was: nothing that has expired is good again"
            );
        }
    }

    /// Returns the org's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.both().0
    }

    /// Returns the system's time.
    pub(crate) fn system(&self) -> Timestamp {
        self.both().1
    }

    /// Returns the org's time and the system's, of one moment.
    pub(crate) fn both(&self) -> (Timestamp, Timestamp) {
        let system = system();
        (self.pace().step(system, Instant::now()), system)
    }

    /// Returns the latest that the system's clock said, in this run and those before that count.
    pub(crate) fn latest_system(&self) -> Timestamp {
        let _looked = self.both();
        self.pace().latest
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::starting_at(Timestamp::default())
    }
}

fn system() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since_epoch.unwrap_or_default().as_millis();
    Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// How the org's time goes on: as the system's, or from where it was, a tenth slower.
#[derive(Debug)]
struct Pace {
    /// What was shown last by the system's clock, or to begin with.
    shown: Timestamp,
    at: Instant,
    /// The latest that the system's clock said.
    latest: Timestamp,
}

impl Pace {
    const fn starting_at(shown: Timestamp, latest: Timestamp, at: Instant) -> Self {
        Self { shown, at, latest }
    }

    fn step(&mut self, system: Timestamp, at: Instant) -> Timestamp {
        let elapsed = at.saturating_duration_since(self.at);
        let alone = self.shown.saturating_add(elapsed - elapsed / 10);
        // The first look of a fresh coordinator has nothing to compare with.
        let leaps = self.latest != Timestamp::default() && system.since(alone) > LEAP;
        if system < alone || leaps {
            return alone;
        }
        self.latest = self.latest.max(system);
        (self.shown, self.at) = (system, at);
        system
    }
}

/// Checks what the system's clock says against what it said when the coordinator ran last.
///
/// # Errors
/// It is more than [`TOLERANCE`] behind, or more than [`LEAP`] ahead: members' computers would take no certificate of
/// such a day, and what is due by it would be lost.
fn check(system: Timestamp, seen: Timestamp) -> Result<(), Problem> {
    if seen.since(system) <= TOLERANCE && system.since(seen) <= LEAP {
        return Ok(());
    }
    let why = format!(
        "the system's clock says {system}, and it said {seen} when the coordinator ran last"
    );
    let problem = Problem::new(Code::ClockDoubtful, "The coordinator was not started", why);
    Err(problem.help(
        "Set the clock, for example with `timedatectl set-ntp true`; if it is right now, start it once with --clock-is-right.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    #[test]
    fn it_follows_the_systems_clock_until_that_is_set_back() {
        let begin = Instant::now();
        let mut pace = Pace::starting_at(at(0), at(0), begin);
        let later = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(pace.step(at(1000), later(1)), at(1000));
        assert_eq!(pace.step(at(1010), later(11)), at(1010));
        // Set back by 500 seconds: it goes on, a tenth slower.
        assert_eq!(
            pace.step(at(511), later(12)),
            Timestamp::from_unix_ms(1_010_900)
        );
        assert_eq!(pace.step(at(610), later(111)), at(1100));
        // Until the system's clock has caught up; then it follows again.
        assert_eq!(pace.step(at(6010), later(5511)), at(6010));
        assert_eq!(pace.step(at(6011), later(5512)), at(6011));
    }

    #[test]
    fn many_looks_make_it_no_slower() {
        let begin = Instant::now();
        let mut pace = Pace::starting_at(at(1000), at(0), begin);
        for ms in 0..10_000 {
            pace.step(at(1), begin + Duration::from_millis(ms));
        }
        assert_eq!(pace.step(at(1), begin + Duration::from_secs(10)), at(1009));
    }

    #[test]
    fn a_leap_of_years_in_a_running_process_is_not_followed() {
        let begin = Instant::now();
        let mut pace = Pace::starting_at(at(1000), at(1000), begin);
        let later = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(pace.step(at(1001), later(1)), at(1001));
        let leap = at(1001 + 2 * YEAR.as_secs());
        assert_eq!(pace.step(leap, later(11)), at(1010), "a tenth slower alone");
        assert_eq!(pace.step(at(1021), later(21)), at(1021), "it was set right");
        // A suspended computer is away for weeks.
        let weeks = at(1021).saturating_add(HOUR * 24 * 30);
        assert_eq!(pace.step(weeks, later(22)), weeks);
        assert_eq!(pace.latest, weeks);
    }

    #[test]
    fn a_clock_an_hour_behind_is_borne_and_years_are_not() {
        let now = system();
        let before = |span: Duration| {
            let ms = u64::try_from(span.as_millis()).unwrap();
            Timestamp::from_unix_ms(now.unix_ms() - ms)
        };
        let after = |span: Duration| now.saturating_add(span);
        for (seen, trusted, good) in [
            (now, false, true),
            (after(HOUR), false, true),
            (after(14 * HOUR), false, true),
            (after(25 * HOUR), false, false),
            (after(YEAR), false, false),
            (after(YEAR), true, true),
            (before(YEAR), false, true),
            (before(2 * YEAR), false, false),
            (before(2 * YEAR), true, true),
        ] {
            match Clock::resume(seen, seen, trusted) {
                Ok(clock) => {
                    assert!(good, "{seen} {trusted}");
                    let (shown, system) = clock.both();
                    assert!(shown >= seen && shown >= system, "{seen} {trusted}");
                }
                Err(problem) => {
                    assert!(!good, "{seen} {trusted}");
                    assert_eq!(problem.code, Code::ClockDoubtful);
                }
            }
        }
    }
}
