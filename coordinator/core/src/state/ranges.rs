//! A set of task indices as ranges: a million queued tasks of an array are one pair of numbers.

use std::collections::BTreeMap;

use common::job::IndexRange;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Indices. Most jobs have one task, so that one range lies here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum TaskRanges {
    #[default]
    None,
    One(IndexRange),
    /// Two ranges or more, each by its first with its last; they never touch.
    #[expect(
        clippy::box_collection,
        reason = "every row has room for the largest of these"
    )]
    Many(Box<BTreeMap<u32, u32>>),
}

impl TaskRanges {
    /// Returns all indices of these ranges, which do not touch.
    pub(crate) fn of(ranges: impl IntoIterator<Item = IndexRange>) -> Self {
        let ranges = ranges.into_iter();
        Self::from(
            ranges
                .map(|range| (range.first, range.last))
                .collect::<BTreeMap<_, _>>(),
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::None
    }

    /// Returns the least index that is not below `from`.
    pub(crate) fn first_from(&self, from: u32) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(range) => (from <= range.last).then_some(from.max(range.first)),
            Self::Many(ranges) => match around(ranges, from) {
                Some(_) => Some(from),
                None => ranges.range(from..).next().map(|(first, _)| *first),
            },
        }
    }

    pub(crate) fn contains(&self, index: u32) -> bool {
        self.first_from(index) == Some(index)
    }

    /// Takes an index out and returns whether it was in.
    pub(crate) fn remove(&mut self, index: u32) -> bool {
        if !self.contains(index) {
            return false;
        }
        match self {
            Self::One(range) if range.first == range.last => *self = Self::None,
            _ => self.change(|ranges| {
                if let Some((first, last)) = around(ranges, index) {
                    ranges.remove(&first);
                    if first < index {
                        ranges.insert(first, index - 1);
                    }
                    if index < last {
                        ranges.insert(index + 1, last);
                    }
                }
            }),
        }
        true
    }

    /// Puts an index in and returns whether it was out.
    pub(crate) fn insert(&mut self, index: u32) -> bool {
        if self.contains(index) {
            return false;
        }
        self.change(|ranges| {
            let before = index.checked_sub(1).and_then(|left| around(ranges, left));
            let after = index.checked_add(1).and_then(|right| ranges.remove(&right));
            let first = before.map_or(index, |(first, _)| first);
            ranges.insert(first, after.unwrap_or(index));
        });
        true
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::None;
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<u32, u32>)) {
        if let Self::Many(ranges) = self
            && ranges.len() > 2
        {
            // At least two are left.
            return change(ranges);
        }
        let mut ranges: BTreeMap<u32, u32> = self.pairs().collect();
        change(&mut ranges);
        *self = Self::from(ranges);
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(range) => (Some((range.first, range.last)), None),
            Self::Many(ranges) => (None, Some(ranges)),
        };
        let many = many.into_iter().flat_map(|ranges| ranges.iter());
        one.into_iter()
            .chain(many.map(|(first, last)| (*first, *last)))
    }
}

impl From<BTreeMap<u32, u32>> for TaskRanges {
    fn from(ranges: BTreeMap<u32, u32>) -> Self {
        match (ranges.len(), ranges.first_key_value()) {
            (1, Some((&first, &last))) => Self::One(IndexRange { first, last }),
            (0, _) | (_, None) => Self::None,
            _ => Self::Many(Box::new(ranges)),
        }
    }
}

fn around(ranges: &BTreeMap<u32, u32>, index: u32) -> Option<(u32, u32)> {
    let (first, last) = ranges.range(..=index).next_back()?;
    (*last >= index).then_some((*first, *last))
}

/// A list of pairs, first and last.
impl Serialize for TaskRanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pairs())
    }
}

impl<'de> Deserialize<'de> for TaskRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(u32, u32)>::deserialize(deserializer)?;
        let apart = pairs
            .windows(2)
            .all(|two| two[0].1.checked_add(1).is_some_and(|next| next < two[1].0));
        if !apart || pairs.iter().any(|(first, last)| last < first) {
            return Err(D::Error::custom("ranges of tasks are not in order"));
        }
        Ok(Self::from(pairs.into_iter().collect::<BTreeMap<_, _>>()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn count(ranges: &TaskRanges) -> u32 {
        let lengths = ranges.pairs().map(|(first, last)| last - first + 1);
        lengths.sum()
    }

    #[test]
    fn taking_one_out_of_the_middle_leaves_two_ranges() {
        let ten = IndexRange { first: 0, last: 9 };
        let mut ranges = TaskRanges::of([ten]);
        assert!(ranges.remove(5) && !ranges.remove(5));
        assert_eq!(serde_json::to_string(&ranges).unwrap(), "[[0,4],[6,9]]");
        assert!(ranges.insert(5) && !ranges.insert(5));
        assert_eq!(ranges, TaskRanges::of([ten]));
    }

    #[test]
    fn overlapping_rows_are_refused() {
        for bad in [
            "[[0,4],[5,9]]",
            "[[4,0]]",
            "[[5,9],[0,1]]",
            "[[0,4294967295],[3,4]]",
        ] {
            assert!(serde_json::from_str::<TaskRanges>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ranges_are_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..40), 0..200)) {
            let (mut ranges, mut set) = (TaskRanges::default(), BTreeSet::new());
            for (put, index) in steps {
                if put {
                    prop_assert_eq!(ranges.insert(index), set.insert(index));
                } else {
                    prop_assert_eq!(ranges.remove(index), set.remove(&index));
                }
                prop_assert_eq!(count(&ranges) as usize, set.len());
                prop_assert_eq!(ranges.first_from(index), set.range(index..).next().copied());
                let json = serde_json::to_string(&ranges).unwrap();
                prop_assert_eq!(&serde_json::from_str::<TaskRanges>(&json).unwrap(), &ranges);
            }
        }
    }
}
