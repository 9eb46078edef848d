//! The cache of trees and unpacked images as a plan: what to fetch for what is wanted, and what to give up.
//!
//! Knows sizes, last uses and what is in use; touches no file. The agent's cache performs it.

use std::collections::BTreeSet;

use common::{id::TreeId, image::ImageDigest, time::Timestamp, units::Bytes};

/// What the cache can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Tree(TreeId),
    /// Unpacked, from a registry, by the digest that the job pinned.
    Image(ImageDigest),
    /// Unpacked, from a tree that is an OCI image layout.
    Imported(TreeId),
}

/// Something in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    pub item: Item,
    /// Room that it takes on the disk.
    pub bytes: Bytes,
    pub last_used: Timestamp,
    /// Somebody uses it or it is on its way: it cannot go.
    pub pinned: bool,
}

/// Returns the trees of `wanted` that have to be fetched, each once, in the order in which they are wanted.
pub fn missing(wanted: impl IntoIterator<Item = TreeId>, cached: &[Cached]) -> Vec<TreeId> {
    let mut seen: BTreeSet<Item> = cached.iter().map(|cached| cached.item).collect();
    wanted
        .into_iter()
        .filter(|tree| seen.insert(Item::Tree(*tree)))
        .collect()
}

/// Returns what to evict, longest unused first and no more than necessary, so that `needed` more bytes fit
/// within `limit`.
///
/// # Errors
/// What is in use leaves too little room. Nothing is to be evicted then.
pub fn make_room(cached: &[Cached], limit: Bytes, needed: Bytes) -> Result<Vec<Item>, NoRoom> {
    let sum = |bytes: u64, cached: &Cached| bytes.saturating_add(cached.bytes.0);
    let pinned = cached.iter().filter(|cached| cached.pinned).fold(0, sum);
    if pinned.saturating_add(needed.0) > limit.0 {
        return Err(NoRoom {
            needed,
            limit,
            pinned: Bytes(pinned),
        });
    }
    let mut used = cached.iter().fold(0, sum);
    let mut idle: Vec<&Cached> = cached.iter().filter(|cached| !cached.pinned).collect();
    idle.sort_by_key(|cached| (cached.last_used, cached.item));
    let mut evicted = Vec::new();
    for cached in idle {
        if used.saturating_add(needed.0) <= limit.0 {
            break;
        }
        used -= cached.bytes.0;
        evicted.push(cached.item);
    }
    Ok(evicted)
}

/// The cache cannot take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} are needed, but the cache may hold {limit} and {pinned} of that are in use")]
pub struct NoRoom {
    pub needed: Bytes,
    pub limit: Bytes,
    pub pinned: Bytes,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn tree(number: u8) -> TreeId {
        TreeId::new([number; 32])
    }

    fn cached(number: u8, bytes: u64, last_used: u64, pinned: bool) -> Cached {
        let last_used = Timestamp::from_unix_ms(last_used);
        Cached {
            item: Item::Tree(tree(number)),
            bytes: Bytes(bytes),
            last_used,
            pinned,
        }
    }

    #[test]
    fn the_longest_unused_goes_first_and_no_more_than_needed() {
        let all = [
            cached(1, 40, 30, false),
            cached(2, 40, 10, true),
            cached(3, 20, 20, false),
        ];
        assert_eq!(make_room(&all, Bytes(100), Bytes(0)), Ok(vec![]));
        assert_eq!(
            make_room(&all, Bytes(100), Bytes(20)),
            Ok(vec![Item::Tree(tree(3))])
        );
        assert_eq!(
            make_room(&all, Bytes(100), Bytes(21)),
            Ok(vec![Item::Tree(tree(3)), Item::Tree(tree(1))])
        );
        let refused = NoRoom {
            needed: Bytes(61),
            limit: Bytes(100),
            pinned: Bytes(40),
        };
        assert_eq!(make_room(&all, Bytes(100), Bytes(61)), Err(refused));
        assert_eq!(
            make_room(&[], Bytes(1), Bytes(u64::MAX))
                .unwrap_err()
                .pinned,
            Bytes(0)
        );
    }

    #[test]
    fn what_is_there_or_asked_for_already_is_not_missing() {
        let all = [cached(1, 1, 1, false)];
        assert_eq!(
            missing([tree(2), tree(1), tree(3), tree(2)], &all),
            [tree(2), tree(3)]
        );
    }

    fn any_cache() -> impl Strategy<Value = Vec<Cached>> {
        let one = (0_u64..1000, 0_u64..5, any::<bool>());
        proptest::collection::vec(one, 0..20).prop_map(|all| {
            let numbered = (0_u8..).zip(all);
            numbered
                .map(|(n, (bytes, used, pinned))| cached(n, bytes, used, pinned))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_plan_fits_spares_what_is_used_and_wastes_nothing(
            all in any_cache(), limit in 0_u64..10_000, needed in 0_u64..5000,
        ) {
            let total = |keep: &dyn Fn(&Cached) -> bool| -> u64 {
                all.iter().filter(|cached| keep(cached)).map(|cached| cached.bytes.0).sum()
            };
            match make_room(&all, Bytes(limit), Bytes(needed)) {
                Err(refused) => {
                    prop_assert!(total(&|cached| cached.pinned) + needed > limit);
                    prop_assert_eq!(refused.pinned.0, total(&|cached| cached.pinned));
                }
                Ok(evicted) => {
                    prop_assert!(total(&|cached| !evicted.contains(&cached.item)) + needed <= limit);
                    let gone = |cached: &&Cached| evicted.contains(&cached.item);
                    prop_assert!(all.iter().filter(gone).all(|cached| !cached.pinned));
                    let newest_gone = all.iter().filter(gone).map(|cached| cached.last_used).max();
                    for kept in all.iter().filter(|cached| !gone(cached) && !cached.pinned) {
                        prop_assert!(newest_gone.is_none_or(|newest| newest <= kept.last_used));
                    }
                    if let Some((last, before)) = evicted.split_last() {
                        let without_last = |cached: &Cached| !before.contains(&cached.item);
                        prop_assert!(total(&without_last) + needed > limit, "{last:?} went for nothing");
                    }
                }
            }
        }
    }
}
