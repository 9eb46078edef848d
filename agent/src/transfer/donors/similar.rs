//! What two versions of a file have in common, found by walking both side by side: most of a new version stands in the
//! order of the one before, so that few of its chunks have to be looked for among all.

use common::tree::ChunkRef;

/// How far behind a difference the two are expected to agree again: half a mebibyte of the smallest usual chunks.
const WINDOW: usize = 64;
/// Comparisons for each chunk, on average: files that agree nowhere, or were made up to be slow, are given up.
const MOST_EACH: usize = 16;

/// Calls `same` with the positions of equal chunks, both rising. What it does not find may be there all the same.
pub(super) fn walk(ours: &[ChunkRef], theirs: &[ChunkRef], mut same: impl FnMut(usize, usize)) {
    let mut may_compare = (ours.len() + theirs.len()) * MOST_EACH;
    let (mut own, mut other) = (0, 0);
    while let (Some(one), Some(two)) = (ours.get(own), theirs.get(other)) {
        if one == two {
            same(own, other);
            (own, other) = (own + 1, other + 1);
            continue;
        }
        let ahead = (&ours[own..], &theirs[other..]);
        let Some((ours_on, theirs_on)) = agree_again(ahead.0, ahead.1, &mut may_compare) else {
            return;
        };
        (own, other) = (own + ours_on, other + theirs_on);
    }
}

/// Returns how many chunks of each differ before they agree, as few as possible; they differ in the first.
fn agree_again(
    ours: &[ChunkRef],
    theirs: &[ChunkRef],
    may_compare: &mut usize,
) -> Option<(usize, usize)> {
    for far in 1..WINDOW {
        *may_compare = may_compare.checked_sub(2 * far + 1)?;
        for near in 0..=far {
            let agree = |own: usize, other: usize| {
                ours.get(own)
                    .is_some_and(|one| theirs.get(other) == Some(one))
            };
            if agree(far, near) {
                return Some((far, near));
            }
            if agree(near, far) {
                return Some((near, far));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use common::tree::chunk_id;

    use super::*;

    fn chunks(text: &str) -> Vec<ChunkRef> {
        let chunk = |byte: u8| ChunkRef {
            id: chunk_id(&[byte]),
            bytes: 1,
        };
        text.bytes().map(chunk).collect()
    }

    fn same(ours: &[ChunkRef], theirs: &[ChunkRef]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        walk(ours, theirs, |one, two| found.push((one, two)));
        found
    }

    #[test]
    fn what_stands_in_order_is_found_around_what_was_changed_added_and_taken_away() {
        let check = |ours: &str, theirs: &str, expect: &[(usize, usize)]| {
            assert_eq!(same(&chunks(ours), &chunks(theirs)), expect, "{ours}");
        };
        check("abc", "abc", &[(0, 0), (1, 1), (2, 2)]);
        check("aXc", "abc", &[(0, 0), (2, 2)]);
        check("aXYbc", "abc", &[(0, 0), (3, 1), (4, 2)]);
        check("ad", "abcd", &[(0, 0), (1, 3)]);
        check("XYZ", "abc", &[]);
        check("", "abc", &[]);
        check("abX", "ab", &[(0, 0), (1, 1)]);
    }

    #[test]
    fn files_that_are_made_up_to_be_slow_are_given_up() {
        // They agree once in so many chunks that each time almost all of a window is compared.
        let number = |number: u32| ChunkRef {
            id: chunk_id(&number.to_le_bytes()),
            bytes: 1,
        };
        let common = |at: u32| at.is_multiple_of(60);
        let ours: Vec<_> = (0..100_000)
            .map(|at| number(if common(at) { at } else { at + 1_000_000 }))
            .collect();
        let theirs: Vec<_> = (0..100_000)
            .map(|at| number(if common(at) { at } else { at + 2_000_000 }))
            .collect();
        let found = same(&ours, &theirs).len();
        assert!((100..1600).contains(&found), "{found}");
    }
}
