//! Which of the machines that fit is best.

use common::{
    id::{MachineId, UserId},
    name::Name,
    resources::{Allocation, Capacity, Gpu, GpuHealth},
};

use super::{data::Needs, view::MachineView};

/// What makes one machine better than another; the least is best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    /// The task failed there before.
    failed: bool,
    foreign: bool,
    /// Until the machine has what it lacks of the task's data.
    fetch_seconds: u64,
    /// What would stay free: the fullest machine first, so that the others keep room for large tasks.
    leftover: u64,
    name: &'a Name,
}

/// What the ranking knows of a task.
#[derive(Debug)]
pub(super) struct Wishes<'a> {
    pub(super) owner: UserId,
    pub(super) needs: &'a Needs,
    pub(super) failed_on: &'a [MachineId],
}

pub(super) fn rank<'a>(
    machine: &MachineView<'a>,
    allocation: &Allocation,
    wishes: &Wishes<'_>,
) -> Rank<'a> {
    Rank {
        failed: wishes.failed_on.contains(&machine.id),
        foreign: machine.owner != wishes.owner,
        fetch_seconds: wishes.needs.fetch_seconds(machine.report),
        leftover: machine.report.map_or(0, |report| {
            leftover(&machine.free, allocation, &report.offer)
        }),
        name: machine.name,
    }
}

/// Returns the thousandths of processors and memory that stay free, and a thousand for every
/// GPU that nobody uses.
fn leftover(free: &Capacity, taken: &Allocation, offer: &Capacity) -> u64 {
    let part = |free: u64, taken: u64, offer: u64| {
        let rest = u128::from(free.saturating_sub(taken)) * 1000;
        u64::try_from(rest / u128::from(offer.max(1))).unwrap_or(u64::MAX)
    };
    // A share on a GPU that has shares already takes none away.
    let whole = |gpu: &&Gpu| gpu.health == GpuHealth::Usable && !taken.gpus.contains(&gpu.uuid);
    let gpus = free.gpus.iter().filter(whole).count() as u64;
    let cpu = part(free.cpu.0.into(), taken.cpu.0.into(), offer.cpu.0.into());
    let memory = part(free.memory.0, taken.memory.0, offer.memory.0);
    cpu.saturating_add(memory).saturating_add(gpus * 1000)
}
