//! Where jobs that ask for as much have room at all, whoever's they are: found once for all members, and only ever
//! less during a pass, which takes and never gives.

use std::collections::BTreeMap;

use common::resources::Request;

use super::view::MachineView;
use crate::state::{State, queue::Class};

/// What has room somewhere, each with the places in the view of the machines that have it.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    state: &'a State,
    requests: BTreeMap<&'a Request, Vec<usize>>,
}

impl<'a> Candidates<'a> {
    /// Looks once for each request: classes come in order, by what they ask for first.
    pub(super) fn of(
        state: &'a State,
        classes: impl Iterator<Item = &'a Class>,
        machines: &[MachineView<'_>],
    ) -> Self {
        let mut looked = None;
        let mut requests = BTreeMap::new();
        let classes = classes.filter(|class| !state.is_archived(class.project));
        for Class { request, .. } in classes {
            if looked.replace(request) == Some(request) {
                continue;
            }
            let places = machines.iter().enumerate();
            let places = places.filter(|(_, machine)| has_room(machine, request));
            let places: Vec<usize> = places.map(|(place, _)| place).collect();
            if !places.is_empty() {
                requests.insert(request, places);
            }
        }
        Self { state, requests }
    }

    /// Returns whether nothing has room any more.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns whether the class may start somewhere; what belongs to an archived project waits.
    pub(super) fn has(&self, class: &Class) -> bool {
        self.requests.contains_key(&class.request) && !self.state.is_archived(class.project)
    }

    /// Returns the machines that had room for the class when it was last looked at.
    pub(super) fn places(&self, class: &Class) -> &[usize] {
        self.requests.get(&class.request).map_or(&[], Vec::as_slice)
    }

    /// Looks again, where the class found nothing or something was taken.
    pub(super) fn refresh(&mut self, class: &Class, machines: &[MachineView<'_>]) {
        if let Some(places) = self.requests.get_mut(&class.request) {
            places.retain(|place| has_room(&machines[*place], &class.request));
            if places.is_empty() {
                self.requests.remove(&class.request);
            }
        }
    }

    /// Looks again at one machine, on which something was placed.
    pub(super) fn refresh_at(&mut self, class: &Class, place: usize, machines: &[MachineView<'_>]) {
        if let Some(places) = self.requests.get_mut(&class.request)
            && !has_room(&machines[place], &class.request)
        {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.requests.remove(&class.request);
            }
        }
    }
}

fn has_room(machine: &MachineView<'_>, request: &Request) -> bool {
    !machine.is_full() && machine.free.allocate(request).is_ok()
}
