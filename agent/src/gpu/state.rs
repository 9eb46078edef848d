//! What is remembered of the GPUs from look to look.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
    time::Duration,
};

use agent_core::gpu::{Faults, Ground, Look, Occupation, Overuse, Process, Shares, Whose};
use common::{
    id::AttemptId,
    resources::{Allocation, Gpu, GpuHealth},
};

use super::{
    driver::{Driver, Seen},
    events::Events,
    files::Node,
    whose::whose,
};

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    /// Before the driver, whose library it uses.
    events: Option<Events>,
    driver: Driver,
    faults: Faults,
    ground: Ground,
    shares: Shares,
    /// What the last look found.
    gpus: Vec<Gpu>,
    nodes: Vec<Node>,
    /// GPUs on which the driver does not tell what a shared attempt takes.
    untold: BTreeSet<String>,
    /// GPUs with processes of which nobody here knows whose they are.
    unseen: BTreeSet<String>,
    /// CDI files that are not used, and why.
    refused: Vec<String>,
}

impl State {
    pub(super) fn new(library: Option<OsString>) -> Self {
        Self {
            events: None,
            driver: Driver::new(library),
            faults: Faults::default(),
            ground: Ground::default(),
            shares: Shares::default(),
            gpus: Vec::new(),
            nodes: Vec::new(),
            untold: BTreeSet::new(),
            unseen: BTreeSet::new(),
            refused: Vec::new(),
        }
    }

    pub(super) fn gpus(&self) -> Vec<Gpu> {
        self.gpus.clone()
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    pub(super) fn set_refused(&mut self, refused: Vec<String>) {
        for line in refused.iter().filter(|line| !self.refused.contains(line)) {
            tracing::warn!("{line}");
        }
        self.refused = refused;
    }

    pub(super) fn remarks(&self) -> Vec<String> {
        let told = self.faults.told();
        let untold = self.untold.iter().map(|gpu| {
            format!(
                "{gpu}: the driver does not tell what each program takes, so shares are not watched"
            )
        });
        let unseen = self.unseen.iter().map(|gpu| {
            format!("{gpu}: the driver names programs that cannot be found, so nobody is charged for them")
        });
        told.chain(untold)
            .chain(unseen)
            .chain(self.refused.iter().cloned())
            .collect()
    }

    pub(super) fn judge_shares(
        &mut self,
        looks: &[Look],
        held: &BTreeMap<AttemptId, Allocation>,
    ) -> Vec<Overuse> {
        self.shares.judge(looks, held)
    }

    /// Looks at every GPU. `held` is what running attempts hold, `attempts` the folder of their supervisors.
    pub(super) fn look(
        &mut self,
        now: Duration,
        held: &BTreeMap<AttemptId, Allocation>,
        attempts: &Path,
    ) -> Vec<Look> {
        if let Some(library) = self.driver.open(now) {
            if self.driver.was_reloaded() {
                tracing::info!("the GPU driver is there again");
                self.faults.reset_all();
                self.ground = Ground::default();
            }
            self.events = Some(Events::listen(library));
        }
        let shared = held.values().flat_map(|one| one.gpu_shares.keys().cloned());
        let shared: BTreeSet<String> = shared.collect();
        let seen = self.driver.ask(&shared);
        for heard in self.events.iter().flat_map(Events::take) {
            self.faults.note(&heard.gpu, heard.xid, now);
        }
        if self.driver.is_gone() {
            self.events = None;
            self.driver.close();
        }
        self.nodes = seen.iter().map(Node::of).collect();
        self.unseen.clear();
        self.untold.clear();
        let mut looks = Vec::new();
        self.gpus.clear();
        for one in seen {
            let is_held = held.values().any(|held| held.gpus.contains(&one.gpu.uuid));
            let look = look_of(&one, attempts);
            let health = self.health(&one, look.as_ref(), is_held, now);
            if let Some(look) = look {
                self.remark(&look, is_held, shared.contains(&look.uuid));
                looks.push(look);
            }
            self.gpus.push(Gpu { health, ..one.gpu });
        }
        looks
    }

    fn health(&mut self, seen: &Seen, look: Option<&Look>, held: bool, now: Duration) -> GpuHealth {
        let uuid = &seen.gpu.uuid;
        if seen.back {
            // Nothing else makes a GPU answer again that did not.
            self.faults.reset(uuid);
        }
        let occupation = look.map(|look| self.ground.judge(look, held));
        if let GpuHealth::Faulty(_) = seen.gpu.health {
            return seen.gpu.health.clone();
        }
        if let Some(fault) = self.faults.of(uuid, now) {
            return GpuHealth::Faulty(fault);
        }
        match occupation {
            Some(Occupation::Leftover) => GpuHealth::Leftover,
            Some(Occupation::Others) => GpuHealth::UsedByOthers,
            Some(Occupation::Free) | None => GpuHealth::Usable,
        }
    }

    /// Notes what cannot be attributed.
    fn remark(&mut self, look: &Look, held: bool, shared: bool) {
        let ours = |process: &&Process| matches!(process.whose, Whose::Attempt(_));
        let mut our = look.processes.iter().filter(ours);
        if shared && our.any(|process| process.memory.is_none()) {
            self.untold.insert(look.uuid.clone());
        }
        let unseen = |process: &Process| process.whose == Whose::Unseen;
        if held && look.processes.iter().any(unseen) {
            self.unseen.insert(look.uuid.clone());
        }
    }
}

fn look_of(seen: &Seen, attempts: &Path) -> Option<Look> {
    let processes = seen.processes.as_ref()?.iter().map(|one| Process {
        pid: one.pid,
        whose: whose(one.pid, attempts),
        draws_only: one.draws_only,
        memory: one.memory,
        percent: one.percent,
    });
    Some(Look {
        uuid: seen.gpu.uuid.clone(),
        memory: seen.gpu.memory,
        memory_used: seen.gpu.memory_used,
        percent: seen.gpu.utilization_percent,
        processes: processes.collect(),
    })
}
