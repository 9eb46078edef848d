//! What the jobs of these tests ask for.

use std::collections::BTreeMap;

use common::{
    job::JobNumber,
    resources::Allocation,
    status::Network,
    time::Span,
    units::{Bytes, MilliCpu},
    wire::agent::{AttemptImage, AttemptSpec},
};

pub(crate) fn spec(script: &str, own_machine: bool) -> AttemptSpec {
    AttemptSpec {
        org: "lab".parse().unwrap(),
        job_number: JobNumber(1),
        job_name: "test".to_owned(),
        submitter: "bob".parse().unwrap(),
        own_machine,
        task_count: 1,
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        image: AttemptImage::Host,
        registry_login: false,
        secrets: Vec::new(),
        strong: false,
        workdir: None,
        allocation: Allocation {
            cpu: MilliCpu::cpus(1),
            memory: Bytes::mib(256),
            disk: Bytes::mib(64),
            ..Allocation::default()
        },
        datasets: Vec::new(),
        outputs: Vec::new(),
        network: Network::None,
        max_runtime: None,
        grace: Span::from_secs(5),
        project: None,
        nodes: Vec::new(),
        checkpoint: None,
        restore: None,
        params: None,
        shares: false,
    }
}
