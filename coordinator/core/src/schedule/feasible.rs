//! Whether a task can go to a machine, and if not, everything that is in the way.

use common::{
    id::UserId,
    resources::{Allocation, Request, Shortage},
    status::IsolationLevel,
};

use super::view::MachineView;

/// What is to be placed, as far as a machine cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) request: &'a Request,
    pub(crate) owner: UserId,
}

/// One thing in the way on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    Offline,
    Paused,
    Isolation,
    /// Lends less, even when idle.
    TooSmall(Shortage),
    /// Others hold it now.
    Busy(Shortage),
    /// As many attempts as a machine can be told of.
    Full,
}

/// Returns what the task would hold there now.
///
/// # Errors
/// All that is in the way.
pub(crate) fn may_place(
    machine: &MachineView<'_>,
    ask: &Ask<'_>,
) -> Result<Allocation, Vec<Obstacle>> {
    let mut obstacles = could_ever(machine, ask).err().unwrap_or_default();
    if !machine.connected {
        obstacles.push(Obstacle::Offline);
    }
    if machine.report.is_some_and(|report| report.paused.is_some()) {
        obstacles.push(Obstacle::Paused);
    }
    if machine.is_full() {
        obstacles.push(Obstacle::Full);
    }
    match machine.free.allocate(ask.request) {
        Ok(allocation) if obstacles.is_empty() => Ok(allocation),
        Ok(_) => Err(obstacles),
        // What was never reported is only missing.
        Err(_) if machine.report.is_none() => Err(vec![Obstacle::Offline]),
        Err(shortages) => {
            let busy = shortages.into_iter().filter_map(|shortage| {
                let small = obstacles.contains(&Obstacle::TooSmall(shortage));
                (!small).then_some(Obstacle::Busy(shortage))
            });
            let busy: Vec<Obstacle> = busy.collect();
            obstacles.extend(busy);
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
    let mut obstacles = Vec::new();
    if report.isolation.level == IsolationLevel::D && machine.owner != ask.owner {
        obstacles.push(Obstacle::Isolation);
    }
    if let Err(shortages) = report.offer.could_ever_fit(ask.request) {
        obstacles.extend(shortages.into_iter().map(Obstacle::TooSmall));
    }
    if obstacles.is_empty() {
        Ok(())
    } else {
        Err(obstacles)
    }
}
