//! Secrets: what is asked, what comes back, and what the machine is given.

use super::super::Sample;
use super::nouns::{AT, ATTEMPT, ORG, last, name};
use crate::api::secret::{
    AllowSecret, SecretAnswer, SecretPlace, SecretRequest, SetSecret, UsersChange,
};
use crate::api::{Answer, Request};
use crate::id::SecretId;
use crate::seal::Sealed;
use crate::secret::{SecretKind, SecretUser, SecretUsersView, SecretValue, SecretView};
use crate::wire::agent::{AgentStream, SecretsAnswer};

pub(super) fn secrets() -> Vec<Sample> {
    let mut all: Vec<Sample> = requests()
        .iter()
        .map(|(name, request)| Sample::new(name, &Request::Secret(request.clone())))
        .collect();
    let answers = [
        ("secret", SecretAnswer::One(view())),
        ("secrets", SecretAnswer::List(last(view()))),
        ("secret_deleted", SecretAnswer::Deleted),
    ];
    all.extend(answers.map(|(name, answer)| Sample::new(name, &Answer::Secret(answer))));
    all.extend([
        Sample::new("secrets", &AgentStream::Secrets { attempt: ATTEMPT }),
        Sample::new(
            "secrets_answer",
            &SecretsAnswer {
                secrets: vec![SecretValue {
                    name: "HF_TOKEN".parse().unwrap(),
                    value: "pw".to_owned(),
                }],
            },
        ),
    ]);
    all
}

fn requests() -> Vec<(&'static str, SecretRequest)> {
    let secret = || "HF_TOKEN".parse().unwrap();
    let allow = |change| {
        SecretRequest::Allow(AllowSecret {
            org: ORG,
            name: secret(),
            change,
        })
    };
    let set = |project, kind| {
        SecretRequest::Set(SetSecret {
            org: ORG,
            project,
            name: secret(),
            kind,
            value: Sealed {
                encapsulated: vec![1, 2],
                ciphertext: vec![3],
            },
        })
    };
    let registry = "ghcr.io".to_owned();
    vec![
        (
            "set_secret",
            set(Some(name("vision")), SecretKind::Variable),
        ),
        ("set_registry", set(None, SecretKind::Registry { registry })),
        (
            "list_secrets",
            SecretRequest::List {
                org: ORG,
                after: Some(SecretPlace {
                    project: None,
                    name: secret(),
                }),
            },
        ),
        (
            "allow_member",
            allow(UsersChange::Allow(SecretUser::Member(name("ada")))),
        ),
        (
            "disallow_project",
            allow(UsersChange::Disallow(SecretUser::Project(name("vision")))),
        ),
        (
            "allow_everyone",
            allow(UsersChange::Allow(SecretUser::Everyone)),
        ),
        ("allow_admins", allow(UsersChange::AdminsOnly)),
        (
            "delete_secret",
            SecretRequest::Delete {
                org: ORG,
                project: None,
                name: secret(),
            },
        ),
    ]
}

fn view() -> SecretView {
    SecretView {
        id: SecretId::from_bytes([11; 16]),
        name: "HF_TOKEN".parse().unwrap(),
        project: Some(name("vision")),
        kind: SecretKind::Variable,
        version: 2,
        masked: true,
        set_by: name("ada"),
        set_at: AT,
        users: Some(SecretUsersView {
            everyone: false,
            members: vec![name("bob")],
            projects: vec![name("vision")],
        }),
    }
}
