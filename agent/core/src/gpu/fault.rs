//! What the driver's events have done to each GPU: which are out, until when, and what else was told.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Consequence, Xid};

/// Harmless events that are remembered, to be told.
const MAX_TOLD: usize = 8;

/// The GPUs that events have taken out.
#[derive(Debug, Default)]
pub struct Faults {
    /// `None` is until a reset.
    out: BTreeMap<String, (Xid, Option<Duration>)>,
    told: VecDeque<(String, Xid)>,
}

impl Faults {
    /// Takes note of an event at `now`, the time since boot.
    pub fn note(&mut self, gpu: &str, xid: Xid, now: Duration) {
        let until = match xid.consequence() {
            Consequence::Told => {
                if self.told.len() == MAX_TOLD {
                    self.told.pop_front();
                }
                self.told.push_back((gpu.to_owned(), xid));
                return;
            }
            Consequence::Rest(span) => Some(now.saturating_add(span)),
            Consequence::Out => None,
        };
        let worse = |(_, earlier): &(Xid, Option<Duration>)| earlier.is_none() && until.is_some();
        if !self.out.get(gpu).is_some_and(worse) {
            self.out.insert(gpu.to_owned(), (xid, until));
        }
    }

    /// Returns why a GPU is out, if it is.
    pub fn of(&mut self, gpu: &str, now: Duration) -> Option<String> {
        let (xid, until) = self.out.get(gpu)?;
        match until {
            None => Some(format!("{xid}; it has to be reset")),
            Some(until) if *until > now => Some(format!("{xid}; it rests for a while")),
            Some(_) => {
                self.out.remove(gpu);
                None
            }
        }
    }

    /// Takes note that a GPU was reset.
    pub fn reset(&mut self, gpu: &str) {
        self.out.remove(gpu);
    }

    /// Takes note that the driver was loaded anew, and every GPU with it.
    pub fn reset_all(&mut self) {
        self.out.clear();
    }

    /// Returns what happened lately without taking a GPU out, oldest first.
    pub fn told(&self) -> impl Iterator<Item = String> {
        self.told.iter().map(|(gpu, xid)| format!("{gpu}: {xid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_broken_gpu_is_out_until_its_reset_and_an_unknown_event_passes() {
        let mut faults = Faults::default();
        faults.note("GPU-a", Xid(79), MINUTE);
        faults.note("GPU-a", Xid(9999), MINUTE);
        faults.note("GPU-b", Xid(9999), MINUTE);
        faults.note("GPU-c", Xid(31), MINUTE);
        let out = faults.of("GPU-a", MINUTE * 600);
        let text = "it fell off the bus (Xid 79); it has to be reset";
        assert_eq!(out.as_deref(), Some(text));
        assert!(faults.of("GPU-b", MINUTE * 5).is_some());
        assert_eq!(faults.of("GPU-b", MINUTE * 12), None);
        assert_eq!(faults.of("GPU-c", MINUTE), None);
        let told: Vec<String> = faults.told().collect();
        assert_eq!(
            told,
            ["GPU-c: a program used memory that it does not have (Xid 31)"]
        );
        faults.reset("GPU-a");
        assert_eq!(faults.of("GPU-a", MINUTE), None);
    }
}
