//! Datasets that are there: what is asked and what comes back.

use super::super::Sample;
use super::nouns::{ORG, name};
use super::views::dataset_view;
use crate::api::data::{DataAnswer, DataRequest, MoveDataset, SetDataset};
use crate::api::{Answer, Request};
use crate::code::Code;
use crate::dataset::{DatasetDeletion, DatasetRef};
use crate::problem::Problem;
use crate::status::Visibility;
use crate::units::Bytes;

pub(super) fn datasets() -> Vec<Sample> {
    let (org, digits) = (ORG, name("digits"));
    let reference = |version| DatasetRef {
        name: name("digits"),
        version,
    };
    let request = |called, request| Sample::new(called, &Request::Data(request));
    let answer = |called, answer| Sample::new(called, &Answer::Data(answer));
    let deletion = |version| DatasetDeletion {
        name: name("digits"),
        version,
        versions: 3,
        bytes: Bytes::mib(5),
        jobs: 1,
        queued_tasks: 300,
        running_tasks: 2,
        more: true,
        refusal: Some(Problem::new(
            Code::InUse,
            "cannot delete digits",
            "1 job uses it",
        )),
    };
    vec![
        request(
            "preview_dataset_deletion",
            DataRequest::PreviewDeletion {
                org,
                dataset: reference(Some(3)),
            },
        ),
        request(
            "delete_dataset",
            DataRequest::Delete {
                org,
                dataset: reference(None),
            },
        ),
        request(
            "set_dataset",
            DataRequest::Set(SetDataset {
                org,
                name: digits.clone(),
                description: Some("MNIST".to_owned()),
                visibility: Some(Visibility::OrgWrite),
            }),
        ),
        request(
            "set_nothing_of_a_dataset",
            DataRequest::Set(SetDataset {
                org,
                name: digits.clone(),
                description: None,
                visibility: None,
            }),
        ),
        request(
            "move_dataset",
            DataRequest::Move(MoveDataset {
                org,
                name: digits.clone(),
                project: Some(name("vision")),
            }),
        ),
        request(
            "move_dataset_out",
            DataRequest::Move(MoveDataset {
                org,
                name: digits,
                project: None,
            }),
        ),
        answer("dataset_deletion", DataAnswer::Deletion(deletion(None))),
        answer("dataset_deleted", DataAnswer::Deleted(deletion(Some(3)))),
        answer("one_dataset", DataAnswer::One(Box::new(dataset_view()))),
        answer("dataset_gone", DataAnswer::Gone),
    ]
}
