//! What attempts use of GPUs, and who takes more than the share that it asked for.
//!
//! Nothing but this keeps two jobs on one GPU apart: the driver gives memory to whoever asks. Memory that the
//! driver cannot attribute to a process counts for nobody.

use std::collections::BTreeMap;

use common::{id::AttemptId, resources::Allocation, units::Bytes};

use super::{Look, Process, Whose};

/// Looks in a row at which an attempt must be over its share before it is stopped. One may be a moment in which
/// it moves things about.
const LOOKS: u32 = 2;

/// What one attempt uses of all its GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GpuUse {
    /// Together; `None` where the driver does not tell.
    pub memory: Option<Bytes>,
    /// The mean of what they are busy; on a shared one, of what they are busy for this attempt.
    pub percent: Option<u32>,
}

/// An attempt that holds more than its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overuse {
    pub attempt: AttemptId,
    pub gpu: String,
    pub used: Bytes,
    pub share: Bytes,
}

impl Overuse {
    /// Returns why the attempt is stopped.
    pub fn detail(&self) -> String {
        let Self {
            gpu, used, share, ..
        } = self;
        format!("it used {used} of the memory of {gpu}, of which its share was {share}")
    }
}

/// How often in a row each attempt was over its share.
#[derive(Debug, Default)]
pub struct Shares {
    over: BTreeMap<AttemptId, u32>,
}

impl Shares {
    /// Takes one look at every GPU and returns who has to be stopped, each once.
    pub fn judge(
        &mut self,
        looks: &[Look],
        held: &BTreeMap<AttemptId, Allocation>,
    ) -> Vec<Overuse> {
        self.over.retain(|attempt, _| held.contains_key(attempt));
        let mut stopped = Vec::new();
        for (attempt, allocation) in held {
            let worst = allocation.gpu_shares.iter().find_map(|(gpu, share)| {
                let look = looks.iter().find(|look| look.uuid == *gpu)?;
                let used = memory(of(look, *attempt))?;
                (used > *share).then(|| Overuse {
                    attempt: *attempt,
                    gpu: gpu.clone(),
                    used,
                    share: *share,
                })
            });
            let Some(worst) = worst else {
                self.over.remove(attempt);
                continue;
            };
            let times = self.over.entry(*attempt).or_default();
            *times += 1;
            if *times == LOOKS {
                stopped.push(worst);
            }
        }
        stopped
    }
}

/// Returns what `attempt` uses, as these looks show it.
pub fn use_of(looks: &[Look], attempt: AttemptId, allocation: &Allocation) -> GpuUse {
    let its = || {
        let gpus = allocation.gpus.iter();
        gpus.filter_map(|gpu| looks.iter().find(|look| look.uuid == *gpu))
    };
    let all: Vec<Option<Bytes>> = its().map(|look| memory(of(look, attempt))).collect();
    let percents: Vec<u32> = its()
        .filter_map(|look| {
            if allocation.gpu_shares.contains_key(&look.uuid) {
                let parts: Option<Vec<u32>> = of(look, attempt).map(|one| one.percent).collect();
                parts.map(|parts| parts.into_iter().fold(0, u32::saturating_add).min(100))
            } else {
                look.percent
            }
        })
        .collect();
    let mean = || {
        let sum: u64 = percents.iter().map(|percent| u64::from(*percent)).sum();
        u32::try_from(sum / percents.len() as u64).ok()
    };
    GpuUse {
        memory: all
            .into_iter()
            .try_fold(Bytes::ZERO, |sum, one| {
                Some(Bytes(sum.0.saturating_add(one?.0)))
            })
            .filter(|_| its().next().is_some()),
        percent: if percents.is_empty() { None } else { mean() },
    }
}

fn of(look: &Look, attempt: AttemptId) -> impl Iterator<Item = &Process> {
    let its = move |process: &&Process| process.whose == Whose::Attempt(attempt);
    look.processes.iter().filter(its)
}

/// Returns the sum; `None` where one of them is not told.
fn memory<'a>(mut processes: impl Iterator<Item = &'a Process>) -> Option<Bytes> {
    processes.try_fold(Bytes::ZERO, |sum, process| {
        Some(Bytes(sum.0.saturating_add(process.memory?.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::attempt;

    fn process(whose: Whose, mib: Option<u64>) -> Process {
        Process {
            pid: 7,
            whose,
            draws_only: false,
            memory: mib.map(Bytes::mib),
            percent: Some(30),
        }
    }

    fn look(uuid: &str, processes: Vec<Process>) -> Look {
        Look {
            uuid: uuid.to_owned(),
            memory: Bytes::gib(24),
            memory_used: Bytes::gib(1),
            percent: Some(80),
            processes,
        }
    }

    fn shared(mib: u64) -> Allocation {
        Allocation {
            gpus: vec!["GPU-a".to_owned()],
            gpu_shares: BTreeMap::from([("GPU-a".to_owned(), Bytes::mib(mib))]),
            ..Allocation::default()
        }
    }

    #[test]
    fn who_is_over_its_share_twice_in_a_row_is_stopped_and_nobody_else() {
        let (greedy, modest) = (attempt(0, 1), attempt(1, 1));
        let held = BTreeMap::from([(greedy, shared(100)), (modest, shared(100))]);
        let seen = |mib| {
            let [greedy, modest] = [greedy, modest].map(Whose::Attempt);
            vec![look(
                "GPU-a",
                vec![
                    process(greedy, Some(mib)),
                    process(greedy, Some(1)),
                    process(modest, Some(100)),
                    process(Whose::Others, Some(9000)),
                ],
            )]
        };
        let mut shares = Shares::default();
        assert_eq!(shares.judge(&seen(120), &held), []);
        assert_eq!(shares.judge(&seen(80), &held), [], "a moment is forgiven");
        assert_eq!(shares.judge(&seen(120), &held), []);
        let stopped = shares.judge(&seen(120), &held);
        assert_eq!(stopped.len(), 1);
        assert_eq!(stopped[0].attempt, greedy);
        assert_eq!(
            stopped[0].detail(),
            "it used 121 MiB of the memory of GPU-a, of which its share was 100 MiB"
        );
        assert_eq!(shares.judge(&seen(120), &held), [], "it is said once");
    }

    #[test]
    fn memory_that_is_not_told_counts_for_nobody() {
        let one = attempt(0, 1);
        let held = BTreeMap::from([(one, shared(100))]);
        let seen = [look("GPU-a", vec![process(Whose::Attempt(one), None)])];
        let mut shares = Shares::default();
        for _ in 0..4 {
            assert_eq!(shares.judge(&seen, &held), []);
        }
        assert_eq!(use_of(&seen, one, &held[&one]).memory, None);
    }

    #[test]
    fn use_is_the_memory_together_and_the_mean_of_what_gpus_are_busy() {
        let one = attempt(0, 1);
        let whole = Allocation {
            gpus: vec!["GPU-a".to_owned(), "GPU-b".to_owned()],
            ..Allocation::default()
        };
        let mut seen = vec![
            look("GPU-a", vec![process(Whose::Attempt(one), Some(3))]),
            look("GPU-b", vec![process(Whose::Attempt(one), Some(4))]),
        ];
        seen[1].percent = Some(20);
        let both = use_of(&seen, one, &whole);
        assert_eq!((both.memory, both.percent), (Some(Bytes::mib(7)), Some(50)));
        let part = use_of(&seen, one, &shared(9));
        assert_eq!((part.memory, part.percent), (Some(Bytes::mib(3)), Some(30)));
        assert_eq!(use_of(&[], one, &whole), GpuUse::default());
    }
}
