//! What opens a registry: sealed by a member, opened for the machine that is to run the attempt, refused to others.

use std::{fs, os::unix::fs::PermissionsExt as _};

use certs::{SealError, SealingKey, seal_login};
use common::{
    api::{
        Answer, Request,
        job::{ShowJob, SubmitJob},
    },
    code::Code,
    id::{AttemptId, IdempotencyKey},
    problem::Problem,
    seal::RegistryLogin,
    time::Timestamp,
    wire::agent::{AgentStream, AttemptReport, Goal, RegistryAnswer, ReportStage},
};

use crate::{
    lab::{Lab, Signed, ask},
    machine::{Control, ended, job, machine, machine_of, submit},
};

const REGISTRY: &str = "r.example:5000";

fn login() -> RegistryLogin {
    RegistryLogin {
        registry: REGISTRY.to_owned(),
        user: "bob".to_owned(),
        password: "hunter2".to_owned(),
    }
}

async fn sealing_key(member: &quinn::Connection) -> Vec<u8> {
    match ask(member, Request::WhoAmI).await {
        Ok(Answer::WhoAmI(me)) => me.sealing_key,
        other => panic!("{other:?}"),
    }
}

/// Returns a job whose image comes from the registry.
fn private(owner: &Signed, key: &[u8], login: &RegistryLogin) -> SubmitJob {
    let mut request = job(owner.org);
    let image = format!("{REGISTRY}/lab/train@sha256:{}", "0a".repeat(32));
    request.spec.image = image.parse().unwrap();
    request.spec.registry_login = Some(seal_login(key, login).unwrap());
    request
}

async fn login_for(control: &Control, attempt: AttemptId) -> Result<RegistryLogin, Problem> {
    let answer = control.ask(AgentStream::RegistryLogin { attempt }).await;
    answer.map(|RegistryAnswer { login }| login)
}

#[tokio::test]
async fn a_registry_is_opened_for_the_machine_that_runs_the_attempt_while_it_does() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let first = machine(&lab, &owner).await;
    let second = machine_of(&lab, &owner, &owner, "other").await;
    let mut control = Control::open(&lab, &first, Vec::new()).await;
    let key = sealing_key(&member).await;
    let submitted = submit(&member, private(&owner, &key, &login())).await;
    // Sealed anew, it is other bytes and the same job.
    let again = submit(&member, private(&owner, &key, &login())).await;
    assert_eq!(again, submitted);
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = set.attempts[0].attempt;
    assert!(set.attempts[0].spec.registry_login);
    assert_eq!(set.attempts[0].goal, Goal::Run);
    assert_eq!(login_for(&control, attempt).await, Ok(login()));

    let other = Control::open(&lab, &second, Vec::new()).await;
    for (control, attempt) in [
        (&other, attempt),
        (&control, AttemptId { task: 1, ..attempt }),
    ] {
        let refused = login_for(control, attempt).await.unwrap_err();
        assert_eq!(refused.code, Code::NotFound);
        assert!(!format!("{refused:?}").contains("example"), "{refused}");
    }

    // The key outlives the process, and so does what was sealed for it.
    let lab = lab.restart().await;
    let member = lab.connect(&owner).await;
    assert_eq!(sealing_key(&member).await, key);
    let mut control = Control::open(&lab, &first, vec![attempt]).await;
    assert_eq!(login_for(&control, attempt).await, Ok(login()));
    let show = Request::ShowJob(ShowJob {
        org: owner.org,
        number: submitted.number,
        task: None,
        attempts: 1,
        live: false,
    });
    let Ok(Answer::Job(shown)) = ask(&member, show).await else {
        panic!("it is the owner's");
    };
    assert_eq!(shown.spec.registry_login, None);

    let at = Timestamp::from_unix_ms(1);
    control.say(attempt, AttemptReport::Started { at }).await;
    control.say(attempt, ended(0)).await;
    control.acknowledged(attempt, ReportStage::Ended).await;
    let refused = login_for(&control, attempt).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    lab.running.stop().await;
}

#[tokio::test]
async fn what_was_sealed_for_something_else_is_not_opened() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let key = sealing_key(&member).await;
    let elsewhere = RegistryLogin {
        registry: "docker.io".to_owned(),
        ..login()
    };
    submit(&member, private(&owner, &key, &elsewhere)).await;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let refused = login_for(&control, set.attempts[0].attempt).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, Code::RegistryRefused);
    assert!(!format!("{refused:?}").contains("hunter2"), "{refused}");

    let mut tagged = private(&owner, &key, &login());
    tagged.key = IdempotencyKey::from_bytes([8; 16]);
    tagged.spec.image = "python:3.12".parse().unwrap();
    let answer = ask(&member, Request::SubmitJob(Box::new(tagged))).await;
    let refused = answer.unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.why.contains("has no digest"), "{refused}");
    lab.running.stop().await;
}

#[tokio::test]
async fn the_key_is_the_coordinators_own_and_an_older_folder_gets_one() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let old = sealing_key(&lab.connect(&owner).await).await;
    let path = lab.config.data.join("sealing-key.pem");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(SealingKey::open(&path).unwrap().public(), old);

    let stopped = lab.stop().await;
    fs::remove_file(&path).unwrap();
    let lab = stopped.start_again().await;
    let new = sealing_key(&lab.connect(&owner).await).await;
    assert_ne!(new, old);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // One that is there and cannot be read is never replaced.
    let stopped = lab.stop().await;
    fs::write(&path, "not a key").unwrap();
    let refused = coordinator::run(stopped.config.clone()).await.unwrap_err();
    assert!(refused.help.contains("backup"), "{refused}");
    let checked = coordinator::check(&stopped.config.data).unwrap_err();
    assert_eq!(checked, refused);
    assert!(matches!(SealingKey::open(&path), Err(SealError::NotAKey)));
}
