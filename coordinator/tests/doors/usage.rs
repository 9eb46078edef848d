//! What running attempts use: said by their machines, shown with the job, gone with the attempt.

use common::{
    api::{Answer, Request, job::ShowJob},
    code::Code,
    id::AttemptId,
    job::AttemptView,
    time::Timestamp,
    usage::{AttemptSample, MAX_SAMPLES, UsageSample},
    wire::agent::{AgentMessage, AttemptReport, MAX_ATTEMPTS_PER_MACHINE, ReportStage},
};

use crate::{
    lab::{Lab, Signed, ask},
    machine::{Control, ended, job, machine, machine_of, submit},
};

fn sample(attempt: AttemptId, cpu_percent: u32) -> AttemptSample {
    AttemptSample {
        attempt,
        sample: UsageSample {
            at: Timestamp::from_unix_ms(u64::from(cpu_percent)),
            cpu_percent,
            ..UsageSample::default()
        },
    }
}

async fn say(control: &mut Control, samples: Vec<AttemptSample>) {
    let message = AgentMessage::Usage { samples };
    control.tx.send(&message).await.unwrap();
    control.settled().await;
}

async fn shown(
    member: &quinn::Connection,
    owner: &Signed,
    number: common::job::JobNumber,
) -> Vec<u32> {
    let show = Request::ShowJob(ShowJob {
        org: owner.org,
        number,
        task: None,
        attempts: 1,
        live: false,
    });
    let Ok(Answer::Job(job)) = ask(member, show).await else {
        panic!("it is the owner's");
    };
    let samples = |attempt: &AttemptView| attempt.samples.clone();
    let samples = job.attempts.iter().flat_map(samples);
    samples.map(|sample| sample.cpu_percent).collect()
}

#[tokio::test]
async fn samples_of_a_running_attempt_are_shown_until_it_ends() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let first = machine(&lab, &owner).await;
    let second = machine_of(&lab, &owner, &owner, "other").await;
    let mut control = Control::open(&lab, &first, Vec::new()).await;
    let number = submit(&member, job(owner.org)).await.number;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = set.attempts[0].attempt;
    let at = Timestamp::from_unix_ms(1);
    control.say(attempt, AttemptReport::Started { at }).await;
    control.acknowledged(attempt, ReportStage::Started).await;

    say(&mut control, vec![sample(attempt, 1)]).await;
    // Another machine says nothing of it, and nobody says anything of what is not there.
    let mut other = Control::open(&lab, &second, Vec::new()).await;
    let nowhere = AttemptId { task: 9, ..attempt };
    say(&mut other, vec![sample(attempt, 66), sample(nowhere, 67)]).await;
    say(&mut control, vec![sample(nowhere, 68), sample(attempt, 2)]).await;
    assert_eq!(shown(&member, &owner, number).await, [1, 2]);
    for percent in 3..100 {
        let message = AgentMessage::Usage {
            samples: vec![sample(attempt, percent)],
        };
        control.tx.send(&message).await.unwrap();
    }
    control.settled().await;
    let seen = shown(&member, &owner, number).await;
    assert_eq!((seen.len(), seen.last()), (MAX_SAMPLES, Some(&99)));

    control.say(attempt, ended(0)).await;
    control.acknowledged(attempt, ReportStage::Ended).await;
    assert_eq!(shown(&member, &owner, number).await, [0; 0]);
    say(&mut control, vec![sample(attempt, 70)]).await;
    assert_eq!(shown(&member, &owner, number).await, [0; 0]);
    lab.running.stop().await;
}

#[tokio::test]
async fn more_samples_than_a_machine_has_attempts_are_not_understood() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let attempt = AttemptId {
        job: common::id::JobId::from_bytes([9; 16]),
        task: 0,
        number: 1,
    };
    say(
        &mut control,
        vec![sample(attempt, 1); MAX_ATTEMPTS_PER_MACHINE],
    )
    .await;
    let samples = vec![sample(attempt, 1); MAX_ATTEMPTS_PER_MACHINE + 1];
    let message = AgentMessage::Usage { samples };
    control.tx.send(&message).await.unwrap();
    let closed = control.connection.closed().await;
    assert_eq!(link::close_problem(&closed).code, Code::Protocol);
    lab.running.stop().await;
}
