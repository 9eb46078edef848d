//! A value of a bound, or what counts against one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    status::MinIsolation,
    time::Span,
    units::{Bytes, MilliCpu},
};

/// An amount with its unit, as in `{"cpu": 4.5}` or `{"size": 1073741824}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    Count(u64),
    Cpu(MilliCpu),
    Size(Bytes),
    Time(Span),
    Isolation(MinIsolation),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => f.pad(&count.to_string()),
            Self::Cpu(cpu) => cpu.fmt(f),
            Self::Size(size) => size.fmt(f),
            Self::Time(span) => span.fmt(f),
            Self::Isolation(least) => least.fmt(f),
        }
    }
}
