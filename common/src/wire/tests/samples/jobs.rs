//! Jobs beyond submitting and looking: holding, and who waits for whom.

use super::super::Sample;
use super::nouns::{NUMBER, ORG};
use crate::api::job::{Dependants, HoldJob, JobAnswer, JobRequest};
use crate::api::{Answer, Request};
use crate::job::JobNumber;

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
    ];
    let answers = [(
        "dependants",
        JobAnswer::Dependants(Dependants {
            count: 300,
            first: vec![JobNumber(43), JobNumber(44)],
        }),
    )];
    let requests = requests.map(|(name, request)| Sample::new(name, &Request::Job(request)));
    let answers = answers.map(|(name, answer)| Sample::new(name, &Answer::AboutJob(answer)));
    requests.into_iter().chain(answers).collect()
}
