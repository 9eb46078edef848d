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
        Self {
            pace: Mutex::new(Pace::starting_at(earliest, Instant::now())),
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

    /// Returns the latest that the system's clock said since the start.
    pub(crate) fn latest_system(&self) -> Timestamp {
        let system = self.system();
        self.pace().latest.max(system)
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
    fn starting_at(shown: Timestamp, at: Instant) -> Self {
        let latest = Timestamp::default();
        Self { shown, at, latest }
    }

    fn step(&mut self, system: Timestamp, at: Instant) -> Timestamp {
        self.latest = self.latest.max(system);
        let elapsed = at.saturating_duration_since(self.at);
        let alone = self.shown.saturating_add(elapsed - elapsed / 10);
        if system < alone {
            return alone;
        }
        (self.shown, self.at) = (system, at);
        system
    }
}

/// Looks at the system's clock before anything is signed by it. `seen` is what it said when the coordinator ran
/// last; `trusted` is whoever runs the coordinator saying that it is right now.
///
/// # Errors
/// It is more than [`TOLERANCE`] behind: members' computers would take no certificate of such a day.
pub(crate) fn check(clock: &Clock, seen: Timestamp, trusted: bool) -> Result<(), Problem> {
    let (now, system) = clock.both();
    let behind = seen.since(system);
    if behind > TOLERANCE && !trusted {
        let why = format!(
            "the system's clock says {system}, and it said {seen} when the coordinator ran last"
        );
        return Err(
            Problem::new(Code::ClockSetBack, "The coordinator was not started", why).help(
                "Set the clock, for example with `timedatectl set-ntp true`; if it is right now and was wrong then, start it once with --clock-is-right.",
            ),
        );
    }
    let ahead = now.since(system);
    if ahead > WORTH_SAYING {
        let seconds = ahead.as_secs();
        tracing::warn!(
            org = %now, %system, seconds,
            "the system's clock is behind the org's time, which goes on from where it was: nothing that has expired is good again"
        );
    }
    Ok(())
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
        let mut pace = Pace::starting_at(at(0), begin);
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
        let mut pace = Pace::starting_at(at(1000), begin);
        for ms in 0..10_000 {
            pace.step(at(1), begin + Duration::from_millis(ms));
        }
        assert_eq!(pace.step(at(1), begin + Duration::from_secs(10)), at(1009));
    }

    #[test]
    fn a_clock_set_back_an_hour_is_borne_and_a_year_is_not() {
        let now = system();
        let seen = |ahead: Duration| now.saturating_add(ahead);
        for (ahead, trusted, good) in [
            (Duration::ZERO, false, true),
            (HOUR, false, true),
            (14 * HOUR, false, true),
            (25 * HOUR, false, false),
            (YEAR, false, false),
            (YEAR, true, true),
        ] {
            let clock = Clock::starting_at(seen(ahead));
            let checked = check(&clock, seen(ahead), trusted);
            assert_eq!(checked.is_ok(), good, "{ahead:?} {trusted}");
            if let Err(problem) = checked {
                assert_eq!(problem.code, Code::ClockSetBack);
            }
            assert!(clock.now() >= seen(ahead));
        }
    }
}
