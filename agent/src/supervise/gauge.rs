//! What an attempt uses while it runs, looked at now and then.

use std::time::Duration;

use common::{
    time::Timestamp,
    units::Bytes,
    usage::{SAMPLE_PERIOD_MS, UsageSample},
};

use crate::sandbox::Used;

/// When to look next, and what the last look found. Times are since boot.
#[derive(Debug)]
pub(super) struct Gauge {
    due: Duration,
    /// Processor time at the last look.
    last: (Duration, Duration),
}

impl Gauge {
    pub(super) const fn new(time: Duration) -> Self {
        Self {
            due: time.saturating_add(Duration::from_millis(SAMPLE_PERIOD_MS)),
            last: (time, Duration::ZERO),
        }
    }

    pub(super) const fn due(&self) -> Duration {
        self.due
    }

    /// Asks for a look at once.
    pub(super) const fn hasten(&mut self, time: Duration) {
        self.due = time;
    }

    /// Makes a sample of what was found.
    pub(super) fn read(
        &mut self,
        (time, at): (Duration, Timestamp),
        used: Used,
        disk: Bytes,
        frozen: bool,
    ) -> UsageSample {
        let (then, cpu) = self.last;
        let passed = time.saturating_sub(then).as_micros().max(1);
        let busy = used.cpu.saturating_sub(cpu).as_micros();
        self.last = (time, used.cpu);
        self.due = time.saturating_add(Duration::from_millis(SAMPLE_PERIOD_MS));
        UsageSample {
            at,
            cpu_percent: u32::try_from(busy * 100 / passed).unwrap_or(u32::MAX),
            memory: used.memory,
            disk,
            processes: used.processes,
            frozen,
            ..UsageSample::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_processor_is_that_since_the_last_look() {
        let ms = Duration::from_millis;
        let mut gauge = Gauge::new(ms(1000));
        let mut read = |time, cpu| {
            let used = Used {
                cpu: ms(cpu),
                ..Used::default()
            };
            let at = Timestamp::from_unix_ms(5);
            gauge
                .read((ms(time), at), used, Bytes::ZERO, false)
                .cpu_percent
        };
        assert_eq!(read(3000, 5000), 250);
        assert_eq!(read(5000, 5000), 0);
        assert_eq!(read(5000, 6000), 100_000_000);
        assert_eq!(gauge.due(), ms(7000));
    }
}
