//! What attempts use: while they run, samples that are shown and never stored; once they have ended, sums over them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{id::AttemptId, time::Timestamp, units::Bytes};

/// Samples of one attempt that are kept and shown: two minutes at the period below.
pub const MAX_SAMPLES: usize = 60;
/// Between two samples of an attempt, in milliseconds.
pub const SAMPLE_PERIOD_MS: u64 = 2_000;

/// One look at a running attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSample {
    pub at: Timestamp,
    /// Of one processor: 250 is two and a half busy processors.
    pub cpu_percent: u32,
    /// `None` where the machine cannot tell.
    pub memory: Option<Bytes>,
    pub disk: Bytes,
    pub processes: Option<u32>,
    /// Sums since the attempt's start.
    pub sent: Bytes,
    pub received: Bytes,
    /// Of all its GPUs: memory together, and the mean of what they are busy.
    pub gpu_memory: Option<Bytes>,
    pub gpu_percent: Option<u32>,
    /// Whether the machine's owner has it frozen.
    pub frozen: bool,
}

/// A sample and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSample {
    pub attempt: AttemptId,
    pub sample: UsageSample,
}

/// Most models of GPUs that are told apart in one sum; what is beyond is the sum of [`OTHER_MODELS`].
pub const MAX_MODELS: usize = 64;
/// Stands for all models beyond [`MAX_MODELS`].
pub const OTHER_MODELS: &str = "other";

/// Seconds of something, in thousandths: processor-seconds, GPU-seconds, MiB-seconds. JSON has seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MilliSeconds(pub u64);

/// Seconds with three decimals, as in a table for a program.
impl fmt::Display for MilliSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:03}", self.0 / 1000, self.0 % 1000))
    }
}

impl Serialize for MilliSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else if self.0.is_multiple_of(1000) {
            serializer.serialize_u64(self.0 / 1000)
        } else {
            // A text of the same digits: three decimals are exact for 285,000 years.
            let seconds = self.to_string().parse().unwrap_or(f64::MAX);
            serializer.serialize_f64(seconds)
        }
    }
}

impl<'de> Deserialize<'de> for MilliSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Only ever read from the wire; JSON is for whoever reads what the coordinator says.
        u64::deserialize(deserializer).map(Self)
    }
}

/// Sums over attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSums {
    pub attempts: u64,
    /// Of the programs, from start to end.
    pub wall_seconds: MilliSeconds,
    /// Reserved processors, times the time in which a program was not frozen.
    pub cpu_seconds: MilliSeconds,
    /// Processor time that the programs took, as their machines say.
    pub cpu_used_seconds: MilliSeconds,
    /// Reserved mebibytes, times the whole time.
    pub memory_mib_seconds: MilliSeconds,
    /// By model. A share of a GPU counts by its part of the memory.
    pub gpu_seconds: BTreeMap<String, MilliSeconds>,
    /// Files that were kept.
    pub stored: Bytes,
    /// Over the network, both ways.
    pub moved: Bytes,
}

/// What somebody or something used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Of the member, machine or project; the model of a GPU. Empty for what is in no project.
    pub id: String,
    /// As it is now; a member who left keeps theirs.
    pub name: Option<String>,
    /// What counts as the submitters' use.
    pub billed: UsageSums,
    /// What was done to jobs, and so counts as nobody's.
    pub unbilled: UsageSums,
    /// Of both: what members used of their own machines.
    pub own: UsageSums,
    /// What the machine, or the member's machines, gave to jobs of others, billed or not. Only where members or machines
    /// are shown.
    pub lent: UsageSums,
}
