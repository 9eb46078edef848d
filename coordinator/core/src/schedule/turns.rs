//! Whose turn it is among the members with jobs of one priority: the smaller share first, then the older job.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map::Entry, btree_set},
    iter::{Copied, Peekable},
};

use common::{
    id::{JobId, UserId},
    job::JobNumber,
};

use super::candidates::Candidates;
use crate::state::queue::{ClassId, Waiting};

/// The members in their order. Whose share is too large to come next is not looked at any closer.
pub(super) struct Turns<'a> {
    members: &'a BTreeMap<UserId, Waiting>,
    /// By share; their jobs were not looked at.
    later: BinaryHeap<Reverse<(u64, UserId)>>,
    /// By share and oldest job.
    ready: BinaryHeap<Reverse<(u64, Head, UserId)>>,
    lines: BTreeMap<UserId, Line<'a>>,
}

/// A job, and its class.
pub(super) type Head = (JobNumber, JobId, ClassId);

/// The jobs of one member at one priority that are still to be looked at. What fits nowhere, or was given up, stays so
/// for the pass: nothing is passed by twice.
pub(super) struct Line<'a> {
    waiting: &'a Waiting,
    /// The oldest jobs of classes that were not touched are here or behind.
    heads: Peekable<Copied<btree_set::Iter<'a, (JobNumber, ClassId)>>>,
    /// Classes of which this pass took jobs, with those that are left, or that it gave up.
    touched: BTreeMap<ClassId, Option<Rest<'a>>>,
    /// The next jobs of those that were touched.
    next: BTreeSet<Head>,
}

/// What is left of a class: the next job, if it is not over, and those after it.
struct Rest<'a> {
    next: Option<Head>,
    after: btree_set::Iter<'a, (JobNumber, JobId)>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(
        members: &'a BTreeMap<UserId, Waiting>,
        share: impl Fn(UserId) -> u64,
    ) -> Self {
        let later = members.keys().map(|user| Reverse((share(*user), *user)));
        Self {
            members,
            later: later.collect(),
            ready: BinaryHeap::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Returns the member whose turn it is, and the job that was the oldest when the turn was given.
    pub(super) fn next(&mut self, candidates: &Candidates<'_>) -> Option<(UserId, Head)> {
        loop {
            let least = self.ready.peek().map(|Reverse((share, _, _))| *share);
            match self.later.peek() {
                // Of equal shares the older job comes first, so all of them have to be known.
                Some(Reverse((share, user))) if least.is_none_or(|least| *share <= least) => {
                    let (share, user) = (*share, *user);
                    self.later.pop();
                    self.again(user, share, candidates);
                }
                _ => {
                    return self
                        .ready
                        .pop()
                        .map(|Reverse((_, head, user))| (user, head));
                }
            }
        }
    }

    /// Returns a member's jobs.
    pub(super) fn line(&mut self, user: UserId) -> Option<&mut Line<'a>> {
        match self.lines.entry(user) {
            Entry::Occupied(line) => Some(line.into_mut()),
            Entry::Vacant(new) => Some(new.insert(Line::new(self.members.get(&user)?))),
        }
    }

    /// Gives the member another turn, with the share that it has now.
    pub(super) fn again(&mut self, user: UserId, share: u64, candidates: &Candidates<'_>) {
        let line = self.line(user);
        let next = line.and_then(|line| line.first(candidates));
        let turn = next.map(|head| Reverse((share, head, user)));
        self.ready.extend(turn);
    }
}

impl<'a> Line<'a> {
    fn new(waiting: &'a Waiting) -> Self {
        Self {
            waiting,
            heads: waiting.heads().peekable(),
            touched: BTreeMap::new(),
            next: BTreeSet::new(),
        }
    }

    /// Returns the oldest job of a class that may start somewhere.
    fn first(&mut self, candidates: &Candidates<'_>) -> Option<Head> {
        let touched = &self.touched;
        let passed = |class: &ClassId| touched.contains_key(class) || !candidates.has(*class);
        while self.heads.next_if(|(_, class)| passed(class)).is_some() {}
        let untouched = self.heads.peek().and_then(|(_, class)| {
            let (number, id) = self.waiting.jobs(*class).next()?;
            Some((*number, *id, *class))
        });
        while let Some((_, _, class)) = self.next.first()
            && !candidates.has(*class)
        {
            self.next.pop_first();
        }
        self.next
            .first()
            .copied()
            .into_iter()
            .chain(untouched)
            .min()
    }

    /// Goes on with the next job of a class.
    pub(super) fn advance(&mut self, class: ClassId) {
        let rest = self.touched.entry(class).or_insert_with(|| {
            let mut after = self.waiting.jobs(class);
            after.next();
            Some(Rest { next: None, after })
        });
        let Some(rest) = rest else {
            return;
        };
        if let Some(before) = rest.next.take() {
            self.next.remove(&before);
        }
        rest.next = rest.after.next().map(|(number, id)| (*number, *id, class));
        self.next.extend(rest.next);
    }

    /// Gives up a class.
    pub(super) fn give_up(&mut self, class: ClassId) {
        if let Some(Some(Rest {
            next: Some(next), ..
        })) = self.touched.insert(class, None)
        {
            self.next.remove(&next);
        }
    }
}
