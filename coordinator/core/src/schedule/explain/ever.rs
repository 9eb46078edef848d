//! Whether machines could ever run a job, whatever is free on them now.

use std::borrow::Borrow;

use common::{id::MachineId, units::Bytes};

use super::{Rooms, Subject, words};
use crate::{
    bounds::{Reached, reached},
    schedule::{
        data,
        feasible::{Ask, Obstacle, could_ever},
        view::MachineView,
    },
    state::State,
};

/// Returns whether no machine of the org, even idle, could ever run it, or a limit forbids it for good.
/// Looks at machines until one fits, and at no job that waits: asked at every submission.
pub(crate) fn is_never(state: &State, subject: &Subject<'_>) -> bool {
    let Some(org) = state.orgs.get(&subject.org) else {
        return false;
    };
    let rooms = Rooms::of(state, subject);
    let ask = Ask {
        gpu_room: &rooms.now,
        gpu_room_ever: &rooms.ever,
        data: data::cached_for(state, subject),
        ..Ask::of(state, &org.limits, subject.owner, subject.spec)
    };
    let reached = reached(state, subject);
    reached.iter().any(Reached::is_for_good)
        || fit_nowhere(
            MachineView::all(state, subject.org),
            &ask,
            subject.spec.gang().unwrap_or(1) as usize,
        )
}

/// Returns whether there are machines, and not as many as it needs together could ever run it.
pub(super) fn fit_nowhere<'a, M: Borrow<MachineView<'a>>>(
    machines: impl Iterator<Item = M>,
    ask: &Ask<'_>,
    together: usize,
) -> bool {
    let mut machines = machines.peekable();
    if machines.peek().is_none() {
        return false;
    }
    let able = machines.filter(|machine| could_ever(machine.borrow(), ask).is_ok());
    able.take(together).count() < together
}

/// Returns how much memory the machine lends that lends most of those that could ever run it, and no more than `enough`.
pub(crate) fn most_memory(state: &State, subject: &Subject<'_>, enough: Bytes) -> Bytes {
    let Some(org) = state.orgs.get(&subject.org) else {
        return Bytes::ZERO;
    };
    let rooms = Rooms::of(state, subject);
    let ask = Ask {
        gpu_room: &rooms.now,
        gpu_room_ever: &rooms.ever,
        data: data::cached_for(state, subject),
        ..Ask::of(state, &org.limits, subject.owner, subject.spec)
    };
    let mut most = Bytes::ZERO;
    for machine in MachineView::all(state, subject.org) {
        let lent = machine.report.map_or(Bytes::ZERO, |r| r.offer.memory);
        if lent > most && could_ever(&machine, &ask).is_ok() {
            most = lent.min(enough);
        }
        if most == enough {
            break;
        }
    }
    most
}

/// Returns which rule keeps jobs of this member and project from the machine, in words that go on after it.
pub(crate) fn kept_from(state: &State, subject: &Subject<'_>, id: MachineId) -> Option<String> {
    let org = state.orgs.get(&subject.org)?;
    let ask = Ask::of(state, &org.limits, subject.owner, subject.spec);
    let mut machines = MachineView::all(state, subject.org);
    let Some(machine) = machines.find(|machine| machine.id == id) else {
        return Some("is not approved".to_owned());
    };
    let obstacles = could_ever(&machine, &ask).err().unwrap_or_default();
    // How much a job asks for is its own business.
    let mut rules = obstacles
        .iter()
        .filter(|one| matches!(one, Obstacle::Isolation | Obstacle::KeptOut));
    let first = rules.next()?;
    Some(words::on_machines(first.code(), &ask, &[&machine]))
}
