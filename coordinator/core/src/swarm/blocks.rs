//! Sets of a tree's blocks, a bit each.

use common::wire::peer::MAX_BLOCKS;

/// Bits of a word.
const WORD: u32 = 64;

/// Some of the blocks from 0 to a bound that all sets of one swarm share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks(Vec<u64>);

impl Blocks {
    pub fn none(blocks: u32) -> Self {
        Self(vec![0; blocks.div_ceil(WORD) as usize])
    }

    pub fn all(blocks: u32) -> Self {
        let mut words = vec![u64::MAX; blocks.div_ceil(WORD) as usize];
        if let Some(last) = words.last_mut()
            && !blocks.is_multiple_of(WORD)
        {
            *last = (1 << (blocks % WORD)) - 1;
        }
        Self(words)
    }

    /// Reads a set; `None` if it is not one of this many blocks.
    pub fn from_words(blocks: u32, words: Vec<u64>) -> Option<Self> {
        // Before anything is made of that size.
        if blocks > MAX_BLOCKS {
            return None;
        }
        let read = Self(words);
        let fits = read.0.len() == blocks.div_ceil(WORD) as usize;
        let inside = |(word, all): (&u64, &u64)| word & !all == 0;
        (fits && read.0.iter().zip(&Self::all(blocks).0).all(inside)).then_some(read)
    }

    pub fn has(&self, block: u32) -> bool {
        let word = self.0.get((block / WORD) as usize);
        word.is_some_and(|word| word >> (block % WORD) & 1 == 1)
    }

    pub fn insert(&mut self, block: u32) {
        if let Some(word) = self.0.get_mut((block / WORD) as usize) {
            *word |= 1 << (block % WORD);
        }
    }

    pub fn remove(&mut self, block: u32) {
        if let Some(word) = self.0.get_mut((block / WORD) as usize) {
            *word &= !(1 << (block % WORD));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn take(&mut self, other: &Self) {
        for (word, less) in self.0.iter_mut().zip(&other.0) {
            *word &= !less;
        }
    }

    /// Returns the first block of both sets from `start` on, beginning again at 0.
    pub(super) fn first_in(&self, other: &Self, start: u32) -> Option<u32> {
        let words = self.0.len();
        let begin = (start / WORD) as usize % words.max(1);
        // The word in which it begins is looked at twice: above the start, and at last below.
        (0..=words).find_map(|step| {
            let index = (begin + step) % words.max(1);
            let mut both = self.0.get(index)? & other.0.get(index)?;
            if step == 0 {
                both &= u64::MAX << (start % WORD);
            }
            let bit = both.trailing_zeros();
            let index = u32::try_from(index).ok()?;
            (both != 0).then_some(index * WORD + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sets_are_as_sets_of_numbers(
            blocks in 1_u32..300, one: Vec<u32>, other: Vec<u32>, start: u32,
        ) {
            let start = start % blocks;
            let set = |numbers: &[u32]| {
                let mut set = Blocks::none(blocks);
                numbers.iter().for_each(|number| set.insert(number % blocks));
                set
            };
            let (one, other) = (set(&one), set(&other));
            let both = |block: &u32| one.has(*block) && other.has(*block);
            let expect = (start..blocks).chain(0..start).find(both);
            prop_assert_eq!(one.first_in(&other, start), expect);
            let mut rest = one.clone();
            rest.take(&other);
            for block in 0..blocks {
                prop_assert_eq!(rest.has(block), one.has(block) && !other.has(block));
                prop_assert!(Blocks::all(blocks).has(block));
            }
            prop_assert!(!Blocks::all(blocks).has(blocks));
            prop_assert_eq!(Blocks::from_words(blocks, one.0.clone()), Some(one));
        }

        #[test]
        fn hostile_words_are_refused(blocks in 0_u32..200, words: Vec<u64>) {
            if let Some(set) = Blocks::from_words(blocks, words) {
                prop_assert!((blocks..blocks + 64).all(|block| !set.has(block)));
            }
        }
    }
}
