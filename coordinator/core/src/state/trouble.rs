//! What went wrong on a machine of late, and whether it is set aside for that.
//!
//! What a machine cannot start is its own making, and three different jobs say so. What programs do there says something
//! of the machine only where it does not go wrong elsewhere too ([`crate::decide()`] looks): a class with broken scripts
//! must not lose its machines.

use common::{
    id::UserId,
    image::Image,
    job::{JobNumber, Outcome},
    status::EndReason,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};

use super::job::Job;

/// Different jobs in a row that a machine cannot start before it is set aside.
pub(crate) const MOST_NOT_STARTED: usize = 3;
/// Different jobs in a row whose programs fail on it, before it is compared with the other machines.
pub(crate) const MOST_FAILED: usize = 10;
/// How long a machine is set aside at first; then twice as long each time.
const FIRST: Span = Span::from_secs(30 * 60);
const LONGEST: Span = Span::from_secs(24 * 3600);

/// Whose making a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Making {
    /// The machine could not start the job.
    Machine,
    /// The program failed, or the job's image could not be had, which may be the job's own doing.
    Program,
}

/// What the end of an attempt says of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Good,
    Bad(Making),
    /// Nothing.
    None,
}

/// The failures of different jobs since the last success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Troubles {
    /// The latest, at most [`MOST_NOT_STARTED`].
    not_started: Vec<Trouble>,
    /// The latest, at most [`MOST_FAILED`].
    failed: Vec<Trouble>,
    pub(crate) last_success: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) job: JobNumber,
    pub(crate) member: UserId,
    pub(crate) at: Timestamp,
}

/// A machine that gets nothing new for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub since: Timestamp,
    pub until: Timestamp,
    /// The jobs that failed there.
    pub after: Vec<JobNumber>,
    pub making: Making,
    /// How the last of them ended.
    pub reason: EndReason,
    /// How often it has been, without a success between.
    pub times: u32,
    /// Since when one job at a time may try.
    pub tried: Option<Timestamp>,
}

impl Sign {
    pub(crate) fn of(outcome: &Outcome, job: &Job, machine_owner: UserId) -> Self {
        let making = match outcome.reason {
            _ if outcome.succeeded() => return Self::Good,
            // With a code it is the job that names a program which is not there.
            EndReason::PrepareFailed if outcome.exit_code.is_some() => return Self::None,
            // An image that cannot be had may be the job's mistake, too.
            EndReason::PrepareFailed => match job.spec.image {
                Image::Registry(_) => Making::Program,
                Image::Host | Image::Imported(_) => Making::Machine,
            },
            EndReason::RefusedByMachine | EndReason::CoordinatorError => Making::Machine,
            EndReason::Exited | EndReason::Signalled => Making::Program,
            _ => return Self::None,
        };
        // What owners do on their own machines is their business.
        match making {
            Making::Program if job.owner == machine_owner => Self::None,
            making => Self::Bad(making),
        }
    }
}

impl Trouble {
    pub(crate) const fn of(job: &Job, at: Timestamp) -> Self {
        Self {
            job: job.number,
            member: job.owner,
            at,
        }
    }
}

impl Troubles {
    pub(crate) fn note(&mut self, sign: Sign, trouble: Trouble) {
        match sign {
            Sign::None => {}
            Sign::Good => {
                *self = Self {
                    last_success: Some(trouble.at),
                    ..Self::default()
                };
            }
            Sign::Bad(making) => {
                let (row, most) = match making {
                    Making::Machine => (&mut self.not_started, MOST_NOT_STARTED),
                    Making::Program => (&mut self.failed, MOST_FAILED),
                };
                row.retain(|other| other.job != trouble.job);
                row.push(trouble);
                if row.len() > most {
                    row.remove(0);
                }
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        let last_success = self.last_success;
        *self = Self {
            last_success,
            ..Self::default()
        };
    }

    /// Returns the failures of so many different jobs that the machine has to be looked at.
    pub(crate) fn enough(&self, making: Making) -> Option<&[Trouble]> {
        let (row, most) = match making {
            Making::Machine => (&self.not_started, MOST_NOT_STARTED),
            Making::Program => (&self.failed, MOST_FAILED),
        };
        (row.len() >= most).then_some(row)
    }

    /// Returns whether a program has failed there since, and none done well.
    pub(crate) fn failed_since(&self, moment: Timestamp) -> bool {
        self.failed.last().is_some_and(|last| last.at >= moment)
    }
}

impl SetAside {
    /// Returns how long a machine is set aside the nth time in a row.
    pub(crate) fn span(times: u32) -> Span {
        let doubled = 1u32.checked_shl(times.saturating_sub(1));
        let span = doubled.and_then(|by| FIRST.as_duration().checked_mul(by));
        span.map_or(LONGEST, |span| Span::from(span).min(LONGEST))
    }

    /// Returns when a job may try, where none may yet.
    pub(crate) fn waking(&self) -> Option<Timestamp> {
        Some(self.until).filter(|_| self.tried.is_none())
    }

    /// Returns whether the machine takes another job, of which so many run there.
    pub(crate) fn lets_in(&self, live: usize) -> bool {
        self.tried.is_some() && live == 0
    }

    /// Returns why, in words that go on after the machine's name.
    pub(crate) fn words(&self) -> String {
        let jobs = match (self.after.len(), self.making) {
            (1, Making::Machine) => "it could not start the job that tried it".to_owned(),
            (1, Making::Program) => "the job that tried it failed".to_owned(),
            (count, Making::Machine) => format!("it could not start {count} jobs in a row"),
            (count, Making::Program) => {
                format!("{count} jobs in a row failed there, and went well elsewhere")
            }
        };
        let until = match self.tried {
            Some(_) => "one job at a time tries it now".to_owned(),
            None => format!("a job may try it at {}", self.until.to_second()),
        };
        format!("{jobs} (last: {}); {until}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_twice_as_long_up_to_a_day() {
        let hours = [1, 2, 3, 6, 7, 40, u32::MAX].map(|times| SetAside::span(times).to_string());
        assert_eq!(hours, ["30m", "1h", "2h", "16h", "1d", "1d", "1d"]);
    }
}
