//! Whether a GPU is free: used by others, or still covered with what an ended attempt left.
//!
//! The driver names processes and the memory that is taken altogether. What is taken by nobody is either what the
//! driver needs for itself, which is learned while the GPU is idle, or a leftover.

use std::collections::{BTreeMap, BTreeSet};

use common::units::Bytes;

use super::{Look, Whose};

/// How much more than when idle may be taken before it is a leftover.
const SLACK: Bytes = Bytes::mib(256);
/// Most that an idle GPU is believed to need for itself, and that a desktop is believed to draw with before it is
/// somebody's game: so much, or this part of its memory.
const MOST_IDLE: Bytes = Bytes::gib(1);
const MOST_IDLE_PART: u64 = 8;
/// Processes of ended attempts that are remembered.
const MAX_PAST: usize = 4096;

/// Who has a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupation {
    /// Nobody, or attempts of ours that hold it.
    Free,
    Others,
    Leftover,
}

/// What is remembered of GPUs from look to look.
#[derive(Debug, Default)]
pub struct Ground {
    /// What each takes of its own memory with nobody on it.
    idle: BTreeMap<String, Bytes>,
    /// Where attempts were since it was last seen free.
    trodden: BTreeSet<String>,
    /// Processes that were an attempt's, by GPU.
    past: BTreeMap<String, BTreeSet<u32>>,
}

impl Ground {
    /// Judges one look. `held` is whether attempts of ours hold the GPU now.
    pub fn judge(&mut self, look: &Look, held: bool) -> Occupation {
        let gpu = &look.uuid;
        let most = MOST_IDLE.max(Bytes(look.memory.0 / MOST_IDLE_PART));
        if held {
            self.trodden.insert(gpu.clone());
            self.remember(look);
            return if others(look, most, false) {
                Occupation::Others
            } else {
                Occupation::Free
            };
        }
        let past = self.past.get(gpu);
        let ours = look.processes.iter().any(|process| {
            let was = past.is_some_and(|past| past.contains(&process.pid));
            was || matches!(process.whose, Whose::Attempt(_))
        });
        if ours {
            self.trodden.insert(gpu.clone());
            return Occupation::Leftover;
        }
        if others(look, most, true) {
            return Occupation::Others;
        }
        let named = look.processes.iter().filter_map(|process| process.memory);
        let named = named.fold(0, |sum: u64, memory| sum.saturating_add(memory.0));
        // What no process has.
        let taken = Bytes(look.memory_used.0.saturating_sub(named));
        if self.trodden.contains(gpu) {
            let idle = self.idle.get(gpu).copied().unwrap_or(most);
            if taken.0 > idle.0.saturating_add(SLACK.0) {
                return Occupation::Leftover;
            }
        } else if taken > most {
            // Somebody's whom the driver does not name to us: in another container, say.
            return Occupation::Others;
        }
        self.trodden.remove(gpu);
        self.past.remove(gpu);
        self.idle.insert(gpu.clone(), taken);
        Occupation::Free
    }

    fn remember(&mut self, look: &Look) {
        let past = self.past.entry(look.uuid.clone()).or_default();
        for process in &look.processes {
            if matches!(process.whose, Whose::Attempt(_)) && past.len() < MAX_PAST {
                past.insert(process.pid);
            }
        }
        // The number of one that ended may be another's by now.
        past.retain(|pid| look.processes.iter().any(|process| process.pid == *pid));
    }
}

/// Returns whether somebody else works on the GPU, and does not only draw a desktop with it. Where nobody of ours
/// is there, a process that cannot be seen from here is somebody else's, too.
fn others(look: &Look, most: Bytes, unseen: bool) -> bool {
    let foreign = |whose| whose == Whose::Others || unseen && whose == Whose::Unseen;
    let mut drawn = 0_u64;
    for process in look.processes.iter().filter(|one| foreign(one.whose)) {
        if !process.draws_only {
            return true;
        }
        drawn = drawn.saturating_add(process.memory.map_or(0, |memory| memory.0));
    }
    drawn > most.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gpu::Process, testing::attempt};

    fn look(used_mib: u64, processes: &[(u32, Whose)]) -> Look {
        Look {
            uuid: "GPU-a".to_owned(),
            memory: Bytes::gib(24),
            memory_used: Bytes::mib(used_mib),
            percent: None,
            processes: processes
                .iter()
                .map(|(pid, whose)| Process {
                    pid: *pid,
                    whose: *whose,
                    draws_only: false,
                    memory: None,
                    percent: None,
                })
                .collect(),
        }
    }

    #[test]
    fn memory_that_nobody_has_after_an_attempt_is_a_leftover_until_it_is_gone() {
        let mut ground = Ground::default();
        let ours = [(9, Whose::Attempt(attempt(0, 1)))];
        assert_eq!(ground.judge(&look(300, &[]), false), Occupation::Free);
        assert_eq!(ground.judge(&look(9000, &ours), true), Occupation::Free);
        assert_eq!(ground.judge(&look(9000, &[]), false), Occupation::Leftover);
        assert_eq!(ground.judge(&look(600, &[]), false), Occupation::Leftover);
        assert_eq!(ground.judge(&look(310, &[]), false), Occupation::Free);
        // Later it is idle with a little more, and nobody was there.
        assert_eq!(ground.judge(&look(900, &[]), false), Occupation::Free);
    }

    #[test]
    fn a_process_that_outlives_its_attempt_is_a_leftover_and_no_stranger() {
        let mut ground = Ground::default();
        let ours = [(9, Whose::Attempt(attempt(0, 1)))];
        ground.judge(&look(9000, &ours), true);
        for whose in [ours[0].1, Whose::Others, Whose::Unseen] {
            let left = ground.judge(&look(9000, &[(9, whose)]), false);
            assert_eq!(left, Occupation::Leftover, "{whose:?}");
        }
        let stranger = ground.judge(&look(9000, &[(10, Whose::Others)]), false);
        assert_eq!(stranger, Occupation::Others);
    }

    #[test]
    fn others_are_seen_beside_ours_too() {
        let mut ground = Ground::default();
        let ours = (9, Whose::Attempt(attempt(0, 1)));
        let judge =
            |ground: &mut Ground, whose, held| ground.judge(&look(300, &[ours, (8, whose)]), held);
        assert_eq!(judge(&mut ground, Whose::Others, true), Occupation::Others);
        // It may be ours as well, or have just ended.
        assert_eq!(judge(&mut ground, Whose::Unseen, true), Occupation::Free);
    }

    #[test]
    fn memory_of_somebody_who_is_not_named_is_others() {
        let mut ground = Ground::default();
        assert_eq!(ground.judge(&look(4000, &[]), false), Occupation::Others);
        assert_eq!(ground.judge(&look(2000, &[]), false), Occupation::Free);
    }

    #[test]
    fn a_desktop_leaves_the_gpu_free_and_a_game_does_not() {
        let mut ground = Ground::default();
        let drawing = |mib: u64| {
            let mut look = look(mib + 300, &[(8, Whose::Others), (9, Whose::Others)]);
            for process in &mut look.processes {
                process.draws_only = true;
                process.memory = Some(Bytes::mib(mib / 2));
            }
            look
        };
        assert_eq!(ground.judge(&drawing(600), false), Occupation::Free);
        assert_eq!(ground.judge(&drawing(8000), false), Occupation::Others);
        ground.judge(&drawing(600), true);
        assert_eq!(ground.judge(&drawing(2000), false), Occupation::Free);
    }
}
