//! The audit log and usage: each org's own, for those who may, and the proof of it.

use common::{
    api::{
        Answer, Request,
        audit::{AuditAnswer, AuditPage, AuditRequest, ChainPage, ListAudit, ReadChain},
        usage::ShowUsage,
    },
    audit::ChainHead,
    code::Code,
    id::OrgId,
    problem::Problem,
    status::{AuditKind, UsageBy},
    time::Timestamp,
};

use crate::{
    lab::{Lab, ask},
    machine::{Control, ended, job, machine, submit},
    orgs::with_shop,
};

fn list(org: OrgId) -> ListAudit {
    ListAudit {
        org,
        kinds: AuditKind::ALL.to_vec(),
        actor: None,
        since: None,
        before: None,
        limit: 1000,
    }
}

async fn entries(member: &quinn::Connection, list: ListAudit) -> Result<AuditPage, Problem> {
    match ask(member, Request::Audit(AuditRequest::List(list))).await? {
        Answer::Audit(AuditAnswer::Page(page)) => Ok(page),
        other => panic!("{other:?}"),
    }
}

async fn chain(member: &quinn::Connection, org: OrgId, from: u64) -> Result<ChainPage, Problem> {
    let read = AuditRequest::Chain(ReadChain { org, from });
    match ask(member, Request::Audit(read)).await? {
        Answer::Audit(AuditAnswer::Chain(page)) => Ok(page),
        other => panic!("{other:?}"),
    }
}

fn usage(org: OrgId) -> Request {
    Request::ShowUsage(ShowUsage {
        org,
        by: UsageBy::Machine,
        since: None,
        after: None,
        limit: u32::MAX,
    })
}

#[tokio::test]
async fn an_org_proves_its_own_log_and_sees_nothing_of_another() {
    let (lab, dora) = with_shop(Lab::start().await).await;
    let alice = lab.owner().await;
    let (ours, theirs) = (lab.connect(&alice).await, lab.connect(&dora).await);
    machine(&lab, &alice).await;
    submit(&ours, job(alice.org)).await;
    for (member, org, other) in [(&ours, alice.org, dora.org), (&theirs, dora.org, alice.org)] {
        let page = chain(member, org, 0).await.unwrap();
        let mut head = ChainHead::first(org);
        for entry in &page.entries {
            head = head.with(entry.json.as_bytes());
            assert_eq!(head.seal, entry.seal);
            assert!(!entry.json.contains(&other.to_string()), "{}", entry.json);
        }
        assert_eq!(head, page.head);
        assert!(head.entries > 3);
        let shown = entries(member, list(org)).await.unwrap();
        assert_eq!(shown.entries.len() as u64, head.entries);
        assert_eq!(shown.before, None);

        for refused in [
            entries(member, list(other)).await.map(drop),
            chain(member, other, 0).await.map(drop),
            ask(member, usage(other)).await.map(drop),
        ] {
            assert_eq!(refused.unwrap_err().code, Code::NotFound);
        }
    }
    let approved = entries(&ours, list(alice.org)).await.unwrap();
    let mut approved = approved.entries.iter();
    let approved = approved.find(|entry| entry.event == "machine_approved");
    let approved = approved.expect("the machine was approved");
    assert_eq!(approved.actor.name.as_deref(), Some("alice"));
    lab.running.stop().await;
}

#[tokio::test]
async fn what_is_asked_of_the_log_is_bounded_and_answered() {
    let (lab, _dora) = with_shop(Lab::start().await).await;
    let alice = lab.owner().await;
    let ours = lab.connect(&alice).await;
    let org = alice.org;
    let of = |change: fn(&mut ListAudit)| {
        let mut list = list(org);
        change(&mut list);
        entries(&ours, list)
    };
    let all = of(|_| ()).await.unwrap().entries.len();
    assert_eq!(
        of(|list| list.limit = u32::MAX)
            .await
            .unwrap()
            .entries
            .len(),
        all
    );
    assert_eq!(of(|list| list.limit = 0).await.unwrap().entries.len(), 1);
    assert_eq!(
        of(|list| list.before = Some(u64::MAX))
            .await
            .unwrap()
            .entries
            .len(),
        all
    );
    let nothing = [
        of(|list| list.before = Some(0)).await,
        of(|list| list.since = Some(Timestamp::from_unix_ms(u64::MAX))).await,
    ];
    for page in nothing {
        assert_eq!(
            page.unwrap(),
            AuditPage {
                entries: Vec::new(),
                before: None
            }
        );
    }
    // A kind that is named again and again is one kind.
    let again = of(|list| list.kinds = vec![AuditKind::Org; 100_000]).await;
    assert_eq!(again.unwrap().entries.len(), 1);
    for actor in ["nobody", "dora"] {
        let list = ListAudit {
            actor: Some(actor.to_owned()),
            ..list(org)
        };
        let refused = entries(&ours, list).await.unwrap_err();
        assert_eq!(refused.code, Code::NotFound);
        assert!(refused.what.contains(actor), "{refused}");
    }
    assert!(
        chain(&ours, org, u64::MAX)
            .await
            .unwrap()
            .entries
            .is_empty()
    );
    lab.running.stop().await;
}

#[tokio::test]
async fn what_an_attempt_used_is_there_after_a_restart() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    submit(&member, job(owner.org)).await;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = set.attempts[0].attempt;
    control.say(attempt, ended(0)).await;
    let stage = common::wire::agent::ReportStage::Ended;
    control.acknowledged(attempt, stage).await;
    let before = ask(&member, usage(owner.org)).await.unwrap();
    let Answer::Usage(report) = &before else {
        panic!("{before:?}");
    };
    assert_eq!((report.rows.len(), report.billed.attempts), (1, 1));
    assert_eq!(report.rows[0].own, report.billed);
    drop((member, control));
    let lab = lab.restart().await;
    let member = lab.connect(&owner).await;
    assert_eq!(ask(&member, usage(owner.org)).await.unwrap(), before);
    lab.running.stop().await;
}
