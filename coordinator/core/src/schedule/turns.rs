//! Whose turn it is among the members with jobs of one priority: the smaller share first, then the older job.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map::Entry, btree_set},
    sync::Arc,
};

use common::{
    id::{JobId, UserId},
    job::JobNumber,
};

use super::candidates::Candidates;
use crate::state::queue::{Class, Classes};

/// The members in their order. Whose share is too large to come next is not looked at any closer.
pub(super) struct Turns<'a> {
    members: &'a BTreeMap<UserId, Classes>,
    /// By share; their jobs were not looked at.
    later: BinaryHeap<Reverse<(u64, UserId)>>,
    /// By share and oldest job.
    ready: BinaryHeap<Reverse<(u64, JobNumber, UserId)>>,
    lines: BTreeMap<UserId, Line<'a>>,
}

/// The jobs of one member at one priority that are still to be looked at.
pub(super) struct Line<'a> {
    /// The oldest job of each class, with the class's place in `classes`.
    heads: BTreeSet<(JobNumber, JobId, usize)>,
    classes: Vec<(&'a Arc<Class>, btree_set::Iter<'a, (JobNumber, JobId)>)>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(
        members: &'a BTreeMap<UserId, Classes>,
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

    /// Returns the member whose turn it is.
    pub(super) fn next(&mut self, candidates: &Candidates<'_>) -> Option<UserId> {
        loop {
            let least = self.ready.peek().map(|Reverse((share, _, _))| *share);
            match self.later.peek() {
                // Of equal shares the older job comes first, so all of them have to be known.
                Some(Reverse((share, user))) if least.is_none_or(|least| *share <= least) => {
                    let (share, user) = (*share, *user);
                    self.later.pop();
                    let number = self.line(user, candidates).and_then(Line::oldest);
                    self.ready
                        .extend(number.map(|number| Reverse((share, number, user))));
                }
                _ => return self.ready.pop().map(|Reverse((_, _, user))| user),
            }
        }
    }

    /// Returns a member's jobs.
    pub(super) fn line(
        &mut self,
        user: UserId,
        candidates: &Candidates<'_>,
    ) -> Option<&mut Line<'a>> {
        match self.lines.entry(user) {
            Entry::Occupied(line) => Some(line.into_mut()),
            Entry::Vacant(new) => {
                let classes = self.members.get(&user)?;
                Some(new.insert(Line::new(classes, candidates)))
            }
        }
    }

    /// Gives the member another turn, with the share that it has now.
    pub(super) fn again(&mut self, user: UserId, share: u64) {
        let number = self.lines.get_mut(&user).and_then(Line::oldest);
        self.ready
            .extend(number.map(|number| Reverse((share, number, user))));
    }
}

impl<'a> Line<'a> {
    fn new(classes: &'a Classes, candidates: &Candidates<'_>) -> Self {
        let classes = classes.iter().filter(|(class, _)| candidates.has(class));
        let mut line = Self {
            heads: BTreeSet::new(),
            classes: classes.map(|(class, jobs)| (class, jobs.iter())).collect(),
        };
        for class in 0..line.classes.len() {
            line.advance(class);
        }
        line
    }

    fn oldest(&mut self) -> Option<JobNumber> {
        self.heads.first().map(|(number, _, _)| *number)
    }

    /// Takes the oldest job out, with the place of its class.
    pub(super) fn pop(&mut self) -> Option<(JobNumber, JobId, usize)> {
        self.heads.pop_first()
    }

    pub(super) fn class(&self, place: usize) -> &'a Arc<Class> {
        self.classes[place].0
    }

    /// Puts a job back that was taken out.
    pub(super) fn put(&mut self, head: (JobNumber, JobId, usize)) {
        self.heads.insert(head);
    }

    /// Gives up the classes that fit nowhere since this one does not.
    pub(super) fn give_up_like(&mut self, class: &Class) {
        let classes = &self.classes;
        self.heads
            .retain(|(_, _, other)| !classes[*other].0.is_like(class));
    }

    /// Goes on with the next job of a class.
    pub(super) fn advance(&mut self, class: usize) {
        if let Some((number, job)) = self.classes[class].1.next() {
            self.heads.insert((*number, *job, class));
        }
    }
}
