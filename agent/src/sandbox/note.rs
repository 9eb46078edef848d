//! The words between a sandbox's first process and its supervisor.

use std::time::Duration;

/// Longest message between the sandbox and its supervisor, in bytes.
pub(super) const MAX_NOTE_BYTES: usize = 4096;

/// From the supervisor: users are mapped.
pub(super) const GO: u8 = b'G';
/// From the supervisor, with the lock, the output and the plan of the attempt: its task may begin in the sandbox.
pub(super) const NEXT: u8 = b'N';
/// From the supervisor: ask everything to end.
pub(super) const TERMINATE: u8 = b'T';
/// Added to the number of a signal: for those of the job's processes that handle it.
pub(super) const SIGNAL: u8 = 0x80;
/// From the supervisor, where the kernel has no cgroup to freeze: stop everything where it is.
pub(super) const HOLD: u8 = b'H';
/// From the supervisor: let everything go on.
pub(super) const GO_ON: u8 = b'C';

/// What the first process tells its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// The program runs.
    Started,
    /// It has ended, with what `wait` says of it.
    Ended {
        status: i32,
        /// The processor time of everything that ran, if nothing is left of it.
        all_took: Option<Duration>,
    },
    /// It could not be run, and the system's reason.
    NotRun { errno: i32, exists: bool },
    /// Nothing is left of the task that ended; another may begin.
    Vacant,
    /// The network is made as far as that goes from inside.
    Network,
    /// The sandbox could not be made.
    Failed(String),
    /// No process of the job handles the signal that it was to hear.
    Unheard,
}

impl Note {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = match self {
            Self::Started => vec![b'S'],
            Self::Ended { status, all_took } => {
                let micros = all_took.and_then(|took| u64::try_from(took.as_micros()).ok());
                let (status, micros) = (status.to_le_bytes(), micros.map(u64::to_le_bytes));
                let micros = micros.as_ref().map_or(&[][..], |micros| micros);
                [b"E", status.as_slice(), micros].concat()
            }
            Self::NotRun { errno, exists } => {
                [&[b'N', u8::from(*exists)], errno.to_le_bytes().as_slice()].concat()
            }
            Self::Network => vec![b'W'],
            Self::Unheard => vec![b'U'],
            Self::Vacant => vec![b'V'],
            Self::Failed(text) => [b"F", text.as_bytes()].concat(),
        };
        bytes.truncate(MAX_NOTE_BYTES);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        Some(match kind {
            b'S' => Self::Started,
            b'E' => {
                let (status, micros) = rest.split_first_chunk()?;
                let all_took = match micros {
                    [] => None,
                    micros => Some(u64::from_le_bytes(micros.try_into().ok()?)),
                };
                Self::Ended {
                    status: i32::from_le_bytes(*status),
                    all_took: all_took.map(Duration::from_micros),
                }
            }
            b'N' => Self::NotRun {
                exists: *rest.first()? == 1,
                errno: i32::from_le_bytes(rest.get(1..)?.try_into().ok()?),
            },
            b'W' => Self::Network,
            b'U' => Self::Unheard,
            b'V' => Self::Vacant,
            b'F' => Self::Failed(String::from_utf8_lossy(rest).into_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back() {
        for note in [
            Note::Started,
            Note::Network,
            Note::Unheard,
            Note::Vacant,
            Note::Ended {
                status: 0x7f00,
                all_took: Some(Duration::from_micros(12)),
            },
            Note::Ended {
                status: 9,
                all_took: None,
            },
            Note::NotRun {
                errno: 2,
                exists: true,
            },
            Note::Failed("cannot mount /proc".to_owned()),
        ] {
            assert_eq!(Note::decode(&note.encode()), Some(note));
        }
        assert_eq!(Note::decode(b""), None);
        assert_eq!(Note::decode(b"E12345"), None);
    }
}
