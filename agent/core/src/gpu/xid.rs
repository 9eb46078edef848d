//! What the driver's numbered events (Xids) mean for lending a GPU.
//!
//! Most of them are a program's own mistake and say nothing about the GPU: who takes a GPU out for those soon has
//! none left. A few mean that nothing will run on it until it is reset. Numbers and meanings are those of NVIDIA's
//! published catalogue of Xid errors.

use std::{fmt, time::Duration};

/// How long a GPU rests after an event that nobody here knows.
const REST: Duration = Duration::from_secs(600);

/// A numbered event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xid(pub u64);

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// It is told, and the GPU goes on being lent.
    Told,
    /// The GPU is not lent for so long.
    Rest(Duration),
    /// The GPU is not lent until it was reset or its driver loaded anew.
    Out,
}

impl Xid {
    pub const fn consequence(self) -> Consequence {
        match self.0 {
            // A program's mistake, or the end of one that made it.
            13 | 31 | 32 | 43 | 44 | 45 | 68 | 69 | 109 => Consequence::Told,
            // Memory that was or will be replaced; what still needs a reset is asked for by itself.
            63 | 92 | 94 | 121 => Consequence::Told,
            38 | 46 | 48 | 54 | 61 | 62 | 64 | 74 | 79 | 95 | 110 | 119 | 120 | 122 | 123 | 136
            | 140 | 143 | 154 => Consequence::Out,
            _ => Consequence::Rest(REST),
        }
    }

    /// Returns what happened, in words.
    pub const fn words(self) -> &'static str {
        match self.0 {
            13 => "a program made an invalid computation",
            31 => "a program used memory that it does not have",
            32 => "a program sent invalid commands",
            38 => "its firmware failed",
            43 => "a program's work on it was stopped",
            44 => "it failed to change between programs",
            45 => "a program's work was cleaned up",
            46 | 62 => "it stopped working",
            48 => "its memory lost data for good",
            54 => "it has too little power",
            61 => "its controller stopped",
            63 => "a part of its memory will be replaced",
            64 => "a bad part of its memory could not be replaced",
            68 => "its video unit failed in a program",
            69 => "a program gave an invalid command",
            74 => "its link to other GPUs failed",
            79 => "it fell off the bus",
            92 => "its memory corrects unusually many errors",
            94 => "its memory lost data of one program",
            95 => "its memory lost data",
            109 => "it took too long to change between programs",
            110 => "it reported a security fault",
            119 | 120 => "its system processor does not answer",
            121 => "its link to the processor corrected an error",
            122 | 123 => "its controller does not answer",
            136 => "its links could not be set up",
            140 => "its memory lost data that cannot be recovered",
            143 => "it could not be started",
            154 => "the driver asks for it to be reset",
            _ => "the driver reported an event that is not known here",
        }
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (Xid {})", self.words(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_mistakes_exclude_nothing_and_broken_hardware_does() {
        for harmless in [13, 31, 43, 45, 68, 109, 94, 63] {
            assert_eq!(Xid(harmless).consequence(), Consequence::Told, "{harmless}");
        }
        for broken in [48, 62, 64, 74, 79, 95, 119, 140] {
            assert_eq!(Xid(broken).consequence(), Consequence::Out, "{broken}");
        }
        for unknown in [0, 14, 999, u64::MAX] {
            assert_eq!(Xid(unknown).consequence(), Consequence::Rest(REST));
        }
        assert_eq!(Xid(79).to_string(), "it fell off the bus (Xid 79)");
    }
}
