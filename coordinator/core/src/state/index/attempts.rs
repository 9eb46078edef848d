//! What attempts hold: of their machine, for their member, and in their org.

use common::id::AttemptId;

use super::{Index, MachineUse, Parties};
use crate::state::attempt::Attempt;

impl Index {
    pub(crate) fn attempt_in(&mut self, id: AttemptId, attempt: &Attempt, parties: Parties) {
        let Parties { owner, lender, .. } = parties;
        self.belongings.attempt_in(attempt, owner);
        self.artifacts_in(id, attempt);
        self.usage.attempt_in(attempt);
        if !attempt.is_desired() {
            return;
        }
        let machine = self.machines.entry(attempt.machine).or_default();
        machine.desired.insert(id);
        self.chains.attempt_in(id, attempt);
        if attempt.has_place() {
            machine.live.insert(id);
            self.live.entry(id.job).or_default().insert(id);
            let held = machine.held.checked_add(&attempt.allocation);
            machine.held = held.expect("the schedule gives nothing twice");
            let member = self.members.entry((attempt.org, owner)).or_default();
            member.running += 1;
            member.held.add(&attempt.allocation, &attempt.gpu_models);
            if lender != owner {
                member.borrowed.add(&attempt.allocation);
            }
            let org = self.orgs.entry(attempt.org).or_default();
            org.held.add(&attempt.allocation, &attempt.gpu_models);
            if attempt.is_to_run() && lender != owner {
                org.guests.add(parties.priority, attempt.machine);
            }
        }
    }

    pub(crate) fn attempt_out(&mut self, id: AttemptId, attempt: &Attempt, parties: Parties) {
        let Parties { owner, lender, .. } = parties;
        self.belongings.attempt_out(attempt, owner);
        self.artifacts_out(id, attempt);
        self.usage.attempt_out(attempt);
        if !attempt.is_desired() {
            return;
        }
        self.chains.attempt_out(id, attempt);
        if let Some(machine) = self.machines.get_mut(&attempt.machine) {
            machine.desired.remove(&id);
            if machine.live.remove(&id) {
                let held = machine.held.checked_sub(&attempt.allocation);
                machine.held = held.expect("what was added can be taken away");
            }
            if *machine == MachineUse::default() {
                self.machines.remove(&attempt.machine);
            }
        }
        if attempt.has_place() {
            if let Some(live) = self.live.get_mut(&id.job) {
                live.remove(&id);
                if live.is_empty() {
                    self.live.remove(&id.job);
                }
            }
            self.member_less((attempt.org, owner), |used| {
                used.running = used.running.saturating_sub(1);
                used.held.take(&attempt.allocation, &attempt.gpu_models);
                if lender != owner {
                    used.borrowed.take(&attempt.allocation);
                }
            });
            self.org_less(attempt.org, |used| {
                used.held.take(&attempt.allocation, &attempt.gpu_models);
                if attempt.is_to_run() && lender != owner {
                    used.guests.take(parties.priority, attempt.machine);
                }
            });
        }
    }
}
