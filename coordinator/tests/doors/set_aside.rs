//! A machine that cannot start jobs gets no more, until its owner says so.

use common::{
    api::{Answer, Request, machine::MachineRequest},
    id::IdempotencyKey,
    job::{AttemptUsage, Outcome},
    machine::MachineView,
    status::{EndReason, MachineStatus},
    time::Timestamp,
    wire::agent::{AttemptReport, ReportStage},
};

use crate::{
    lab::{Lab, ask},
    machine::{Control, job, machine, submit},
};

fn not_prepared() -> AttemptReport {
    AttemptReport::Ended {
        at: Timestamp::from_unix_ms(2),
        outcome: Outcome {
            reason: EndReason::PrepareFailed,
            exit_code: None,
            signal: None,
            detail: Some("the disk is full".to_owned()),
            usage: AttemptUsage::default(),
            log_bytes: 0,
        },
        artifacts: false,
    }
}

#[tokio::test]
async fn a_machine_that_starts_nothing_gets_nothing_until_its_owner_says_so() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let request = |number| {
        let mut request = job(owner.org);
        request.key = IdempotencyKey::from_bytes([number; 16]);
        request
    };
    for number in 1..=3 {
        submit(&member, request(number)).await;
        let set = control.assignment(|set| !set.attempts.is_empty()).await;
        let attempt = set.attempts[0].attempt;
        control.say(attempt, not_prepared()).await;
        control.acknowledged(attempt, ReportStage::Ended).await;
    }
    let show = async || -> MachineView {
        let name = machine.called.clone();
        let org = owner.org;
        match ask(&member, Request::ShowMachine { org, name }).await {
            Ok(Answer::Machine(machine)) => *machine,
            other => panic!("{other:?}"),
        }
    };
    let shown = show().await;
    assert_eq!(shown.status, MachineStatus::SetAside);
    let aside = shown.set_aside.unwrap();
    assert_eq!(aside.after.len(), 3);
    assert!(aside.text.starts_with("it could not start 3 jobs in a row"));

    let waits = submit(&member, request(4)).await;
    let readmit = Request::Machine(MachineRequest::Readmit {
        org: owner.org,
        name: machine.called.clone(),
    });
    assert_eq!(ask(&member, readmit).await, Ok(Answer::Done));
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    assert_eq!(set.attempts[0].attempt.job, waits.id);
    assert_eq!(show().await.status, MachineStatus::Busy);
    lab.running.stop().await;
}
