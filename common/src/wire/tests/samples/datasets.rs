//! Datasets that are there: what is asked and what comes back.

use super::super::Sample;
use super::nouns::{AT, ORG, name};
use super::views::dataset_view;
use crate::api::data::{
    DataAnswer, DataRequest, DeleteDataset, MoveDataset, RestoreDataset, SetDataset, VerifiedPart,
    VerifyDataset, WarmDataset, WarmState, WarmView,
};
use crate::api::page::Page;
use crate::api::storage::{
    Scrub, StorageAnswer, StorageReport, StorageRequest, StoredNow, Whereabouts,
};
use crate::api::{Answer, Request};
use crate::code::Code;
use crate::dataset::{DatasetDeletion, DatasetRef, DeletedKey, DeletedView};
use crate::org::storage::StoragePlace;
use crate::problem::Problem;
use crate::status::Visibility;
use crate::time::Span;
use crate::tree::chunk_id;
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
        kept_until: Some(AT),
        refusal: Some(Problem::new(
            Code::InUse,
            "cannot delete digits",
            "1 job uses it",
        )),
    };
    let key = DeletedKey {
        kept_until: AT,
        dataset: dataset_view().id,
        version: 3,
    };
    let mut all = stored();
    all.extend([
        request(
            "preview_dataset_deletion",
            DataRequest::PreviewDeletion(DeleteDataset {
                org,
                dataset: reference(Some(3)),
                now: false,
            }),
        ),
        request(
            "delete_dataset",
            DataRequest::Delete(DeleteDataset {
                org,
                dataset: reference(None),
                now: true,
            }),
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
        request(
            "restore_dataset",
            DataRequest::Restore(RestoreDataset {
                org,
                dataset: reference(Some(3)),
                under: None,
            }),
        ),
        request(
            "restore_dataset_under_another_name",
            DataRequest::Restore(RestoreDataset {
                org,
                dataset: reference(None),
                under: Some(name("old-digits")),
            }),
        ),
        request(
            "list_deleted_datasets",
            DataRequest::ListDeleted {
                org,
                after: Some(key),
            },
        ),
        answer(
            "deleted_datasets",
            DataAnswer::ListDeleted(Page {
                rows: vec![DeletedView {
                    dataset: key.dataset,
                    name: name("digits"),
                    version: Some(3),
                    versions: 1,
                    bytes: Bytes::mib(5),
                    deleted_by: name("bob"),
                    deleted_at: AT,
                    kept_until: AT,
                }],
                next: Some(key),
            }),
        ),
        request(
            "verify_dataset",
            DataRequest::Verify(VerifyDataset {
                org,
                dataset: reference(Some(3)),
                from: 1000,
            }),
        ),
        answer(
            "dataset_verified",
            DataAnswer::Verified(VerifiedPart {
                version: 3,
                files: 2000,
                total: Bytes::mib(5),
                bytes: Bytes::mib(1),
                damaged: vec!["a/b".parse().unwrap()],
                damaged_files: 1,
                next: Some(2000),
            }),
        ),
        answer(
            "dataset_unchanged",
            DataAnswer::Unchanged(Box::new(dataset_view())),
        ),
        request("warm_dataset", DataRequest::Warm(warm())),
        request("show_warm", DataRequest::ShowWarm(warm())),
        answer("dataset_there", warmed(WarmState::There)),
        answer("dataset_coming", warmed(WarmState::Coming { until: AT })),
        answer(
            "dataset_not_fetched",
            warmed(WarmState::Failed {
                code: Code::DiskFull,
                why: "2 TiB are needed".to_owned(),
            }),
        ),
        answer("dataset_not_wanted", warmed(WarmState::NotWanted)),
        answer("dataset_deletion", DataAnswer::Deletion(deletion(None))),
        answer("dataset_deleted", DataAnswer::Deleted(deletion(Some(3)))),
        answer("one_dataset", DataAnswer::One(Box::new(dataset_view()))),
        answer("dataset_gone", DataAnswer::Gone),
    ]);
    all
}

fn stored() -> Vec<Sample> {
    let report = |scrub| StorageReport {
        dry_run: true,
        trees: 2,
        pieces: 300,
        bytes: Bytes::mib(5),
        more: false,
        held: 1,
        kept: StoredNow {
            trees: 7,
            bytes: Bytes::gib(2),
            dead: Bytes::mib(9),
        },
        scrub,
    };
    let scrub = Scrub {
        started_at: AT,
        ended_at: AT,
        pieces: 4000,
        bytes: Bytes::gib(2),
        damaged: 1,
        named: vec![chunk_id(b"x")],
    };
    let collect = StorageRequest::Collect {
        org: ORG,
        dry_run: true,
    };
    let answer =
        |called, report| Sample::new(called, &Answer::Storage(StorageAnswer::Collected(report)));
    let whereabouts = |called, held_up| {
        let shown = Whereabouts {
            storage: StoragePlace::Local,
            bucket: "s3://data/lab?region=eu-central-1".parse().ok(),
            local: Bytes::gib(1),
            remote: Bytes::gib(3),
            moving: true,
            held_up,
        };
        Sample::new(called, &Answer::Storage(StorageAnswer::Whereabouts(shown)))
    };
    let held_up = Problem::new(Code::StorageUnreachable, "not moved", "nobody answers");
    vec![
        Sample::new("collect_storage", &Request::Storage(collect)),
        answer("storage_collected", report(Some(scrub))),
        answer("storage_collected_unscrubbed", report(None)),
        Sample::new(
            "show_storage",
            &Request::Storage(StorageRequest::Show { org: ORG }),
        ),
        whereabouts("storage_shown", None),
        whereabouts("storage_shown_held_up", Some(held_up)),
    ]
}

fn warm() -> WarmDataset {
    WarmDataset {
        org: ORG,
        dataset: "digits@3".parse().unwrap(),
        machine: name("box"),
    }
}

fn warmed(state: WarmState) -> DataAnswer {
    DataAnswer::Warm(WarmView {
        dataset: "digits@3".parse().unwrap(),
        machine: name("box"),
        bytes: Bytes::gib(41),
        state,
        fetch_time: Span::from_secs(61),
    })
}
