//! What is asked and answered about orgs as a whole.

use super::super::Sample;
use super::nouns::{NUMBER, ORG, name};
use crate::api::org::{OrgAnswer, OrgRequest};
use crate::api::{Answer, Request};
use crate::org::OrgSettings;
use crate::org::deletion::DeletionPreview;
use crate::org::departure::{DeparturePreview, EndingJob, Stays};
use crate::org::logo::{Logo, Picture};
use crate::org::retention::Retention;
use crate::org::settings::SettingsChange;
use crate::status::{Preemption, Role, Visibility};
use crate::units::Bytes;

pub(super) fn orgs() -> Vec<Sample> {
    let org = ORG;
    let change = SettingsChange {
        display_name: Some("The Lab".to_owned()),
        description: Some("Digits\nand more".to_owned()),
        contact: Some("ada@lab.example".to_owned()),
        default_visibility: Some(Visibility::Personal),
        members_may_invite: Some(true),
        members_may_create_clusters: Some(true),
        members_may_open_ports: Some(true),
        admins_may_manage_admins: Some(true),
        machine_approval_required: Some(false),
        require_two_factor: Some(true),
        artifacts_kept: Some(Retention::Forever),
        deleted_data_kept: Some(Retention::days(3)),
        storage: "s3://data/lab?region=eu-central-1".parse().ok(),
        usage_half_life: Some(Retention::days(7)),
        lending_credit: "50%".parse().ok(),
        raised_after: Some(Retention::Forever),
        reserved_after: Some(Retention::days(0)),
        preemption: Some(Preemption::Share),
        preempts_after: Some(Retention::days(0)),
        preempted_after: Some(Retention::days(1)),
    };
    let settings = change.made_to(&OrgSettings::default());
    let settings = settings.expect("these settings can be");
    let request = |name, request| Sample::new(name, &Request::Org(request));
    let answer = |name, answer| Sample::new(name, &Answer::AboutOrg(answer));
    vec![
        request("org_show_settings", OrgRequest::ShowSettings { org }),
        request(
            "org_change_settings",
            OrgRequest::ChangeSettings {
                org,
                change: Box::new(change),
            },
        ),
        request(
            "org_preview_removal",
            OrgRequest::PreviewRemoval {
                org,
                handle: name("bob"),
            },
        ),
        request("org_preview_leaving", OrgRequest::PreviewLeaving { org }),
        request("org_leave", OrgRequest::Leave { org }),
        request(
            "org_transfer",
            OrgRequest::Transfer {
                org,
                to: name("bob"),
                typed: "lab".to_owned(),
            },
        ),
        request(
            "org_request_rejoin",
            OrgRequest::RequestRejoin { name: name("lab") },
        ),
        request("org_create", OrgRequest::Create { name: name("club") }),
        request("org_show_logo", OrgRequest::ShowLogo { org }),
        request(
            "org_set_logo",
            OrgRequest::SetLogo {
                org,
                picture: logo().picture,
            },
        ),
        request("org_remove_logo", OrgRequest::RemoveLogo { org }),
        answer("org_logo", OrgAnswer::Logo(Box::new(logo()))),
        request("org_preview_deletion", OrgRequest::PreviewDeletion { org }),
        request(
            "org_delete",
            OrgRequest::Delete {
                org,
                typed: "lab".to_owned(),
            },
        ),
        answer(
            "org_deletion",
            OrgAnswer::Deletion(Box::new(DeletionPreview {
                name: name("lab"),
                members: 1,
                machines: 2,
                jobs: 3,
                running_tasks: 4,
                queued_tasks: 5,
                datasets: 6,
                projects: 7,
                secrets: 8,
                trees: 9,
                bytes: Bytes::gib(10),
            })),
        ),
        answer("org_departure", OrgAnswer::Departure(Box::new(departure()))),
        answer("org_settings", OrgAnswer::Settings(Box::new(settings))),
    ]
}

pub(super) fn logo() -> Logo {
    let picture = Picture(b"\xff\xd8\xff\xe0\xff\xd9".to_vec());
    Logo::new(picture).expect("it is framed as a JPEG")
}

fn departure() -> DeparturePreview {
    DeparturePreview {
        handle: name("bob"),
        role: Role::Admin,
        jobs: vec![EndingJob {
            number: NUMBER,
            running: 20,
            queued: 1000,
        }],
        job_count: 1,
        running_tasks: 20,
        queued_tasks: 1000,
        machines: vec![name("box")],
        machine_count: 3,
        interrupted_tasks: 4,
        invitations: 5,
        grants: 11,
        tokens: 12,
        devices: 6,
        stays: Stays {
            ended_jobs: 7,
            artifact_bytes: Bytes::gib(8),
            datasets: 9,
            dataset_bytes: Bytes::gib(10),
        },
    }
}
