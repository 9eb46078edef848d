//! Where the jobs of a class have room at all, whoever's they are: found once for all members, and only ever less
//! during a pass, which takes and never gives.

use std::collections::BTreeMap;

use super::view::MachineView;
use crate::state::queue::Class;

/// The classes that have room somewhere, each with the places in the view of the machines that have it.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    classes: BTreeMap<&'a Class, Vec<usize>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(
        classes: impl Iterator<Item = &'a Class>,
        machines: &[MachineView<'_>],
    ) -> Self {
        let classes = classes.filter_map(|class| {
            let places: Vec<usize> = machines
                .iter()
                .enumerate()
                .filter(|(_, machine)| has_room(machine, class))
                .map(|(place, _)| place)
                .collect();
            (!places.is_empty()).then_some((class, places))
        });
        Self {
            classes: classes.collect(),
        }
    }

    /// Returns whether nothing has room any more.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    pub(super) fn has(&self, class: &Class) -> bool {
        self.classes.contains_key(class)
    }

    /// Returns the machines that had room for the class when it was last looked at.
    pub(super) fn places(&self, class: &Class) -> &[usize] {
        self.classes.get(class).map_or(&[], Vec::as_slice)
    }

    /// Looks again, where the class found nothing or something was taken.
    pub(super) fn refresh(&mut self, class: &Class, machines: &[MachineView<'_>]) {
        if let Some(places) = self.classes.get_mut(class) {
            places.retain(|place| has_room(&machines[*place], class));
            if places.is_empty() {
                self.classes.remove(class);
            }
        }
    }

    /// Looks again at one machine, on which something was placed.
    pub(super) fn refresh_at(&mut self, class: &Class, place: usize, machines: &[MachineView<'_>]) {
        if let Some(places) = self.classes.get_mut(class)
            && !has_room(&machines[place], class)
        {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.classes.remove(class);
            }
        }
    }
}

fn has_room(machine: &MachineView<'_>, class: &Class) -> bool {
    !machine.is_full() && machine.free.allocate(&class.request).is_ok()
}
