//! The tasks of an array: ranges of indices, and how many of them at once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Most tasks of one array.
pub const MAX_TASKS: u32 = 1_000_000;
/// Most ranges of one array.
pub const MAX_RANGES: usize = 10_000;

/// The tasks of an array: `FIRST-LAST`, `INDEX` or several of these, as in `0-9,20,30-40%5` for at most 5 at once.
///
/// The ranges are in order and never touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArraySpec {
    /// Of the first range.
    pub first: u32,
    /// Of the first range, included.
    pub last: u32,
    /// Most tasks at once.
    pub parallel: Option<u32>,
    /// Further ranges.
    #[serde(default)]
    pub more: Vec<IndexRange>,
}

/// Indices that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexRange {
    pub first: u32,
    /// Included.
    pub last: u32,
}

impl ArraySpec {
    /// Returns the array of one range.
    pub const fn of(first: u32, last: u32, parallel: Option<u32>) -> Self {
        Self {
            first,
            last,
            parallel,
            more: Vec::new(),
        }
    }

    /// Returns the array of these ranges, in whatever order they come, and of those that touch one.
    ///
    /// # Errors
    /// There is none, or an index is there twice, or it is too much.
    pub fn of_ranges(
        mut ranges: Vec<IndexRange>,
        parallel: Option<u32>,
    ) -> Result<Self, InvalidArray> {
        if let Some(range) = ranges.iter().find(|range| range.last < range.first) {
            return Err(InvalidArray::Backwards(*range));
        }
        ranges.sort();
        let mut apart: Vec<IndexRange> = Vec::new();
        for range in ranges {
            match apart.last_mut() {
                Some(before) if range.first <= before.last => {
                    return Err(InvalidArray::Twice(range.first));
                }
                Some(before) if range.first == before.last + 1 => before.last = range.last,
                _ => apart.push(range),
            }
        }
        let mut apart = apart.into_iter();
        let IndexRange { first, last } = apart.next().ok_or(InvalidArray::Empty)?;
        let array = Self {
            first,
            last,
            parallel,
            more: apart.collect(),
        };
        array.check()?;
        Ok(array)
    }

    /// Returns all of them, in order.
    pub fn ranges(&self) -> impl Iterator<Item = IndexRange> + Clone {
        let first = IndexRange {
            first: self.first,
            last: self.last,
        };
        std::iter::once(first).chain(self.more.iter().copied())
    }

    pub fn task_count(&self) -> u32 {
        // Nothing overflows, whatever a stranger wrote.
        let count = |range: IndexRange| range.last.saturating_sub(range.first).saturating_add(1);
        self.ranges().map(count).fold(0, u32::saturating_add)
    }

    pub fn contains(&self, index: u32) -> bool {
        let after = self.more.partition_point(|range| range.first <= index);
        let range = after.checked_sub(1).map(|place| self.more[place]);
        (self.first..=self.last).contains(&index) || range.is_some_and(|range| index <= range.last)
    }

    /// Returns whether these numbers make an array.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), InvalidArray> {
        if self.more.len() >= MAX_RANGES {
            return Err(InvalidArray::TooManyRanges);
        }
        let mut tasks = 0_u64;
        let mut before: Option<u32> = None;
        for range in self.ranges() {
            if range.last < range.first {
                return Err(InvalidArray::Backwards(range));
            }
            // Those that touch would be one.
            if before.is_some_and(|before| u64::from(range.first) <= u64::from(before) + 1) {
                return Err(InvalidArray::Order(range.first));
            }
            before = Some(range.last);
            tasks += u64::from(range.last - range.first) + 1;
        }
        if tasks > u64::from(MAX_TASKS) || before == Some(u32::MAX) {
            Err(InvalidArray::TooMany)
        } else if self.parallel == Some(0) {
            Err(InvalidArray::NoneAtOnce)
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for IndexRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => first.fmt(f),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for ArraySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A single range is written as one, also where it is of one index.
        write!(f, "{}", self.first)?;
        if self.last > self.first || self.more.is_empty() {
            write!(f, "-{}", self.last)?;
        }
        for range in &self.more {
            write!(f, ",{range}")?;
        }
        self.parallel
            .map_or(Ok(()), |parallel| write!(f, "%{parallel}"))
    }
}

impl FromStr for ArraySpec {
    type Err = InvalidArray;

    fn from_str(text: &str) -> Result<Self, InvalidArray> {
        let (ranges, parallel) = match text.split_once('%') {
            None => (text, None),
            Some((ranges, parallel)) => (ranges, Some(number(parallel)?)),
        };
        let mut parsed = Vec::new();
        for range in ranges.split(',') {
            if parsed.len() == MAX_RANGES {
                return Err(InvalidArray::TooManyRanges);
            }
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            parsed.push(IndexRange {
                first: number(first)?,
                last: number(last)?,
            });
        }
        Self::of_ranges(parsed, parallel)
    }
}

fn number(part: &str) -> Result<u32, InvalidArray> {
    let part = part.trim();
    let short = || part.chars().take(20).collect();
    // A sign would do for a number, and nobody writes one here.
    if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidArray::Syntax(short()));
    }
    part.parse().map_err(|_| InvalidArray::TooLarge(short()))
}

/// Why a text is not an [`ArraySpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArray {
    #[error(
        "an array looks like 0-99, 0-99%10 for at most 10 at once, or 0-9,20,30-40%5; {0:?} is no index"
    )]
    Syntax(String),
    #[error("{0} is too large for an index")]
    TooLarge(String),
    #[error("an array has at least one task")]
    Empty,
    #[error("the range {0} ends before it begins")]
    Backwards(IndexRange),
    #[error("index {0} is there twice")]
    Twice(u32),
    #[error("the range that begins with {0} is not apart from the one before it")]
    Order(u32),
    #[error("an array has at most {MAX_TASKS} tasks")]
    TooMany,
    #[error("an array has at most {MAX_RANGES} ranges")]
    TooManyRanges,
    #[error("an array needs at least one task at once")]
    NoneAtOnce,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_read_ranges_and_bounds() {
        let array: ArraySpec = "0-99%10".parse().unwrap();
        assert_eq!((array.task_count(), array.parallel), (100, Some(10)));
        assert_eq!(array.to_string(), "0-99%10");
        let array: ArraySpec = "30-40, 0-9 ,20%5".parse().unwrap();
        assert_eq!(array.task_count(), 22);
        assert_eq!(array.to_string(), "0-9,20,30-40%5");
        assert!(array.contains(20) && array.contains(40) && !array.contains(21));
        for (text, expect) in [
            ("7", "7-7"),
            ("1,0", "0-1"),
            ("3,5", "3,5"),
            ("4-6,0-3", "0-6"),
        ] {
            assert_eq!(text.parse::<ArraySpec>().unwrap().to_string(), expect);
        }
    }

    #[test]
    fn what_is_wrong_with_an_array_is_said() {
        for (text, expect) in [
            ("9-1", "the range 9-1 ends before it begins"),
            ("0-1000000", "an array has at most 1000000 tasks"),
            ("0-4294967295", "an array has at most 1000000 tasks"),
            ("4294967295", "an array has at most 1000000 tasks"),
            ("0-999999,1000001", "an array has at most 1000000 tasks"),
            ("4294967296", "4294967296 is too large for an index"),
            ("0-3%0", "an array needs at least one task at once"),
            ("0-9,5", "index 5 is there twice"),
            ("7,7", "index 7 is there twice"),
        ] {
            assert_eq!(text.parse::<ArraySpec>().unwrap_err().to_string(), expect);
        }
        for bad in [
            "", ",", "0,", "0--3", "-1", "+1", "NaN", "1.5", "0-3%", "0-3%x", "0-3%5%5",
        ] {
            let error = bad.parse::<ArraySpec>().unwrap_err().to_string();
            assert!(error.contains("is no index"), "{bad:?}: {error}");
        }
        let many = vec!["1"; MAX_RANGES + 1].join(",");
        assert_eq!(many.parse::<ArraySpec>(), Err(InvalidArray::TooManyRanges));
    }

    #[test]
    fn ranges_of_a_stranger_are_checked() {
        let array = |more: &[(u32, u32)]| {
            let more = more.iter().map(|&(first, last)| IndexRange { first, last });
            ArraySpec {
                more: more.collect(),
                ..ArraySpec::of(5, 9, None)
            }
        };
        assert_eq!(array(&[(11, 11), (13, 20)]).check(), Ok(()));
        for bad in [
            vec![(10, 12)],
            vec![(0, 3)],
            vec![(7, 7)],
            vec![(12, 11)],
            vec![(11, u32::MAX)],
            vec![(11, u32::MAX), (0, 1)],
            vec![(u32::MAX, u32::MAX)],
        ] {
            assert!(array(&bad).check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_array_of_before_there_were_ranges_is_one() {
        let array: ArraySpec =
            serde_json::from_str(r#"{"first":0,"last":9,"parallel":null}"#).unwrap();
        assert_eq!(array, ArraySpec::of(0, 9, None));
    }
}
