//! Identifiers: newtypes that cannot be mixed up.
//!
//! Ids are made by the coordinator (UUID version 7, so that they sort by age) and never repeat. In JSON
//! they are text, on the wire sixteen bytes. People type numbers and names instead; see [`crate::name`].

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the caller minted.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the sixteen bytes used as a key in stores.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Returns the id that a store's key holds.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId)
            }
        }
    )*};
}

uuid_id! {
    /// A group that owns machines, jobs and datasets.
    OrgId;
    /// A person with an account on a coordinator.
    UserId;
    /// A member's computer that runs the agent.
    MachineId;
    /// What was submitted; people type its [`crate::job::JobNumber`].
    JobId;
    /// Named data of an org.
    DatasetId;
    /// A code or link that lets somebody in.
    InvitationId;
    /// A shared space in an org.
    ProjectId;
    /// A name and a value that jobs use and nobody is shown.
    SecretId;
    /// What lets a program act for a user.
    TokenId;
    /// A question that an admin answers.
    ApprovalId;
    /// A computer on which somebody signed in.
    DeviceId;
    /// One submission's own key: the same key gives the same job.
    IdempotencyKey;
}

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct InvalidId;

/// One unit of a job: an array has many, any other job has task 0 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    pub job: JobId,
    pub index: u32,
}

/// One try of a task on one machine. Numbers of one task start at 1 and only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    pub job: JobId,
    pub task: u32,
    pub number: u32,
}

impl AttemptId {
    /// Returns the task that this attempt tries.
    pub const fn task_id(&self) -> TaskId {
        TaskId {
            job: self.job,
            index: self.task,
        }
    }

    /// Returns the key used in stores: job, task and number in big-endian order, so that the attempts of a
    /// job lie side by side in the order in which they were made.
    pub fn key(&self) -> [u8; 24] {
        let mut key = [0; 24];
        key[..16].copy_from_slice(self.job.as_bytes());
        key[16..20].copy_from_slice(&self.task.to_be_bytes());
        key[20..].copy_from_slice(&self.number.to_be_bytes());
        key
    }
}

/// `JOB.TASK.NUMBER`, also the name of the attempt's folder on a machine.
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.job, self.task, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.split('.');
        let (Some(job), Some(task), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidId);
        };
        Ok(Self {
            job: job.parse()?,
            task: task.parse().map_err(|_| InvalidId)?,
            number: number.parse().map_err(|_| InvalidId)?,
        })
    }
}

macro_rules! byte_id {
    ($($(#[$doc:meta])* $name:ident[$length:literal];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $length]);

        impl Ord for $name {
            /// The order of the bytes. Digests mostly differ in the first few, which are compared as one number: lists
            /// of a hundred thousand are sorted while people wait.
            fn cmp(&self, other: &Self) -> Ordering {
                let leading = leading(&self.0).cmp(&leading(&other.0));
                leading.then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.as_bytes();
                if digits.len() != 2 * $length {
                    return Err(InvalidId);
                }
                let mut bytes = [0; $length];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    Deserialize::deserialize(deserializer).map(Self)
                }
            }
        }
    )*};
}

fn leading<const N: usize>(bytes: &[u8; N]) -> u64 {
    let first = bytes.first_chunk().copied();
    first.map_or(0, u64::from_be_bytes)
}

byte_id! {
    /// BLAKE3 of one chunk's bytes.
    ChunkId[32];
    /// BLAKE3 of a whole tree's description; see [`crate::tree::Tree::id`].
    TreeId[32];
    /// SHA-256 of a public key (its SubjectPublicKeyInfo).
    Fingerprint[32];
    /// BLAKE3 of a logo's bytes.
    LogoDigest[32];
    /// BLAKE3 of a one-time code. The code itself is never stored.
    CodeDigest[32];
    /// A certificate's serial number.
    CertificateSerial[16];
    /// Stands for all entries of an org's audit log up to one; see [`crate::audit`].
    Seal[32];
}

const fn hex_digit(digit: u8) -> Result<u8, InvalidId> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(InvalidId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_round_trips_through_text_and_sorts_by_number() {
        let job = JobId::from_bytes([7; 16]);
        let attempt = AttemptId {
            job,
            task: 3,
            number: 12,
        };
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
        assert!(
            AttemptId {
                number: 2,
                ..attempt
            }
            .key()
                < attempt.key()
        );
        assert_eq!("x.1.2".parse::<AttemptId>(), Err(InvalidId));
        assert_eq!(format!("{attempt}.4").parse::<AttemptId>(), Err(InvalidId));
    }

    #[test]
    fn digests_are_in_the_order_of_their_bytes() {
        let digits = [0, 1, 0x7f, 0x80, 0xff];
        let mut ids = Vec::new();
        for at in [0, 7, 8, 31] {
            ids.extend(digits.map(|digit| {
                let mut bytes = [0x80; 32];
                bytes[at] = digit;
                bytes
            }));
        }
        for a in &ids {
            for b in &ids {
                assert_eq!(ChunkId::new(*a).cmp(&ChunkId::new(*b)), a.cmp(b));
            }
        }
    }

    #[test]
    fn digests_are_hex_in_json_and_bytes_elsewhere() {
        let id = ChunkId::new([0xab; 32]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<ChunkId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<ChunkId>("\"zz\"").is_err());
    }
}
