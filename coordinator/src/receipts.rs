//! Who has sent which trees: whoever names a tree must have sent it, or all of it but what was here already.
//!
//! A tree's id is shown to whoever sees a dataset, and chunks are kept once for an org; so that a tree is here says
//! nothing about who may have its bytes. A receipt does: it is given for a tree whose whole description somebody sent,
//! which nobody is shown who may not read the tree. Receipts are in memory, for a while: after a restart, or when too
//! many others came since, the files are sent again, of which nothing travels but the description.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::{
    id::{OrgId, TreeId},
    time::Timestamp,
};
use coordinator_core::Actor;

/// How long somebody may name what they have sent.
const LIFE: Duration = Duration::from_secs(3600);
/// Trees of one sender that are remembered. Beyond that the oldest makes room.
const TREES: usize = 256;
/// Senders that are remembered. Beyond that the one who was quiet for longest makes room.
const SENDERS: usize = 4096;

/// See the module. A program has receipts of its own: what its user sent is not its.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    given: Mutex<Given>,
}

/// Of each sender the trees, newest last.
type Given = HashMap<Actor, VecDeque<Receipt>>;

#[derive(Debug, Clone, Copy)]
struct Receipt {
    org: OrgId,
    tree: TreeId,
    at: Timestamp,
}

impl Receipt {
    fn is_good(self, now: Timestamp) -> bool {
        now < self.at.saturating_add(LIFE)
    }
}

impl Receipts {
    /// Notes that all of the tree is here and that `from` has sent it.
    pub(crate) fn give(&self, from: Actor, org: OrgId, tree: TreeId, now: Timestamp) {
        let mut given = self.given();
        if !given.contains_key(&from) {
            make_room(&mut given, now);
        }
        let trees = given.entry(from).or_default();
        let same = |receipt: &Receipt| (receipt.org, receipt.tree) == (org, tree);
        trees.retain(|receipt| !same(receipt) && receipt.is_good(now));
        if trees.len() >= TREES {
            trees.pop_front();
        }
        trees.push_back(Receipt { org, tree, at: now });
    }

    /// Returns whether `from` has sent the tree to the org of late.
    pub(crate) fn has(&self, from: Actor, org: OrgId, tree: TreeId, now: Timestamp) -> bool {
        let given = self.given();
        let mut trees = given.get(&from).into_iter().flatten();
        trees.any(|receipt| (receipt.org, receipt.tree) == (org, tree) && receipt.is_good(now))
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        // The table is whole whatever a thread that held it did.
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(given: &mut Given, now: Timestamp) {
    if given.len() < SENDERS {
        return;
    }
    let newest = |trees: &VecDeque<Receipt>| trees.back().map(|receipt| receipt.at);
    given.retain(|_, trees| trees.back().is_some_and(|receipt| receipt.is_good(now)));
    if given.len() >= SENDERS {
        let quiet = given.iter().min_by_key(|(_, trees)| newest(trees));
        if let Some(quiet) = quiet.map(|(from, _)| *from) {
            given.remove(&quiet);
        }
    }
}

#[cfg(test)]
mod tests {
    use common::id::{TokenId, UserId};

    use super::*;

    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

    fn user(number: u128) -> Actor {
        Actor::User(UserId::from_bytes(number.to_be_bytes()))
    }

    fn tree(number: usize) -> TreeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        TreeId::new(bytes)
    }

    #[test]
    fn a_receipt_is_good_for_its_sender_and_for_a_while() {
        let receipts = Receipts::default();
        let id = UserId::from_bytes([1; 16]);
        let program = Actor::Program {
            user: id,
            token: TokenId::from_bytes([2; 16]),
        };
        receipts.give(Actor::User(id), ORG, tree(1), NOW);
        assert!(receipts.has(Actor::User(id), ORG, tree(1), NOW));
        assert!(!receipts.has(Actor::User(id), ORG, tree(2), NOW));
        assert!(!receipts.has(user(7), ORG, tree(1), NOW));
        let other = OrgId::from_bytes([2; 16]);
        assert!(!receipts.has(Actor::User(id), other, tree(1), NOW));
        assert!(!receipts.has(program, ORG, tree(1), NOW));
        let later = NOW.saturating_add(LIFE);
        assert!(!receipts.has(Actor::User(id), ORG, tree(1), later));
        receipts.give(Actor::User(id), ORG, tree(1), later);
        assert!(receipts.has(Actor::User(id), ORG, tree(1), later));
    }

    #[test]
    fn the_table_is_bounded_and_the_newest_stay() {
        let receipts = Receipts::default();
        for number in 0..=TREES {
            receipts.give(user(0), ORG, tree(number), NOW);
        }
        assert_eq!(receipts.given()[&user(0)].len(), TREES);
        assert!(!receipts.has(user(0), ORG, tree(0), NOW));
        assert!(receipts.has(user(0), ORG, tree(TREES), NOW));
        let later = NOW.saturating_add(Duration::from_secs(1));
        for number in 1..=SENDERS {
            receipts.give(user(number as u128), ORG, tree(1), later);
        }
        assert_eq!(receipts.given().len(), SENDERS);
        assert!(!receipts.has(user(0), ORG, tree(TREES), later));
        assert!(receipts.has(user(SENDERS as u128), ORG, tree(1), later));
    }
}
