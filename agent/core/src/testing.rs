//! Values for this crate's own tests.

use common::{
    id::{AttemptId, JobId},
    job::JobNumber,
    resources::Allocation,
    status::Network,
    time::Span,
    wire::agent::{Assigned, AttemptImage, AttemptSpec, Goal},
};

pub(crate) fn attempt(task: u32, number: u32) -> AttemptId {
    AttemptId {
        job: JobId::from_bytes([7; 16]),
        task,
        number,
    }
}

pub(crate) fn assigned(task: u32, number: u32, goal: Goal) -> Assigned {
    Assigned {
        attempt: attempt(task, number),
        goal,
        spec: spec(),
        after: None,
    }
}

pub(crate) fn spec() -> AttemptSpec {
    AttemptSpec {
        org: "lab".parse().expect("a name"),
        job_number: JobNumber(1),
        job_name: "true".to_owned(),
        submitter: "alice".parse().expect("a name"),
        own_machine: false,
        task_count: 1,
        command: vec!["true".to_owned()],
        env: std::collections::BTreeMap::new(),
        image: AttemptImage::Host,
        registry_login: false,
        secrets: Vec::new(),
        strong: false,
        workdir: None,
        allocation: Allocation::default(),
        datasets: Vec::new(),
        outputs: Vec::new(),
        network: Network::None,
        max_runtime: None,
        grace: Span::from_secs(30),
        project: None,
        nodes: Vec::new(),
        checkpoint: None,
        restore: None,
        params: None,
        shares: false,
    }
}
