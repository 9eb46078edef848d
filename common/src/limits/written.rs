//! Limits as people write them, in a file or on the command line: a bare number or one with a unit. Each way
//! of being wrong has its own words.

use std::str::FromStr;

use super::{Amount, ResourceType};
use crate::{
    code::Code,
    time::{InvalidSpan, Span},
    units::{Bytes, InvalidBytes, MilliCpu},
};

/// Whole numbers are kept in four bytes, processors in thousandths of one.
const MAX_COUNT: f64 = u32::MAX as f64;
const MAX_CPUS: f64 = MAX_COUNT / 1000.0;
/// Longest part of a wrong text that is repeated.
const MAX_QUOTED: usize = 40;

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    #[error("{0} is negative; a limit is 0 or more")]
    Negative(String),
    #[error("{0} is larger than any limit can be")]
    TooLarge(String),
    #[error("{0:?} is not a whole number; write one such as 20")]
    Count(String),
    #[error("{0:?} is not a number of processors; write 1, 4 or 0.5 (steps of 0.001)")]
    Cpu(String),
    #[error("{0:?} is not a size; write megabytes or a unit, as in 65536, 64GiB or 2TiB")]
    Size(String),
    #[error("{0:?} is not a time; write seconds or a unit, as in 86400, 24h or 7d")]
    Time(String),
}

impl InvalidLimit {
    pub const fn code(&self) -> Code {
        match self {
            Self::Negative(_) => Code::NegativeNumber,
            Self::TooLarge(_) => Code::NumberTooLarge,
            Self::Count(_) | Self::Cpu(_) | Self::Size(_) | Self::Time(_) => Code::BadUnit,
        }
    }
}

/// A number of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

/// A size; a bare number is megabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub Bytes);

/// A time; a bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Span);

/// Reads how much of a resource type.
///
/// # Errors
/// The text is no amount of it.
pub fn amount(resource: &ResourceType, text: &str) -> Result<Amount, InvalidLimit> {
    match resource {
        ResourceType::Cpu => cpu(text),
        ResourceType::Memory => text.parse().map(|Size(size)| Amount(size.0)),
        ResourceType::Gpu | ResourceType::Model(_) => {
            text.parse().map(|Count(count)| Amount(count.into()))
        }
    }
}

fn cpu(text: &str) -> Result<Amount, InvalidLimit> {
    let text = not_negative(text)?;
    match text.parse::<MilliCpu>() {
        Ok(cpu) => Ok(Amount(cpu.0.into())),
        Err(_) if is_over(text, MAX_CPUS) => Err(InvalidLimit::TooLarge(quoted(text))),
        Err(_) => Err(InvalidLimit::Cpu(quoted(text))),
    }
}

impl FromStr for Count {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let text = not_negative(text)?;
        match text.parse() {
            Ok(count) => Ok(Self(count)),
            Err(_) if is_over(text, MAX_COUNT) => Err(InvalidLimit::TooLarge(quoted(text))),
            Err(_) => Err(InvalidLimit::Count(quoted(text))),
        }
    }
}

impl FromStr for Size {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let text = not_negative(text)?;
        match text.parse::<Bytes>() {
            // Where a size with a unit stops growing.
            Ok(Bytes(u64::MAX)) | Err(InvalidBytes::TooLarge) => {
                Err(InvalidLimit::TooLarge(quoted(text)))
            }
            Ok(size) => Ok(Self(size)),
            Err(_) if is_over(text, MAX_COUNT) => Err(InvalidLimit::TooLarge(quoted(text))),
            Err(_) => Err(InvalidLimit::Size(quoted(text))),
        }
    }
}

impl FromStr for Time {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let text = not_negative(text)?;
        match text.parse() {
            Ok(span) => Ok(Self(span)),
            Err(InvalidSpan::TooLong) => Err(InvalidLimit::TooLarge(quoted(text))),
            Err(InvalidSpan::Negative) => Err(InvalidLimit::Negative(quoted(text))),
            Err(_) if is_over(text, MAX_COUNT) => Err(InvalidLimit::TooLarge(quoted(text))),
            Err(InvalidSpan::Syntax(_)) => Err(InvalidLimit::Time(quoted(text))),
        }
    }
}

fn not_negative(text: &str) -> Result<&str, InvalidLimit> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) if rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) => {
            Err(InvalidLimit::Negative(quoted(text)))
        }
        _ => Ok(text),
    }
}

/// Returns whether the text is a plain number that is too large to be read; some parsers of files hand it over as
/// `1e+23`.
fn is_over(text: &str, most: f64) -> bool {
    text.parse::<f64>().is_ok_and(|number| number > most)
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}
