//! Projects: what is asked and what comes back.

use super::super::Sample;
use super::nouns::{AT, ORG, last, name};
use crate::api::project::{
    ArchiveProject, CreateProject, GrantAccess, ProjectAnswer, ProjectRequest, RevokeAccess,
    SetProject,
};
use crate::api::{Answer, Request};
use crate::id::ProjectId;
use crate::project::{GrantView, Grantee, ProjectView, Restrictions};
use crate::status::{Access, CopyOut, DeleteBy, DownloadBy};

pub(super) fn projects() -> Vec<Sample> {
    let mut all: Vec<Sample> = project_requests()
        .iter()
        .map(|(name, request)| Sample::new(name, request))
        .collect();
    all.extend([
        Sample::new(
            "project",
            &Answer::Project(ProjectAnswer::One(Box::new(project_view()))),
        ),
        Sample::new(
            "projects",
            &Answer::Project(ProjectAnswer::List(last(project_view()))),
        ),
        Sample::new("project_gone", &Answer::Project(ProjectAnswer::Gone)),
    ]);
    all
}

fn project_requests() -> [(&'static str, Request); 9] {
    let (org, vision) = (ORG, name("vision"));
    let grant = |to| {
        Request::Project(ProjectRequest::Grant(GrantAccess {
            org,
            name: vision.clone(),
            to,
            access: Access::Contribute,
        }))
    };
    [
        (
            "create_project",
            Request::Project(ProjectRequest::Create(CreateProject {
                org,
                name: vision.clone(),
                description: "depth maps".to_owned(),
                restrictions: Restrictions::default(),
            })),
        ),
        (
            "list_projects",
            Request::Project(ProjectRequest::List {
                org,
                archived: true,
                after: None,
            }),
        ),
        (
            "show_project",
            Request::Project(ProjectRequest::Show {
                org,
                name: vision.clone(),
            }),
        ),
        ("grant_member", grant(Grantee::Member(name("ada")))),
        ("grant_everyone", grant(Grantee::Everyone)),
        (
            "revoke_access",
            Request::Project(ProjectRequest::Revoke(RevokeAccess {
                org,
                name: vision.clone(),
                from: Grantee::Everyone,
            })),
        ),
        (
            "set_project",
            Request::Project(ProjectRequest::Set(SetProject {
                org,
                name: vision.clone(),
                description: Some(String::new()),
                copy_out: Some(CopyOut::None),
                delete: Some(DeleteBy::Admins),
                download: Some(DownloadBy::None),
            })),
        ),
        (
            "archive_project",
            Request::Project(ProjectRequest::Archive(ArchiveProject {
                org,
                name: vision.clone(),
                archived: true,
            })),
        ),
        (
            "set_nothing_of_a_project",
            Request::Project(ProjectRequest::Set(SetProject {
                org,
                name: vision.clone(),
                description: None,
                copy_out: None,
                delete: None,
                download: None,
            })),
        ),
    ]
}

fn project_view() -> ProjectView {
    ProjectView {
        id: ProjectId::from_bytes([10; 16]),
        name: name("vision"),
        description: String::new(),
        created_by: name("ada"),
        created_at: AT,
        archived_at: Some(AT),
        restrictions: Restrictions::default(),
        access: Access::Administer,
        everyone: Some(Access::View),
        grants: vec![GrantView {
            member: name("bob"),
            access: Access::Upload,
            granted_by: name("ada"),
            granted_at: AT,
        }],
    }
}
