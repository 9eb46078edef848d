//! Whether a task can go to a machine, and if not, everything that is in the way.

use common::{
    id::{JobId, MachineId, UserId},
    image::Image,
    label::WantedLabel,
    limits::Limits,
    machine::{Admits, KeptOut, MachineReport, Pause, PausedBy},
    name::Name,
    resources::{Allocation, Capacity, GpuRoom, Request, Shortage},
    status::{MinIsolation, Network},
    time::{Span, Timestamp},
    units::Bytes,
};

pub(crate) use super::obstacle::Obstacle;

use super::{
    reserve::may_backfill,
    view::{MachineView, Occupied},
};
use crate::state::{State, queue::Class, specification::Specification};

/// What is to be placed, as far as a machine cares. All of it is in [`crate::state::queue::Class`], or the same
/// for all jobs of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) request: &'a Request,
    pub(crate) owner: UserId,
    /// As owners of machines name members.
    pub(crate) handle: Option<&'a Name>,
    /// As they name projects.
    pub(crate) project: Option<&'a Name>,
    pub(crate) network: Network,
    /// Whether it brings an image.
    pub(crate) image: bool,
    /// What the job asks for, wherever it runs.
    pub(crate) isolation: Option<MinIsolation>,
    /// What the org asks for where the machine is another member's.
    pub(crate) org_isolation: Option<MinIsolation>,
    /// What machines have to be said to have, or not to have.
    pub(crate) labels: &'a [WantedLabel],
    /// What an attempt placed now would be given; `None` is without end.
    pub(crate) max_runtime: Option<Span>,
    /// Machines whose owners took them back from this task. Not of the class: it counts on the member's own machine
    /// alone, while a rule of its owner holds.
    pub(crate) given_back: &'a [MachineId],
    /// What its data takes of a machine's cache.
    pub(crate) data: Bytes,
    /// How many GPUs of each model the bounds on member and org leave.
    pub(crate) gpu_room: &'a GpuRoom,
    /// The same while nothing else runs.
    pub(crate) gpu_room_ever: &'a GpuRoom,
    /// Machines on which its gang has a task already.
    pub(crate) not_on: &'a [MachineId],
    /// Whose task it is, where it was submitted.
    pub(crate) job: Option<JobId>,
    pub(crate) now: Timestamp,
}

static UNLIMITED: GpuRoom = GpuRoom::unlimited();

impl<'a> Ask<'a> {
    pub(crate) fn of(
        state: &'a State,
        limits: &Limits,
        owner: UserId,
        spec: &'a Specification,
    ) -> Self {
        Self {
            request: &spec.request,
            owner,
            handle: state.users.get(&owner).map(|user| &user.handle),
            project: spec.project.as_ref(),
            network: spec.network,
            image: spec.image != Image::Host,
            isolation: spec.isolation,
            org_isolation: limits.min_isolation,
            labels: &spec.labels,
            max_runtime: max_runtime(spec.max_runtime, limits),
            given_back: &[],
            data: Bytes::ZERO,
            gpu_room: &UNLIMITED,
            gpu_room_ever: &UNLIMITED,
            not_on: &[],
            job: None,
            now: Timestamp::default(),
        }
    }

    /// Returns whom on the machine it cannot be beside.
    fn beside(&self, machine: &MachineView<'_>) -> Option<Obstacle> {
        match (machine.occupied, self.request.exclusive) {
            (Occupied::Nobody, _) | (Occupied::Tasks, false) => None,
            (Occupied::Tasks, true) => Some(Obstacle::InUse),
            (Occupied::Exclusively, _) => Some(Obstacle::Exclusive),
        }
    }

    /// Returns every isolation that the machine has to have, and whether the job asks for it itself.
    pub(crate) fn isolations(
        &self,
        machine: &MachineView<'_>,
    ) -> impl Iterator<Item = (MinIsolation, bool)> + use<> {
        let org = self.org_isolation.unwrap_or(MinIsolation::C);
        let foreign = !self.is_own(machine);
        let own = self.isolation.map(|asked| (asked, true));
        own.into_iter().chain(foreign.then_some((org, false)))
    }

    /// Returns whether it would have a kernel of its own in user space there.
    pub(crate) fn is_strong_on(&self, machine: &MachineView<'_>) -> bool {
        self.isolations(machine)
            .any(|(asked, _)| asked == MinIsolation::Strong)
    }

    fn is_own(&self, machine: &MachineView<'_>) -> bool {
        machine.owner == self.owner
    }

    /// Returns whether a pause of the machine holds this task, too. An owner's rules are about others, unless the
    /// owner's own jobs turn out to yield as well.
    pub(crate) fn is_held_by(&self, pause: &Pause, machine: &MachineView<'_>) -> bool {
        let ruled = pause.by == PausedBy::Rule && self.is_own(machine);
        !ruled || self.given_back.contains(&machine.id)
    }

    /// Returns what is wanted of labels and not so on the machine.
    pub(super) fn unmet(&self, machine: &MachineView<'_>) -> Vec<&'a WantedLabel> {
        if self.labels.is_empty() {
            return Vec::new();
        }
        let labels = machine.labels();
        let unmet = self.labels.iter();
        unmet.filter(|label| !label.is_met_by(&labels)).collect()
    }

    /// Returns whether the machine's owner lets the member or the project in.
    fn is_let_in(&self, admits: &Admits) -> bool {
        self.kept_out(admits) == KeptOut::default()
    }

    /// Returns which of the owner's lists are in the way. Reports keep their names in order.
    pub(super) fn kept_out(&self, admits: &Admits) -> KeptOut {
        admits.keeps_out(self.handle, self.project, |names, name| {
            names.binary_search(name).is_ok()
        })
    }
}

/// Returns the bound on the run time of an attempt that is placed now.
pub(crate) fn max_runtime(asked: Option<Span>, limits: &Limits) -> Option<Span> {
    match (asked, limits.max_job_runtime) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (one, other) => one.or(other),
    }
}

/// Why a task cannot start on a machine, as far as the choice of another one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Not enough is free.
    Room,
    /// Something that does not depend on what is free.
    Rule,
    /// No more GPUs of those models may be held that are free.
    ModelLimit,
    /// It is kept free for another job.
    Reserved,
    /// More than limits let one hold.
    Bound,
    /// Another task of its gang goes there.
    Taken,
}

/// Returns what the task would hold there now, exactly where [`may_place`] does.
///
/// # Errors
/// What is in the way, the most general of it.
pub(super) fn fits_now(machine: &MachineView<'_>, ask: &Ask<'_>) -> Result<Allocation, Unfit> {
    let report = machine.report.ok_or(Unfit::Rule)?;
    let pause = report.paused.as_ref();
    if !machine.connected
        || pause.is_some_and(|pause| ask.is_held_by(pause, machine))
        || !by_rule(machine, report, ask).is_empty()
    {
        return Err(Unfit::Rule);
    }
    if ask.not_on.contains(&machine.id) {
        return Err(Unfit::Taken);
    }
    if machine.is_full() || machine.set_aside.is_some() || ask.beside(machine).is_some() {
        return Err(Unfit::Room);
    }
    let allocated = machine.free.allocate_within(ask.request, ask.gpu_room);
    if allocated
        .as_ref()
        .is_ok_and(|allocation| !may_backfill(machine, ask, allocation))
    {
        return Err(Unfit::Reserved);
    }
    allocated.map_err(|short| {
        if short == [Shortage::Whole] {
            return Unfit::Bound;
        }
        let others = short.iter().any(|one| *one != Shortage::Gpu);
        let limited = !others && !ask.gpu_room.is_unlimited();
        if limited && machine.free.allocate(ask.request).is_ok() {
            Unfit::ModelLimit
        } else {
            Unfit::Room
        }
    })
}

/// Returns what the task would hold there now.
///
/// # Errors
/// All that is in the way.
pub(crate) fn may_place(
    machine: &MachineView<'_>,
    ask: &Ask<'_>,
) -> Result<Allocation, Vec<Obstacle>> {
    let Some(report) = machine.report else {
        // What was never reported is only missing.
        return Err(vec![Obstacle::Offline]);
    };
    let mut obstacles = by_rule(machine, report, ask);
    let allocated = machine.free.allocate_within(ask.request, ask.gpu_room);
    let limited = allocated.is_err() && {
        let now = is_model_limited(&allocated, ask.gpu_room, || {
            machine.free.allocate(ask.request)
        });
        now || is_model_limited_for_good(&report.offer, ask)
    };
    // Less than is free is lent: only what is not free is worth a second look.
    let small = allocated.as_ref().err().and_then(|_| {
        let ever = report.offer.could_ever_fit(ask.request);
        ever.err()
    });
    let small = small.unwrap_or_default();
    obstacles.extend(small.iter().copied().map(Obstacle::TooSmall));
    let beside = ask.beside(machine);
    obstacles.extend(beside);
    if !machine.connected {
        obstacles.push(Obstacle::Offline);
    }
    let pause = report.paused.as_ref();
    if pause.is_some_and(|pause| ask.is_held_by(pause, machine)) {
        obstacles.push(Obstacle::Paused);
    }
    match machine.set_aside {
        Some(_) => obstacles.push(Obstacle::SetAside),
        None if machine.is_full() => obstacles.push(Obstacle::Full),
        None => {}
    }
    if limited {
        obstacles.push(Obstacle::ModelLimit);
    }
    let kept = |allocation: &Allocation| !may_backfill(machine, ask, allocation);
    if allocated.as_ref().is_ok_and(kept) {
        obstacles.push(Obstacle::Reserved);
    }
    match allocated {
        Ok(allocation) if obstacles.is_empty() => Ok(allocation),
        Ok(_) => Err(obstacles),
        Err(shortages) if shortages == [Shortage::Whole] => {
            obstacles.push(Obstacle::WholeLimit);
            Err(obstacles)
        }
        Err(shortages) => {
            // Who is alone there holds all of it.
            let told = |one: &Shortage| {
                small.contains(one) || beside.is_some() || (limited && *one == Shortage::Gpu)
            };
            let busy = shortages.into_iter().filter(|one| !told(one));
            obstacles.extend(busy.map(Obstacle::Busy));
            Err(obstacles)
        }
    }
}

/// Returns whether the machine, idle, could run it. What is not known of a machine speaks for it.
///
/// # Errors
/// All that is in the way for good.
pub(crate) fn could_ever(machine: &MachineView<'_>, ask: &Ask<'_>) -> Result<(), Vec<Obstacle>> {
    let Some(report) = machine.report else {
        return Ok(());
    };
    let mut obstacles = by_rule(machine, report, ask);
    let offer = &report.offer;
    let ever = offer.could_ever_fit_within(ask.request, ask.gpu_room_ever);
    let limited = is_model_limited_for_good(offer, ask);
    if limited {
        obstacles.push(Obstacle::ModelLimit);
    }
    let small = ever.err().unwrap_or_default().into_iter();
    let small = small.filter(|one| !limited || *one != Shortage::Gpu);
    obstacles.extend(small.map(|one| match one {
        Shortage::Whole => Obstacle::WholeLimit,
        short => Obstacle::TooSmall(short),
    }));
    if obstacles.is_empty() {
        Ok(())
    } else {
        Err(obstacles)
    }
}

/// Returns whether GPUs fall short only for what the bounds leave of their models.
fn is_model_limited<T>(
    within: &Result<T, Vec<Shortage>>,
    room: &GpuRoom,
    without: impl FnOnce() -> Result<T, Vec<Shortage>>,
) -> bool {
    let short = |result: &Result<T, Vec<Shortage>>| {
        let shortages = result.as_ref().err();
        shortages.is_some_and(|shortages| shortages.contains(&Shortage::Gpu))
    };
    !room.is_unlimited() && short(within) && !short(&without())
}

fn is_model_limited_for_good(offer: &Capacity, ask: &Ask<'_>) -> bool {
    let room = ask.gpu_room_ever;
    let within = offer.could_ever_fit_within(ask.request, room);
    is_model_limited(&within, room, || offer.could_ever_fit(ask.request))
}

/// Returns what stands in the way until somebody changes a rule, the machine or the job, whatever is free.
fn by_rule(machine: &MachineView<'_>, report: &MachineReport, ask: &Ask<'_>) -> Vec<Obstacle> {
    let (isolation, admits) = (&report.isolation, &report.admits);
    let met = |(asked, _): (MinIsolation, bool)| asked.is_met_by(isolation.level, isolation.strong);
    let gpus = ask.request.gpu.as_ref().map_or(0, |gpu| gpu.count);
    // No network is nothing that anybody has to give.
    let offline = ask.network == Network::None;
    // What an owner lets in is about others.
    let foreign = !ask.is_own(machine);
    let too_long = |most: Span| ask.max_runtime.is_none_or(|asked| asked > most);
    let checks = [
        (!ask.isolations(machine).all(met), Obstacle::Isolation),
        (
            !offline && !isolation.networks.contains(&ask.network),
            Obstacle::NoNetwork,
        ),
        (gpus > 0 && ask.is_strong_on(machine), Obstacle::StrongGpu),
        (!ask.unmet(machine).is_empty(), Obstacle::Label),
        (foreign && !ask.is_let_in(admits), Obstacle::KeptOut),
        (
            foreign && !offline && !admits.networks.contains(&ask.network),
            Obstacle::NetworkForbidden,
        ),
        (
            foreign && ask.image && !admits.images,
            Obstacle::ImageForbidden,
        ),
        (
            foreign && admits.max_runtime.is_some_and(too_long),
            Obstacle::RunTooLong,
        ),
        (
            report.cache_limit.is_some_and(|most| ask.data > most),
            Obstacle::CacheTooSmall,
        ),
    ];
    let in_the_way = checks.into_iter().filter(|(holds, _)| *holds);
    in_the_way.map(|(_, obstacle)| obstacle).collect()
}

/// Returns whether the org's limits let jobs of this class start at all. They may have been lowered since.
pub(crate) fn within_limits(class: &Class, limits: &Limits) -> bool {
    let memory = limits.max_job_memory;
    let runtime = limits.max_job_runtime.zip(class.max_runtime);
    memory.is_none_or(|most| class.request.memory <= most)
        && runtime.is_none_or(|(most, asked)| asked <= most)
}
