//! What the owner is shown.

use agent_core::attempt::Phase;
use common::time::Timestamp;

use crate::control::{AgentStatus, RunningAttempt};

use super::{
    Keeper,
    held::{Frost, Held},
};

impl Keeper {
    pub(super) fn status(&self) -> AgentStatus {
        let sample = self.machine.seen();
        let samples = self.machine.usage();
        let registration = &self.machine.registration;
        let running = self.held.iter().filter(|(_, held)| held.seen().may_run());
        AgentStatus {
            machine: registration.name.clone(),
            org: registration.org.clone(),
            coordinator: registration.address.clone(),
            connection: self.connection.borrow().clone(),
            started_at: self.started_at,
            isolation: self.machine.isolation.clone(),
            capacity: sample.capacity,
            offer: sample.offer,
            pause: self.pause(),
            standing: self.standing_words(),
            peers: self
                .machine
                .peers
                .status(self.rules.borrow().rules.peers.rate),
            gpu_pauses: self.gpu_pauses(),
            circumstances: self.machine.surroundings().lines(),
            running: running
                .map(|(attempt, held)| RunningAttempt {
                    job: held.spec.job_number,
                    task: attempt.task,
                    attempt: attempt.number,
                    job_name: held.spec.job_name.clone(),
                    submitter: held.spec.submitter.clone(),
                    command: held.spec.command.clone(),
                    cpu: held.spec.allocation.cpu,
                    memory: held.spec.allocation.memory,
                    gpus: held.spec.allocation.gpus.clone(),
                    started_at: started_at(held),
                    stopping: held.stopping.is_some(),
                    sample: samples
                        .iter()
                        .find(|sample| sample.attempt == *attempt)
                        .map(|sample| sample.sample),
                    frozen_since: match held.frost {
                        Frost::Frozen { since } => Some(since),
                        Frost::Unknown | Frost::Thawed => None,
                    },
                })
                .collect(),
            owner_rules_problem: self.rules.borrow().problem.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            process_id: std::process::id(),
        }
    }
}

fn started_at(held: &Held) -> Option<Timestamp> {
    match held.attempt.phase() {
        Phase::Running { at } => Some(*at),
        _ => None,
    }
}
