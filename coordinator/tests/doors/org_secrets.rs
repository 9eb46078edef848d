//! Secrets of an org: sealed by a member, kept as sealed, opened for the machine that runs a job that uses them.

use std::fs;

use certs::{SealingKey, seal};
use common::{
    api::{
        Answer, Request,
        page::Page,
        secret::{SecretAnswer, SecretRequest, SetSecret},
    },
    code::Code,
    id::AttemptId,
    problem::Problem,
    seal::Sealed,
    secret::{MAX_VALUE_BYTES, SecretKind, SecretName, SecretValue, SecretView, sealing_context},
    wire::agent::{AgentStream, SecretsAnswer},
};

use crate::{
    lab::{Lab, Signed, ask},
    machine::{Control, job, machine, machine_of, submit},
};

fn token() -> SecretName {
    "HF_TOKEN".parse().unwrap()
}

async fn key(member: &quinn::Connection) -> Vec<u8> {
    match ask(member, Request::WhoAmI).await {
        Ok(Answer::WhoAmI(me)) => me.sealing_key,
        other => panic!("{other:?}"),
    }
}

async fn set(
    member: &quinn::Connection,
    owner: &Signed,
    kind: SecretKind,
    value: Sealed,
) -> Result<SecretView, Problem> {
    let request = SecretRequest::Set(SetSecret {
        org: owner.org,
        project: None,
        name: token(),
        kind,
        value,
    });
    match ask(member, Request::Secret(request)).await? {
        Answer::Secret(SecretAnswer::One(view)) => Ok(view),
        other => panic!("{other:?}"),
    }
}

fn sealed(key: &[u8], owner: &Signed, value: &[u8]) -> Sealed {
    let context = sealing_context(owner.org, None, &token());
    seal(key, context.as_bytes(), value).unwrap()
}

async fn secrets_for(control: &Control, attempt: AttemptId) -> Result<Vec<SecretValue>, Problem> {
    let answer = control.ask(AgentStream::Secrets { attempt }).await;
    answer.map(|SecretsAnswer { secrets }| secrets)
}

#[tokio::test]
async fn a_secret_is_opened_for_the_machine_that_runs_the_job_and_a_wrong_key_is_noticed() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let first = machine(&lab, &owner).await;
    let second = machine_of(&lab, &owner, &owner, "other").await;
    let mut control = Control::open(&lab, &first, Vec::new()).await;
    let key = key(&member).await;
    let old = sealed(&key, &owner, b"an older value");
    let shown = set(&member, &owner, SecretKind::Variable, old)
        .await
        .unwrap();
    assert_eq!((shown.version, shown.masked), (1, true));

    let mut request = job(owner.org);
    request.spec.secrets = vec![token()];
    submit(&member, request).await;
    let assigned = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = assigned.attempts[0].attempt;
    assert_eq!(assigned.attempts[0].spec.secrets, [token()]);
    let new = sealed(&key, &owner, b"hunter22");
    let shown = set(&member, &owner, SecretKind::Variable, new)
        .await
        .unwrap();
    assert_eq!(shown.version, 2);
    let given = secrets_for(&control, attempt).await.unwrap();
    assert_eq!(given.len(), 1);
    assert_eq!(
        (&given[0].name, given[0].value.as_str()),
        (&token(), "hunter22")
    );
    assert!(!format!("{given:?}").contains("hunter22"));

    let other = Control::open(&lab, &second, Vec::new()).await;
    let refused = secrets_for(&other, attempt).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    assert!(!refused.to_string().contains("HF_TOKEN"), "{refused}");

    // The book is sound with its own key, not with another, and no other is made for it.
    let stopped = lab.stop().await;
    let data = &stopped.config.data;
    coordinator::check(data).unwrap();
    let path = data.join("sealing-key.pem");
    let own = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let refused = coordinator::check(data).unwrap_err();
    assert_eq!(refused.code, Code::StoreDamaged, "{refused}");
    let refused = coordinator::run(stopped.config.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::StoreDamaged, "{refused}");
    assert!(!path.exists());
    SealingKey::create(&path).unwrap();
    let refused = coordinator::check(data).unwrap_err();
    assert!(refused.why.contains("secret HF_TOKEN"), "{refused}");
    fs::write(&path, own).unwrap();
    coordinator::check(data).unwrap();
}

#[tokio::test]
async fn a_value_that_cannot_be_used_is_refused_when_it_is_set() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let key = key(&member).await;
    let registry = || SecretKind::Registry {
        registry: "r.example".to_owned(),
    };
    let elsewhere = sealing_context(owner.org, None, &"OTHER".parse().unwrap());
    let elsewhere = seal(&key, elsewhere.as_bytes(), b"hunter22").unwrap();
    let long = vec![b'x'; MAX_VALUE_BYTES + 1];
    let login = br#"{"registry":"other.example","user":"a","password":"hunter22"}"#;
    for (kind, value, words) in [
        (
            SecretKind::Variable,
            sealed(&key, &owner, b""),
            "it has no value",
        ),
        (
            SecretKind::Variable,
            sealed(&key, &owner, &long),
            "longer than 8192 bytes",
        ),
        (
            SecretKind::Variable,
            sealed(&key, &owner, b"a\0b"),
            "no text",
        ),
        (
            SecretKind::Variable,
            sealed(&key, &owner, b"\xff\xfe"),
            "no text",
        ),
        (SecretKind::Variable, elsewhere, "sealed for another"),
        (
            registry(),
            sealed(&key, &owner, b"hunter22"),
            "how to open that registry",
        ),
        (
            registry(),
            sealed(&key, &owner, login),
            "how to open that registry",
        ),
    ] {
        let refused = set(&member, &owner, kind, value).await.unwrap_err();
        assert_eq!(refused.code, Code::BadRequest, "{refused}");
        assert!(refused.why.contains(words), "{refused}");
        assert!(!refused.to_string().contains("hunter22"), "{refused}");
    }
    let list = Request::Secret(SecretRequest::List {
        org: owner.org,
        after: None,
    });
    let answer = ask(&member, list).await.unwrap();
    assert_eq!(answer, Answer::Secret(SecretAnswer::List(Page::default())));
    let short = sealed(&key, &owner, b"12345");
    let shown = set(&member, &owner, SecretKind::Variable, short)
        .await
        .unwrap();
    assert!(!shown.masked);
    lab.running.stop().await;
}
