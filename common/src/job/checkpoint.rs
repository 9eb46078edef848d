//! How a job is told to write down how far it is, before it has to leave a machine.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How long a job has for it, unless it says so.
pub const DEFAULT_CHECKPOINT_GRACE: Span = Span::from_secs(60);
/// Longest that it may have: somebody waits for its place.
pub const MAX_CHECKPOINT_GRACE: Span = Span::from_secs(600);

/// What a job hears before it has to give way, and how long it then goes on. What it leaves under `/output` is there again
/// for the next attempt of the task.
///
/// Written `USR1` or `USR1:2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub signal: CheckpointSignal,
    /// Between this signal and SIGTERM.
    pub grace: Span,
}

/// A signal that means nothing else to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckpointSignal {
    Usr1,
    Usr2,
    Hup,
    Int,
    Term,
}

impl CheckpointSignal {
    pub const ALL: [Self; 5] = [Self::Usr1, Self::Usr2, Self::Hup, Self::Int, Self::Term];

    /// Returns its name without `SIG`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Term => "TERM",
        }
    }
}

impl fmt::Display for CheckpointSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for CheckpointSignal {
    type Err = InvalidCheckpoint;

    /// Reads `USR1` or `SIGUSR1`, in letters of either case.
    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let mut all = Self::ALL.into_iter();
        let found = all.find(|signal| signal.name() == name);
        found.ok_or_else(|| InvalidCheckpoint(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.signal, self.grace)
    }
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let invalid = || InvalidCheckpoint(text.chars().take(40).collect());
        let (signal, grace) = match text.split_once(':') {
            None => (text, DEFAULT_CHECKPOINT_GRACE),
            Some((signal, grace)) => (signal, grace.trim().parse().map_err(|_| invalid())?),
        };
        let signal = signal.parse().map_err(|_| invalid())?;
        Ok(Self { signal, grace })
    }
}

/// The text names no signal and time for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no signal for checkpoints; write USR1, USR2, HUP, INT or TERM, and how long the job has for one, as in USR1:60s"
)]
pub struct InvalidCheckpoint(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_a_signal_and_a_time() {
        for (text, signal, seconds) in [
            ("USR1", CheckpointSignal::Usr1, 60),
            ("sigusr2:2m", CheckpointSignal::Usr2, 120),
            (" TERM : 5s", CheckpointSignal::Term, 5),
        ] {
            let grace = Span::from_secs(seconds);
            let read = text.parse::<Checkpoint>().unwrap();
            assert_eq!(read, Checkpoint { signal, grace }, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        for text in [
            "",
            "KILL",
            "SIGKILL:1s",
            "USR1:",
            "USR1:soon",
            "10",
            "USR1:1s:2s",
        ] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn signals_are_written_as_they_are_read() {
        for signal in CheckpointSignal::ALL {
            let json = serde_json::to_string(&signal).unwrap();
            assert_eq!(json, format!("{:?}", signal.name()));
        }
    }
}
