//! What would have to change for a task to start: the least of it, on the machine that comes nearest.

use super::{Inquiry, approval, backing_off, behind, words};
use crate::schedule::{
    feasible::{Obstacle, may_place},
    view::MachineView,
};

impl Inquiry<'_> {
    /// Returns all that would have to change; what no waiting changes comes alone.
    pub(super) fn smallest_change(&self) -> String {
        let changes = |for_good: bool| {
            let reached = self.reached.iter();
            let reached = reached.filter(move |reached| reached.is_for_good() == for_good);
            reached.map(|reached| reached.change.clone())
        };
        let mut all: Vec<String> = changes(true).collect();
        if !all.is_empty() {
            return all.join("; and ");
        }
        let Some((machine, obstacles)) = self.nearest() else {
            return match self.machines.len() {
                0 => "register a machine and have it approved".to_owned(),
                there => format!(
                    "ask for at most {there} nodes, or register more machines and have them approved"
                ),
            };
        };
        if !obstacles.is_empty() {
            all.push(words::change_on(machine, &self.ask, &obstacles));
        }
        all.extend(changes(false));
        if approval::awaited(self.state, &self.subject).is_some() {
            all.insert(
                0,
                "an admin approves it, or it asks for fewer GPU-hours".to_owned(),
            );
        }
        if let Some(name) = self.archived() {
            all.push(format!(
                "an administrator of project {name} takes it out of the archive: `compute-share project archive \
                 {name} --undo`"
            ));
        }
        all.extend(self.waits.iter().map(|wait| wait.change.clone()));
        if behind::is_all(&self.subject) && self.waits.is_empty() {
            return "none is needed: it begins as soon as a running task of the job ends"
                .to_owned();
        }
        if let Some(until) = backing_off::until(&self.subject).filter(|_| all.is_empty()) {
            let until = until.to_second();
            return format!("none is needed: it is tried again at {until}");
        }
        if all.is_empty() && self.over_parallel().is_some() {
            return "one of its running tasks ends".to_owned();
        }
        if all.is_empty() {
            return "the tasks before it start".to_owned();
        }
        all.join("; and ")
    }

    /// Returns the machine with the least in the way, preferring what passes by itself over what stays; of a gang, the
    /// last one that it needs.
    pub(super) fn nearest(&self) -> Option<(&MachineView<'_>, Vec<Obstacle>)> {
        let obstacles = |machine| may_place(machine, &self.ask).err().unwrap_or_default();
        let weight = |obstacle: &Obstacle| match obstacle {
            Obstacle::Busy(_)
            | Obstacle::InUse
            | Obstacle::Exclusive
            | Obstacle::Full
            | Obstacle::ModelLimit
            | Obstacle::WholeLimit
            | Obstacle::Reserved => 1,
            Obstacle::Offline | Obstacle::Paused | Obstacle::SetAside => 10,
            // Whoever submits can ask for less.
            Obstacle::TooSmall(_)
            | Obstacle::NetworkForbidden
            | Obstacle::ImageForbidden
            | Obstacle::RunTooLong
            | Obstacle::CacheTooSmall => 100,
            Obstacle::Isolation
            | Obstacle::NoNetwork
            | Obstacle::StrongGpu
            | Obstacle::Label
            | Obstacle::KeptOut => 1000,
        };
        let machines = self.machines.iter();
        let mut machines: Vec<_> = machines
            .map(|machine| (machine, obstacles(machine)))
            .collect();
        machines.sort_by_cached_key(|(machine, obstacles)| {
            let weight: u32 = obstacles.iter().map(weight).sum();
            let offer = machine.report.map(|report| &report.offer);
            let size = offer.map(|offer| (offer.memory, offer.cpu));
            (weight, std::cmp::Reverse(size), machine.name)
        });
        machines.into_iter().nth(self.together() - 1)
    }
}
