//! When the machine is lent, and how jobs yield when it is not.

use common::time::Span;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    Hours, Percent,
    keys::{section, shown, word},
};

/// Most programs that an owner can name.
const MAX_PROGRAMS: usize = 64;
/// Longest name of a program, in bytes.
const MAX_PROGRAM_BYTES: usize = 64;
/// Hottest and coldest bound, in degrees Celsius; anything else is a slip.
const TEMPERATURES: std::ops::RangeInclusive<u16> = 30..=120;

/// When the machine is lent; all of it must allow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    pub hours: Option<Hours>,
    /// How long nobody must have been at the keyboard before anything new begins.
    pub idle_for: Option<Span>,
    pub not_on_battery: bool,
    pub not_on_metered: bool,
    /// Names of programs' processes.
    pub not_while: Vec<String>,
    /// Of the hottest part, in degrees Celsius.
    pub max_temperature: Option<u16>,
    /// Share of time in which something waited for memory.
    pub memory_pressure: Option<Percent>,
    /// Share of all processors that other programs than jobs use.
    pub other_cpu_over: Option<Percent>,
}

/// How jobs make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yield {
    pub on_return: OnReturn,
    /// How long the owner must have been away before frozen jobs go on.
    pub continue_after: Span,
    /// After so long frozen jobs are ended and tried again elsewhere.
    pub freeze_at_most: Span,
    /// Between the word to end and the end by force; never longer than a job's own. `None` is the job's own.
    pub grace: Option<Span>,
    pub own_jobs: OwnJobs,
}

impl Default for Yield {
    fn default() -> Self {
        Self {
            on_return: OnReturn::Continue,
            continue_after: Span::from_secs(300),
            freeze_at_most: Span::from_secs(600),
            grace: None,
            own_jobs: OwnJobs::Stay,
        }
    }
}

/// What running jobs do when their machine's owner wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReturn {
    /// They go on, with the lowest weight; only nothing new begins.
    Continue,
    Freeze,
    /// They end, and are tried again elsewhere.
    Evict,
}

/// Whether the owner's own jobs yield to their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnJobs {
    Stay,
    Yield,
}

/// What becomes of GPUs besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GpuUse {
    pub while_present: PresentUse,
    pub while_used_by_others: OtherUse,
}

/// Whether GPUs are lent while the owner is at the keyboard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PresentUse {
    /// As the rest of the machine.
    #[default]
    Lend,
    /// Jobs on them end: a frozen job would keep the GPU's memory.
    Withhold,
}

/// What jobs on a GPU do when another program begins to use it. Nothing new begins there in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtherUse {
    #[default]
    Continue,
    Evict,
}

word!(OnReturn { "continue" => Continue, "freeze" => Freeze, "evict" => Evict, });
word!(OwnJobs { "stay" => Stay, "yield" => Yield, });
word!(PresentUse { "lend" => Lend, "withhold" => Withhold, });
word!(OtherUse { "continue" => Continue, "evict" => Evict, });

section! {
    /// The part `when`.
    WhenKeys {
        "hours" => hours: Hours,
        "idle_for" => idle_for: Span,
        "not_on_battery" => not_on_battery: bool,
        "not_on_metered" => not_on_metered: bool,
        "not_while" => not_while: Programs,
        "max_temperature" => max_temperature: Celsius,
        "memory_pressure" => memory_pressure: Percent,
        "other_cpu_over" => other_cpu_over: Percent,
    }
}

section! {
    /// The part `yield`.
    YieldKeys {
        "on_return" => on_return: OnReturn,
        "continue_after" => continue_after: Span,
        "freeze_at_most" => freeze_at_most: Span,
        "grace" => grace: Span,
        "own_jobs" => own_jobs: OwnJobs,
    }
}

section! {
    /// The part `gpus`.
    GpuKeys {
        "while_present" => while_present: PresentUse,
        "while_used_by_others" => while_used_by_others: OtherUse,
    }
}

/// Names of programs.
#[derive(Debug)]
pub(super) struct Programs(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Programs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        if names.len() > MAX_PROGRAMS {
            return Err(D::Error::custom(format_args!(
                "more than {MAX_PROGRAMS} programs are named"
            )));
        }
        let plain = |name: &&String| {
            name.is_empty()
                || name.len() > MAX_PROGRAM_BYTES
                || name.contains('/')
                || name.chars().any(char::is_control)
        };
        match names.iter().find(plain) {
            None => Ok(Self(names)),
            Some(bad) => Err(D::Error::custom(format!(
                "{:?} is not a program's name; write it without its folder, as in blender",
                shown(bad)
            ))),
        }
    }
}

/// A temperature that makes sense as a bound.
#[derive(Debug)]
pub(super) struct Celsius(pub(super) u16);

impl<'de> Deserialize<'de> for Celsius {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let degrees = i64::deserialize(deserializer)?;
        u16::try_from(degrees)
            .ok()
            .filter(|degrees| TEMPERATURES.contains(degrees))
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "{degrees} is not a bound in degrees Celsius from {} to {}",
                    TEMPERATURES.start(),
                    TEMPERATURES.end()
                ))
            })
    }
}

/// Which circumstances the rules ask about: what nobody asks about is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    pub presence: bool,
    pub battery: bool,
    pub metered: bool,
    pub temperature: bool,
    pub memory_pressure: bool,
    pub other_cpu: bool,
    /// Those whose processes are looked for.
    pub programs: Vec<String>,
}

impl Needs {
    /// Returns the needs of somebody who wants to see everything.
    pub const fn everything() -> Self {
        Self {
            presence: true,
            battery: true,
            metered: true,
            temperature: true,
            memory_pressure: true,
            other_cpu: true,
            programs: Vec::new(),
        }
    }

    /// Returns whether something has to be looked at again and again, because nobody tells when it changes.
    pub fn repeated_looks(&self) -> bool {
        self.battery
            || self.temperature
            || self.memory_pressure
            || self.other_cpu
            || !self.programs.is_empty()
    }
}

impl super::OwnerRules {
    /// Returns what has to be known to decide.
    pub fn needs(&self) -> Needs {
        Needs {
            presence: self.watches_presence() || self.gpu_use.while_present == PresentUse::Withhold,
            battery: self.when.not_on_battery,
            metered: self.when.not_on_metered,
            temperature: self.when.max_temperature.is_some(),
            memory_pressure: self.when.memory_pressure.is_some(),
            other_cpu: self.when.other_cpu_over.is_some(),
            programs: self.when.not_while.clone(),
        }
    }

    /// Returns whether anything depends on whether the owner is at the keyboard.
    pub(super) fn watches_presence(&self) -> bool {
        self.when.idle_for.is_some() || self.yielding.on_return != OnReturn::Continue
    }
}
