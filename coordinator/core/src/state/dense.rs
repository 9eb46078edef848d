//! A sorted map for a million rows. New keys of jobs and attempts come after all others, and the nodes of a B-tree that
//! only grows at its end stay half empty; here the rows lie in blocks that grow by a few at a time and stay full.

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    iter::Flatten,
    ops::{Bound, Index, RangeBounds},
    slice,
};

/// Rows of a block: what is moved at most where one is put among others.
const MOST: usize = 32;
/// By how many rows a block grows: no more than that are empty.
const STEP: usize = 4;

/// Blocks by a key that is not after any of theirs; none is empty.
#[derive(Clone)]
pub(crate) struct Dense<K, V>(BTreeMap<K, Vec<(K, V)>>);

/// All of a [`Dense`], in the order of its keys.
#[derive(Debug)]
pub(crate) struct Iter<'a, K, V>(Flatten<btree_map::Values<'a, K, Vec<(K, V)>>>);

impl<K, V> Dense<K, V> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K, V> Default for Dense<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| (key, value))
    }
}

impl<K: Ord + Copy, V> Dense<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (_, block) = self.0.range(..=*key).next_back()?;
        let at = find(block, key).ok()?;
        Some(&block[at].1)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (_, block) = self.0.range_mut(..=*key).next_back()?;
        let at = find(block, key).ok()?;
        Some(&mut block[at].1)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        let (_, block) = self.0.first_key_value()?;
        block.first().map(|(key, value)| (key, value))
    }

    pub(crate) fn last(&self) -> Option<(&K, &V)> {
        let (_, block) = self.0.last_key_value()?;
        block.last().map(|(key, value)| (key, value))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(first) = self.block_for(key) else {
            self.put_block(vec![(key, value)]);
            return None;
        };
        let is_last = self
            .0
            .last_key_value()
            .is_some_and(|(last, _)| *last == first);
        if key < first {
            let block = self.0.remove(&first)?;
            self.0.insert(key, block);
        }
        let first = first.min(key);
        let block = self.0.get_mut(&first)?;
        let at = match find(block, &key) {
            Ok(at) => return Some(std::mem::replace(&mut block[at].1, value)),
            Err(at) => at,
        };
        if block.len() < MOST {
            put(block, at, (key, value));
        } else if is_last && at == MOST {
            self.put_block(vec![(key, value)]);
        } else {
            let mut upper = block.split_off(MOST / 2);
            block.shrink_to_fit();
            match at.checked_sub(MOST / 2) {
                Some(at) if at > 0 => put(&mut upper, at, (key, value)),
                _ => put(block, at, (key, value)),
            }
            self.put_block(upper);
        }
        None
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (first, block) = self.0.range_mut(..=*key).next_back()?;
        let (first, at) = (*first, find(block, key).ok()?);
        let (_, value) = block.remove(at);
        if block.capacity() - block.len() > STEP {
            block.shrink_to_fit();
        }
        if block.len() <= MOST / 4 {
            self.join(first);
        }
        Some(value)
    }

    /// Takes in what comes after all of this.
    pub(crate) fn append(&mut self, later: Self) {
        for (_, block) in later.0 {
            let last = self.last().map(|(last, _)| *last);
            if block.first().is_some_and(|(key, _)| last < Some(*key)) {
                self.put_block(block);
            } else {
                for (key, value) in block {
                    self.insert(key, value);
                }
            }
        }
    }

    pub(crate) fn range(
        &self,
        keys: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        let (start, end) = (keys.start_bound().cloned(), keys.end_bound().cloned());
        let from = match start {
            Bound::Included(key) | Bound::Excluded(key) => self.0.range(..=key).next_back(),
            Bound::Unbounded => None,
        };
        let from = from.map_or(start, |(first, _)| Bound::Included(*first));
        let blocks = self.0.range((from, end));
        blocks.flat_map(move |(_, block)| {
            let from = block.partition_point(|(key, _)| match start {
                Bound::Included(start) => *key < start,
                Bound::Excluded(start) => *key <= start,
                Bound::Unbounded => false,
            });
            let to = block.partition_point(|(key, _)| match end {
                Bound::Included(end) => *key <= end,
                Bound::Excluded(end) => *key < end,
                Bound::Unbounded => true,
            });
            let rows: slice::Iter<'_, (K, V)> = block.get(from..to).unwrap_or_default().iter();
            rows.map(|(key, value)| (key, value))
        })
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.0.values().flatten())
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Returns the name of the block in which a key has its place.
    fn block_for(&self, key: K) -> Option<K> {
        let before = self.0.range(..=key).next_back();
        before
            .or_else(|| self.0.first_key_value())
            .map(|(first, _)| *first)
    }

    fn put_block(&mut self, block: Vec<(K, V)>) {
        if let Some((first, _)) = block.first() {
            self.0.insert(*first, block);
        }
    }

    /// Puts a block that became small together with the one after it, where they have room in one.
    fn join(&mut self, first: K) {
        let after = (Bound::Excluded(first), Bound::Unbounded);
        let next = self.0.range(after).next();
        let next = next.map(|(next, block)| (*next, block.len()));
        let Some(block) = self.0.get_mut(&first) else {
            return;
        };
        if block.is_empty() {
            self.0.remove(&first);
        } else if let Some((next, length)) = next
            && block.len() + length <= MOST / 2
        {
            let rows = self.0.remove(&next).unwrap_or_default();
            if let Some(block) = self.0.get_mut(&first) {
                block.reserve_exact(rows.len());
                block.extend(rows);
            }
        }
    }
}

fn find<K: Ord, V>(block: &[(K, V)], key: &K) -> Result<usize, usize> {
    block.binary_search_by(|(other, _)| other.cmp(key))
}

fn put<K, V>(block: &mut Vec<(K, V)>, at: usize, row: (K, V)) {
    if block.len() == block.capacity() {
        block.reserve_exact(STEP.min(MOST - block.len()));
    }
    block.insert(at, row);
}

impl<'a, K: Ord + Copy, V> IntoIterator for &'a Dense<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord + Copy, V> Index<&K> for Dense<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("who indexes knows that it is there")
    }
}

/// Compares rows, however they lie in blocks.
impl<K: Ord + Copy, V: PartialEq> PartialEq for Dense<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Ord + Copy, V: Eq> Eq for Dense<K, V> {}

impl<K: Ord + Copy + fmt::Debug, V: fmt::Debug> fmt::Debug for Dense<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn blocks_are_sound(dense: &Dense<u8, u32>) -> bool {
        dense.0.iter().all(|(first, block)| {
            (1..=MOST).contains(&block.len()) && block.iter().all(|(key, _)| first <= key)
        })
    }

    #[test]
    fn what_comes_in_order_fills_its_blocks() {
        let mut dense = Dense::default();
        for key in 0..10_000u32 {
            dense.insert(key, key);
        }
        let held: usize = dense.0.values().map(Vec::capacity).sum();
        assert!(held <= 10_000 + STEP && dense.len() == 10_000, "{held}");
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u8..4, any::<u8>(), any::<u8>()), 0..600)) {
            let (mut dense, mut map) = (Dense::default(), BTreeMap::new());
            for (number, (step, key, other)) in (0u32..).zip(steps) {
                if step == 0 {
                    prop_assert_eq!(dense.remove(&key), map.remove(&key));
                } else {
                    prop_assert_eq!(dense.insert(key, number), map.insert(key, number));
                }
                prop_assert!(blocks_are_sound(&dense));
                prop_assert_eq!(dense.get(&other), map.get(&other));
                prop_assert_eq!(dense.first(), map.first_key_value());
                prop_assert_eq!(dense.last(), map.last_key_value());
                prop_assert_eq!(dense.is_empty(), map.is_empty());
                let (from, to) = (key.min(other), key.max(other));
                prop_assert!(dense.range(from..to).eq(map.range(from..to)));
                prop_assert!(dense.range(from..=to).rev().eq(map.range(from..=to).rev()));
                prop_assert!(dense.range(from..).eq(map.range(from..)));
            }
            prop_assert!(dense.iter().eq(&map) && dense.len() == map.len());
            let (mut lower, mut upper) = (Dense::default(), Dense::default());
            for (key, value) in &map {
                let part = if *key < 100 { &mut lower } else { &mut upper };
                part.insert(*key, *value);
            }
            lower.append(upper);
            prop_assert!(blocks_are_sound(&lower));
            prop_assert_eq!(lower, dense);
        }
    }
}
