//! Whose turn it is among the lines of jobs of one priority: the smaller part of the pool first, then the older job.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map::Entry, btree_set},
    iter::{Copied, Peekable},
};

use common::{id::JobId, job::JobNumber};

use super::order::Part;
use crate::state::{
    dense,
    queue::{ClassId, Waiting, Whose},
};

/// The lines in their order. Whose part is too large to come next is not looked at any closer.
pub(super) struct Turns<'a> {
    waiting: &'a BTreeMap<Whose, Waiting>,
    /// By part; their jobs were not looked at.
    later: BinaryHeap<Reverse<(Part, Whose)>>,
    /// By part and oldest job.
    ready: BinaryHeap<Reverse<(Part, Head, Whose)>>,
    lines: BTreeMap<Whose, Line<'a>>,
    /// Those that had a turn.
    seen: BTreeSet<Whose>,
}

/// A line whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) whose: Whose,
    /// The oldest of its jobs that may start, when the turn was given; nothing where none may.
    pub(super) head: Option<Head>,
    /// Whether it is the line's first turn.
    pub(super) first: bool,
}

/// A job, and its class.
pub(super) type Head = (JobNumber, JobId, ClassId);

/// The jobs of one line at one priority that are still to be looked at. What fits nowhere, or was given up, stays so
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
    after: dense::Iter<'a, JobNumber, JobId>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(waiting: &'a BTreeMap<Whose, Waiting>, part: impl Fn(Whose) -> Part) -> Self {
        let later = waiting.keys().map(|whose| Reverse((part(*whose), *whose)));
        Self {
            waiting,
            later: later.collect(),
            ready: BinaryHeap::new(),
            lines: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Returns whose turn it is.
    pub(super) fn next(
        &mut self,
        part: impl Fn(Whose) -> Part,
        may_start: impl Fn(Whose, ClassId) -> bool,
    ) -> Option<Turn> {
        loop {
            let least = self.ready.peek().map(|Reverse((part, _, _))| *part);
            match self.later.peek() {
                // Of equal parts the older job comes first, so all of them have to be known.
                Some(Reverse((part, whose))) if least.is_none_or(|least| *part <= least) => {
                    let (part, whose) = (*part, *whose);
                    self.later.pop();
                    if !self.again(whose, part, |class| may_start(whose, class)) {
                        let oldest = self.waiting.get(&whose).and_then(Waiting::oldest_of_class);
                        let turn = oldest.map(|head| Reverse((part, head, whose)));
                        self.ready.extend(turn);
                    }
                }
                _ => {
                    let Reverse((before, head, whose)) = self.ready.pop()?;
                    // It may have grown by another line of the same member.
                    let now = part(whose);
                    if now == before {
                        let first = self.seen.insert(whose);
                        let head = may_start(whose, head.2).then_some(head);
                        return Some(Turn { whose, head, first });
                    }
                    self.ready.push(Reverse((now, head, whose)));
                }
            }
        }
    }

    /// Returns the jobs of a line.
    pub(super) fn line(&mut self, whose: Whose) -> Option<&mut Line<'a>> {
        match self.lines.entry(whose) {
            Entry::Occupied(line) => Some(line.into_mut()),
            Entry::Vacant(new) => Some(new.insert(Line::new(self.waiting.get(&whose)?))),
        }
    }

    /// Gives the line another turn, with the part that its member has now.
    /// Returns whether anything of it may start.
    pub(super) fn again(
        &mut self,
        whose: Whose,
        part: Part,
        may_start: impl Fn(ClassId) -> bool,
    ) -> bool {
        let line = self.line(whose);
        let next = line.and_then(|line| line.first(may_start));
        let turn = next.map(|head| Reverse((part, head, whose)));
        let has_turn = turn.is_some();
        self.ready.extend(turn);
        has_turn
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(waiting: &'a Waiting) -> Self {
        Self {
            waiting,
            heads: waiting.heads().peekable(),
            touched: BTreeMap::new(),
            next: BTreeSet::new(),
        }
    }

    /// Returns the oldest job of a class that may start.
    pub(super) fn first(&mut self, may_start: impl Fn(ClassId) -> bool) -> Option<Head> {
        let touched = &self.touched;
        let passed = |class: &ClassId| touched.contains_key(class) || !may_start(*class);
        while self.heads.next_if(|(_, class)| passed(class)).is_some() {}
        let untouched = self.heads.peek().and_then(|(_, class)| {
            let (number, id) = self.waiting.jobs(*class).next()?;
            Some((*number, *id, *class))
        });
        while let Some((_, _, class)) = self.next.first()
            && !may_start(*class)
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
