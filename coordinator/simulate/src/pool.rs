//! The machines of a simulated pool: `20x16:64GiB,4x32:256GiB:2xrtx-4090`.

use std::fmt;

use common::{
    code::Code,
    problem::{Problem, shown},
    resources::MAX_GPUS_PER_MACHINE,
    units::{Bytes, MilliCpu},
};

/// Most machines of a pool; as many as a coordinator is measured with.
pub const MAX_MACHINES: usize = 10_000;
/// Most processors of a machine: some times those of today's largest.
pub const MAX_PROCESSORS: u32 = 65_536;
/// Most memory of a machine.
const MAX_MEMORY: Bytes = Bytes::gib(1 << 20);
/// Longest description of a pool, in bytes.
const MAX_TEXT: usize = 4096;

/// Of processors, memory and GPUs: what a task asks for, or what a machine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub gpus: u32,
}

impl Amount {
    /// Returns whether `room` has as much of everything.
    pub fn fits(&self, room: &Self) -> bool {
        self.cpu <= room.cpu && self.memory <= room.memory && self.gpus <= room.gpus
    }

    /// Returns what is left of this without `other`, or `None` where it is not in it.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cpu: MilliCpu(self.cpu.0.checked_sub(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_sub(other.memory.0)?),
            gpus: self.gpus.checked_sub(other.gpus)?,
        })
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            cpu: MilliCpu(self.cpu.0.saturating_add(other.cpu.0)),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// Returns the larger of each.
    #[must_use]
    pub fn most(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            gpus: self.gpus.max(other.gpus),
        }
    }
}

/// So many machines that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub count: usize,
    pub each: Amount,
    /// Of its GPUs; empty where it has none.
    pub model: String,
}

/// All machines, kind after kind; a machine is its place in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    kinds: Vec<Kind>,
}

impl Pool {
    /// Reads `COUNTxPROCESSORS:MEMORY[:GPUSxMODEL],...`.
    ///
    /// # Errors
    /// The part that is not of that form, or beyond a bound.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_TEXT {
            let why = format!("it is longer than {MAX_TEXT} bytes");
            return Err(unreadable(text, &why));
        }
        let kinds: Result<Vec<_>, _> = text.split(',').map(kind).collect();
        Self::of(kinds?).map_err(|why| unreadable(text, &why))
    }

    /// Makes a pool.
    ///
    /// # Errors
    /// Why there cannot be one of these machines.
    pub fn of(mut kinds: Vec<Kind>) -> Result<Self, String> {
        kinds.retain(|kind| kind.count > 0);
        let count = kinds.iter().map(|kind| kind.count);
        let count = count.fold(0, usize::saturating_add);
        let most = |kind: &Kind| kind.each.cpu.0 / 1000;
        if count == 0 {
            Err("there is no machine in it".to_owned())
        } else if count > MAX_MACHINES {
            Err(format!(
                "it has {count} machines, and may have {MAX_MACHINES}"
            ))
        } else if let Some(kind) = kinds.iter().find(|kind| most(kind) > MAX_PROCESSORS) {
            let asked = most(kind);
            Err(format!(
                "a machine has {asked} processors, and may have {MAX_PROCESSORS}"
            ))
        } else if kinds.iter().any(|kind| kind.each.cpu == MilliCpu::ZERO) {
            Err("a machine needs at least one processor".to_owned())
        } else if kinds.iter().any(|kind| kind.each.memory < Bytes::mib(1)) {
            Err("a machine needs at least 1 MiB of memory".to_owned())
        } else if kinds.iter().any(|kind| kind.each.memory > MAX_MEMORY) {
            Err(format!("a machine has more memory than {MAX_MEMORY}"))
        } else {
            Ok(Self { kinds })
        }
    }

    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Returns the kind of each machine.
    pub fn machines(&self) -> impl Iterator<Item = &Kind> {
        let each = self.kinds.iter();
        each.flat_map(|kind| std::iter::repeat_n(kind, kind.count))
    }

    /// Returns what each machine has.
    pub fn rooms(&self) -> Vec<Amount> {
        self.machines().map(|kind| kind.each).collect()
    }

    /// Returns on how many machines so much fits.
    pub fn holding(&self, ask: &Amount) -> usize {
        let kinds = self.kinds.iter();
        let fitting = kinds.filter(|kind| ask.fits(&kind.each));
        fitting.map(|kind| kind.count).sum()
    }

    /// Returns all processors, in thousandths.
    pub fn cpu(&self) -> u64 {
        self.machines().map(|kind| u64::from(kind.each.cpu.0)).sum()
    }

    /// Returns the most that one machine has of each, perhaps different ones.
    pub fn largest(&self) -> Amount {
        let empty = Amount::default();
        let each = self.kinds.iter();
        each.fold(empty, |most, kind| most.most(&kind.each))
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Kind { count, each, model }) in self.kinds.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let memory = each.memory.to_string().replace(' ', "");
            write!(f, "{comma}{count}x{}:{memory}", each.cpu)?;
            if each.gpus > 0 {
                write!(f, ":{}x{model}", each.gpus)?;
            }
        }
        Ok(())
    }
}

fn kind(text: &str) -> Result<Kind, Problem> {
    let mut parts = text.trim().split(':');
    let form = || unreadable(text, "it is not COUNTxPROCESSORS:MEMORY[:GPUSxMODEL]");
    let (Some(size), Some(memory), gpus, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form());
    };
    let (count, cpu) = size.split_once('x').ok_or_else(form)?;
    let count = count.parse().map_err(|_| form())?;
    let cpu = cpu.parse::<u32>().map_err(|_| form())?;
    let memory: Bytes = memory
        .parse()
        .map_err(|error: common::units::InvalidBytes| unreadable(text, &error.to_string()))?;
    let (gpus, model) = match gpus {
        None => (0, ""),
        Some(gpus) => {
            let (gpus, model) = gpus.split_once('x').ok_or_else(form)?;
            (gpus.parse().map_err(|_| form())?, model)
        }
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (gpus > 0 && model.is_empty()) || !model.chars().all(plain) {
        return Err(form());
    }
    if usize::try_from(gpus).is_ok_and(|gpus| gpus > MAX_GPUS_PER_MACHINE) {
        let why = format!("a machine has at most {MAX_GPUS_PER_MACHINE} GPUs");
        return Err(unreadable(text, &why));
    }
    let each = Amount {
        // What is beyond a number is beyond the bound as well.
        cpu: MilliCpu::cpus(cpu),
        memory,
        gpus,
    };
    let model = model.to_owned();
    Ok(Kind { count, each, model })
}

fn unreadable(text: &str, why: &str) -> Problem {
    let what = format!("{} is no pool of machines", shown(text));
    Problem::new(Code::BadRequest, what, why)
        .help("Write as in --machines 20x16:64GiB,4x32:256GiB:2xrtx-4090: 20 machines of 16 processors and 64 GiB, and so on.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_read_and_written_alike() {
        for text in ["10x8:32GiB", "20x16:64GiB,4x32:256GiB:2xrtx-4090"] {
            assert_eq!(Pool::parse(text).unwrap().to_string(), text);
        }
        let pool = Pool::parse("2x4:8GiB,1x32:16GiB:2xh200").unwrap();
        assert_eq!((pool.rooms().len(), pool.cpu()), (3, 40_000));
        let largest = pool.largest();
        assert_eq!((largest.cpu, largest.gpus), (MilliCpu::cpus(32), 2));
    }

    #[test]
    fn what_is_no_pool_is_refused_with_its_reason() {
        #[track_caller]
        fn check(text: &str, expect: &str) {
            let problem = Pool::parse(text).unwrap_err();
            assert!(problem.why.contains(expect), "{text}: {problem}");
            assert_eq!(problem.code, Code::BadRequest);
        }
        check("", "COUNTxPROCESSORS");
        check("10x8", "COUNTxPROCESSORS");
        check("10x8:32GiB:2", "COUNTxPROCESSORS");
        check("10x8:32GiB:2xrtx:1", "COUNTxPROCESSORS");
        check("10x8:lots", "is not a size");
        check("-1x8:32GiB", "COUNTxPROCESSORS");
        check("0x8:32GiB", "no machine");
        check("1x0:32GiB", "one processor");
        check("1x1:0", "1 MiB");
        check("20000x8:32GiB", "may have 10000");
        check("18446744073709551615x1:1GiB,9x1:1GiB", "may have 10000");
        check("1x4294967295:32GiB", "may have 65536");
        check("1x8:32GiB:99999xh200", "at most 64 GPUs");
        check("1x8:32GiB:2x<b>", "COUNTxPROCESSORS");
        check("1x8:999999PiB", "");
        check(&"1x8:32GiB,".repeat(1000), "longer than");
    }
}
