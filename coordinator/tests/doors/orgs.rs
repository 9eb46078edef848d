//! Two orgs of one coordinator.

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        job::{ListJobs, ShowJob},
        org::OrgRequest,
        page::Page,
    },
    code::Code,
    id::{OrgId, TreeId},
    job::JobNumber,
    join_link::LinkPurpose,
    units::Bytes,
    wire::{
        client::{ClientStream, DownloadSource, UploadPurpose},
        data::Announced,
    },
};
use coordinator::AddOrgOutcome;
use coordinator_core::command::WhoMayCreateOrgs;
use link::frames::{self, RecvError};

use crate::{
    lab::{Lab, Signed, ask, name},
    machine::{job, machine, submit},
};

/// Adds the org `shop` while the coordinator is stopped, and signs its owner in.
pub(crate) async fn with_shop(lab: Lab) -> (Lab, Signed) {
    let lab = lab.stop().await;
    let outcome = coordinator::add_org(&lab.config, &name("shop"), &name("dora"));
    let AddOrgOutcome::NewOwner { link } = outcome.unwrap() else {
        panic!("nobody knows dora");
    };
    let known = coordinator::add_org(&lab.config, &name("club"), &name("alice"));
    assert_eq!(known, Ok(AddOrgOutcome::KnownOwner));
    let lab = lab.start_again().await;
    let locked = coordinator::add_org(&lab.config, &name("late"), &name("eve"));
    assert_eq!(locked.unwrap_err().code, Code::StoreLocked);
    let key = PrivateKey::generate().unwrap();
    let dora = lab
        .enrol(&link.secret, LinkPurpose::Login, None, &key)
        .await;
    (lab, dora.unwrap())
}

#[tokio::test]
async fn members_of_one_org_meet_nothing_of_the_other() {
    let (lab, dora) = with_shop(Lab::start().await).await;
    let alice = lab.owner().await;
    let (ours, theirs) = (lab.connect(&alice).await, lab.connect(&dora).await);
    machine(&lab, &alice).await;
    let number = submit(&ours, job(alice.org)).await.number;
    assert_ne!(alice.org, dora.org);

    let Ok(Answer::WhoAmI(me)) = ask(&ours, Request::WhoAmI).await else {
        panic!("alice is known");
    };
    let orgs: Vec<&str> = me.orgs.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(orgs, ["lab", "club"]);

    for question in questions(alice.org, number) {
        assert!(ask(&ours, question.clone()).await.is_ok(), "{question:?}");
        let refused = ask(&theirs, question.clone()).await.unwrap_err();
        assert_eq!(refused.code, Code::NotFound, "{question:?}");
    }
    let machines = ask(
        &theirs,
        Request::ListMachines {
            org: dora.org,
            after: None,
        },
    )
    .await;
    assert_eq!(machines, Ok(Answer::Machines(Page::default())));
    let datasets = ask(
        &theirs,
        Request::ListDatasets {
            org: dora.org,
            after: None,
        },
    )
    .await;
    assert_eq!(datasets, Ok(Answer::Datasets(Page::default())));

    let org = alice.org;
    let source = DownloadSource::Artifacts {
        job: number,
        task: 0,
        attempt: None,
    };
    for stream in [
        ClientStream::Upload {
            org,
            announced: Announced {
                files: 1,
                bytes: Bytes(1),
                beside: None,
            },
            purpose: UploadPurpose::Workdir { project: None },
        },
        ClientStream::Chunks {
            org,
            source: source.clone(),
            tree: TreeId::new([1; 32]),
        },
        ClientStream::Pieces { upload: 4 },
        ClientStream::Download { org, source },
    ] {
        let (mut tx, mut rx) = frames::split(theirs.open_bi().await.unwrap());
        tx.send(&stream).await.unwrap();
        let Err(RecvError::Refused(problem)) = rx.expect::<Answer>().await else {
            panic!("{stream:?} was not refused");
        };
        assert_eq!(problem.code, Code::NotFound, "{stream:?}");
    }
    lab.running.stop().await;
}

fn questions(org: OrgId, number: JobNumber) -> [Request; 6] {
    [
        Request::ShowOrg { org },
        Request::ListMembers { org, after: None },
        Request::ListMachines { org, after: None },
        Request::ListDatasets { org, after: None },
        Request::ListJobs(ListJobs {
            org,
            status: Vec::new(),
            owner: None,
            project: None,
            before: None,
            limit: 10,
        }),
        Request::ShowJob(ShowJob {
            org,
            number,
            task: None,
            attempts: 10,
            live: false,
        }),
    ]
}

#[tokio::test]
async fn a_user_makes_an_org_once_the_configuration_lets_users() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let create = |called| Request::Org(OrgRequest::Create { name: name(called) });
    let ours = lab.connect(&alice).await;
    let refused = ask(&ours, create("club")).await.unwrap_err();
    assert_eq!(refused.code, Code::Permission);
    assert!(refused.help.contains("who_may_create_orgs"), "{refused}");

    let mut stopped = lab.stop().await;
    stopped.config.who_may_create_orgs = WhoMayCreateOrgs::Users;
    let lab = stopped.start_again().await;
    let ours = lab.connect(&alice).await;
    let taken = ask(&ours, create("lab")).await.unwrap_err();
    assert_eq!(taken.code, Code::NameTaken);
    let Ok(Answer::Org(club)) = ask(&ours, create("club")).await else {
        panic!("alice may make an org");
    };
    assert_eq!((&club.name, &club.owner), (&name("club"), &alice.handle));
    // On the same connection she is in it at once.
    let listed = ask(
        &ours,
        Request::ListMembers {
            org: club.id,
            after: None,
        },
    )
    .await;
    let Ok(Answer::Members(members)) = listed else {
        panic!("{listed:?}");
    };
    assert_eq!(members.rows.len(), 1);
    lab.running.stop().await;
}
