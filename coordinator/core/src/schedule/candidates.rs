//! Where jobs that ask for as much may have room, whoever's they are: known once for all members, and only ever less
//! during a pass, which takes and never gives.

use std::collections::BTreeMap;

use common::{id::UserId, resources::Request, units::Bytes};

use crate::state::{
    State,
    pool::OrgPool,
    queue::{Class, ClassId, Queue},
    room::Room,
};

/// What may have room somewhere.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    /// By the ids of classes; nothing for those of archived projects, which wait.
    classes: Vec<Option<(&'a Class, usize)>>,
    asked: Vec<Asked<'a>>,
    /// How many of them still may have room.
    left: usize,
}

/// One request, with so much data.
#[derive(Debug)]
struct Asked<'a> {
    request: &'a Request,
    data: Bytes,
    may_fit: bool,
    /// Those that ask for it; what is alike stands together.
    classes: Vec<ClassId>,
    passed: Passed,
    passed_own: BTreeMap<UserId, Passed>,
}

/// Up to which place nothing in a group has room for a request any more, by the group's number.
#[derive(Debug, Clone, Default)]
pub(super) struct Passed(Vec<usize>);

impl Passed {
    pub(super) fn of(&self, group: usize) -> usize {
        self.0.get(group).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, group: usize, place: usize) {
        if self.0.len() <= group {
            self.0.resize(group + 1, 0);
        }
        self.0[group] = place;
    }

    /// Passes by all that has no room. Returns whether something is left.
    fn look(&mut self, room: &Room, request: &Request, data: Bytes) -> bool {
        for (number, kind, group) in room.groups() {
            if !kind.has_model(request) {
                continue;
            }
            let next = group.next(request, data, self.of(number));
            self.set(number, next.map_or(usize::MAX, |(place, _)| place));
            if next.is_some() {
                return true;
            }
        }
        false
    }
}

impl<'a> Candidates<'a> {
    /// Looks once for each request: classes come in order, by what they ask for first.
    pub(super) fn of(state: &State, pool: &OrgPool, queue: &'a Queue) -> Self {
        let mut asked: Vec<Asked<'a>> = Vec::new();
        let mut places = Vec::new();
        for (class, id) in queue.classes() {
            if state.is_archived(class.project) {
                continue;
            }
            let same =
                |asked: &&Asked<'_>| asked.request == &class.request && asked.data == class.data;
            if asked.last().filter(same).is_none() {
                let mut passed = Passed::default();
                asked.push(Asked {
                    request: &class.request,
                    data: class.data,
                    may_fit: passed.look(&pool.room, &class.request, class.data),
                    classes: Vec::new(),
                    passed,
                    passed_own: BTreeMap::new(),
                });
            }
            if let Some(asked) = asked.last_mut() {
                asked.classes.push(id);
            }
            if places.len() <= id.index() {
                places.resize(id.index() + 1, None);
            }
            places[id.index()] = Some((class, asked.len() - 1));
        }
        Self {
            classes: places,
            left: asked.iter().filter(|asked| asked.may_fit).count(),
            asked,
        }
    }

    /// Returns whether nothing has room any more.
    pub(super) const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Returns whether the class may start somewhere; what belongs to an archived project waits.
    pub(super) fn has(&self, class: ClassId) -> bool {
        self.place(class)
            .is_some_and(|asked| self.asked[asked].may_fit)
    }

    fn place(&self, class: ClassId) -> Option<usize> {
        let known = self.classes.get(class.index())?.as_ref();
        known.map(|(_, asked)| *asked)
    }

    /// Returns what the class is.
    pub(super) fn class(&self, class: ClassId) -> Option<&'a Class> {
        let known = self.classes.get(class.index())?.as_ref();
        known.map(|(class, _)| *class)
    }

    /// Returns the classes that fit nowhere where this one does not, where no machine tells projects apart: itself, too.
    pub(super) fn alike(&self, class: ClassId) -> impl Iterator<Item = ClassId> {
        let asked = self.place(class).map(|place| &self.asked[place]);
        let same = asked.into_iter().flat_map(|asked| &asked.classes).copied();
        let like = self.class(class);
        same.filter(move |other| {
            let other = self.class(*other);
            like.zip(other)
                .is_some_and(|(like, other)| like.is_like(other))
        })
    }

    /// Returns what was passed by for the class among all machines, and among a member's own.
    pub(super) fn passed(
        &mut self,
        class: ClassId,
        owner: UserId,
    ) -> Option<(&mut Passed, &mut Passed)> {
        let place = self.place(class)?;
        let Asked {
            passed, passed_own, ..
        } = &mut self.asked[place];
        Some((passed, passed_own.entry(owner).or_default()))
    }

    /// Looks again, where the class found nothing.
    pub(super) fn refresh(&mut self, class: ClassId, room: &Room) {
        let Some(place) = self.place(class) else {
            return;
        };
        let Asked {
            request,
            data,
            passed,
            may_fit,
            ..
        } = &mut self.asked[place];
        let left = passed.look(room, request, *data);
        if *may_fit && !left {
            *may_fit = false;
            self.left -= 1;
        }
    }
}
