//! What an attempt uses while it runs: samples that are shown and never stored.

use serde::{Deserialize, Serialize};

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
