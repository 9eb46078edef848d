//! Jobs beyond submitting and looking: holding, and who waits for whom.

use super::super::Sample;
use super::nouns::{JOB, NUMBER, ORG, job_spec, name};
use crate::api::job::{
    Dependants, GraphJob, HoldJob, JobAnswer, JobRequest, Rerun, RerunJob, SubmitGraph, Submitted,
};
use crate::api::{Answer, Request};
use crate::id::IdempotencyKey;
use crate::job::JobNumber;
use crate::job::graph::Need;
use crate::status::{Condition, JobStatus};

pub(super) fn jobs() -> Vec<Sample> {
    let hold = |dependants| HoldJob {
        org: ORG,
        number: NUMBER,
        dependants,
    };
    let requests = [
        ("hold_job", JobRequest::Hold(hold(false))),
        ("release_job", JobRequest::Release(hold(true))),
        (
            "count_dependants",
            JobRequest::CountDependants {
                org: ORG,
                number: NUMBER,
            },
        ),
        (
            "rerun_job",
            JobRequest::Rerun(RerunJob {
                org: ORG,
                number: NUMBER,
                failed: true,
                tasks: Some("0-9,20%5".parse().unwrap()),
                key: IdempotencyKey::from_bytes([8; 16]),
            }),
        ),
        (
            "submit_graph",
            JobRequest::SubmitGraph(SubmitGraph {
                org: ORG,
                jobs: vec![GraphJob {
                    name: name("train"),
                    spec: job_spec(),
                    needs: vec![Need {
                        place: 300,
                        condition: Condition::Failed,
                    }],
                }],
                key: IdempotencyKey::from_bytes([8; 16]),
            }),
        ),
    ];
    let submitted = Submitted {
        id: JOB,
        number: NUMBER,
        status: JobStatus::Queued,
        awaits: Vec::new(),
        held: false,
    };
    let graph = JobAnswer::Graph(vec![submitted.clone()]);
    let rerun = JobAnswer::Rerun(Rerun {
        submitted,
        tasks: 300,
    });
    let answers = [
        ("graph", graph),
        ("rerun", rerun),
        (
            "dependants",
            JobAnswer::Dependants(Dependants {
                count: 300,
                first: vec![JobNumber(43), JobNumber(44)],
            }),
        ),
    ];
    let requests = requests.map(|(name, request)| Sample::new(name, &Request::Job(request)));
    let answers = answers.map(|(name, answer)| Sample::new(name, &Answer::AboutJob(answer)));
    requests.into_iter().chain(answers).collect()
}
