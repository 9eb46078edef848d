//! On which machines something runs that is not their owner's, by priority: where something may have to give way.

use std::{collections::BTreeMap, ops::RangeBounds};

use common::{id::MachineId, status::Priority};

/// How many tasks of each priority run as guests, by machine; those that were told to stop are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guests(BTreeMap<Priority, BTreeMap<MachineId, u32>>);

impl Guests {
    pub(crate) fn add(&mut self, priority: Priority, machine: MachineId) {
        let machines = self.0.entry(priority).or_default();
        *machines.entry(machine).or_default() += 1;
    }

    pub(crate) fn take(&mut self, priority: Priority, machine: MachineId) {
        let Some(machines) = self.0.get_mut(&priority) else {
            return;
        };
        if let Some(count) = machines.get_mut(&machine) {
            *count -= 1;
            if *count == 0 {
                machines.remove(&machine);
            }
        }
        if machines.is_empty() {
            self.0.remove(&priority);
        }
    }

    /// Returns the lowest priority of any.
    pub(crate) fn lowest(&self) -> Option<Priority> {
        self.0.keys().next().copied()
    }

    /// Returns the machines with guests of such priorities, those with the lowest first; one may come again.
    pub(crate) fn machines(
        &self,
        priorities: impl RangeBounds<Priority>,
    ) -> impl Iterator<Item = MachineId> {
        let levels = self.0.range(priorities);
        levels.flat_map(|(_, machines)| machines.keys().copied())
    }
}
