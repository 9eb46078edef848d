//! Invitations for e-mail addresses, at the door where whoever has the link comes in.

use std::path::Path;

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        member::{CreateInvitations, InvitationSecrets},
    },
    code::Code,
    join_link::LinkPurpose,
    org::{InvitationStatus, InvitationView},
    problem::Problem,
    status::Role,
    time::Span,
    wire::join::{JoinAnswer, JoinRequest},
};

use crate::clock::set_back;
use crate::lab::{Lab, Signed, ask, name};

/// Invites somebody by their address, as alice.
async fn invite(lab: &Lab, alice: &Signed, address: &str) -> InvitationSecrets {
    let connection = lab.connect(alice).await;
    let request = CreateInvitations {
        org: alice.org,
        role: Role::Member,
        ttl: Span::from_secs(3600),
        uses: 1,
        count: 1,
        invitee: Some(address.parse().unwrap()),
    };
    match ask(&connection, Request::CreateInvitations(request)).await {
        Ok(Answer::Invited(mut invited)) => {
            let secrets = invited.remove(0).secrets;
            secrets.expect("an address has a link")
        }
        other => panic!("{other:?}"),
    }
}

async fn list(lab: &Lab, alice: &Signed) -> Vec<InvitationView> {
    let connection = lab.connect(alice).await;
    match ask(
        &connection,
        Request::ListInvitations {
            org: alice.org,
            after: None,
        },
    )
    .await
    {
        Ok(Answer::Invitations(list)) => list.rows,
        other => panic!("{other:?}"),
    }
}

async fn show(lab: &Lab, secret: &str) -> Result<JoinAnswer, Problem> {
    let secret = secret.to_owned();
    lab.stranger_asks(&JoinRequest::ShowInvitation { secret })
        .await
}

async fn decline(lab: &Lab, secret: &str) -> Result<JoinAnswer, Problem> {
    let secret = secret.to_owned();
    lab.stranger_asks(&JoinRequest::DeclineInvitation { secret })
        .await
}

fn code(answer: Result<JoinAnswer, Problem>) -> Code {
    answer.expect_err("this is refused").code
}

#[tokio::test]
async fn one_is_shown_and_accepted_another_declined() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let taken = invite(&lab, &alice, "bob@lab.example").await;
    let declined = invite(&lab, &alice, "carol@lab.example").await;
    let Ok(JoinAnswer::Invitation(shown)) = show(&lab, &taken.code).await else {
        panic!("whoever has the code sees it");
    };
    assert_eq!((shown.org_name, shown.role), (name("lab"), Role::Member));
    assert_eq!(shown.status, InvitationStatus::Pending);
    let key = PrivateKey::generate().unwrap();
    let bob = lab
        .enrol(&taken.secret, LinkPurpose::Join, Some("robert"), &key)
        .await
        .unwrap();
    assert_eq!(bob.handle, name("robert"));
    assert_eq!(code(show(&lab, &taken.code).await), Code::CodeUsed);
    assert_eq!(code(decline(&lab, &taken.secret).await), Code::CodeUsed);

    let org_name = name("lab");
    for again in [&declined.secret, &declined.code] {
        let answer = decline(&lab, again).await.unwrap();
        let org_name = org_name.clone();
        assert_eq!(answer, JoinAnswer::Declined { org_name });
    }
    let key = PrivateKey::generate().unwrap();
    let refused = lab
        .enrol(&declined.code, LinkPurpose::Join, Some("carol"), &key)
        .await;
    assert_eq!(refused.err().unwrap().code, Code::CodeRevoked);

    let lab = lab.restart().await;
    assert_eq!(code(show(&lab, &declined.code).await), Code::CodeRevoked);
    let rows = list(&lab, &alice).await;
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.invitee.as_ref().unwrap().to_string(), row.status))
        .collect();
    assert_eq!(
        seen,
        [
            ("carol@lab.example".to_owned(), InvitationStatus::Declined),
            ("bob@lab.example".to_owned(), InvitationStatus::Accepted),
        ]
    );
    lab.running.stop().await;
}

#[tokio::test]
async fn guessing_at_one_to_see_or_decline_is_guessing() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let good = invite(&lab, &alice, "bob@lab.example").await;
    let mut codes = Vec::new();
    while codes.last() != Some(&Code::TooManyTries) {
        let tried = match codes.len() % 2 {
            0 => show(&lab, "0000-0000-0000").await,
            _ => decline(&lab, "0000-0000-0000").await,
        };
        codes.push(code(tried));
        assert!(codes.len() < 50, "{codes:?}");
    }
    let wrong = codes.iter().filter(|code| **code == Code::CodeInvalid);
    assert_eq!(wrong.count(), codes.len() - 1);
    // The right code is not looked at any more either, here or where people join; the link is.
    for closed in [
        show(&lab, &good.code).await,
        decline(&lab, &good.code).await,
    ] {
        assert_eq!(code(closed), Code::TooManyTries);
    }
    let key = PrivateKey::generate().unwrap();
    let joins = lab.enrol(&good.code, LinkPurpose::Join, Some("bob"), &key);
    assert_eq!(joins.await.err().unwrap().code, Code::TooManyTries);
    assert!(show(&lab, &good.secret).await.is_ok());
    assert!(decline(&lab, &good.secret).await.is_ok());
    lab.running.stop().await;
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_by_itself() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let taken = invite(&lab, &alice, "bob@lab.example").await;
    invite(&lab, &alice, "carol@lab.example").await;
    let key = PrivateKey::generate().unwrap();
    let bob = lab.enrol(&taken.code, LinkPurpose::Join, Some("bob"), &key);
    bob.await.unwrap();
    let rows = |data: &Path, table: &str| {
        let checked = coordinator::check(data).unwrap();
        let table = checked.tables.into_iter().find(|rows| rows.table == table);
        table.unwrap().rows
    };
    let mut stopped = lab.stop().await;
    let data = stopped.config.data.clone();
    // With the link that alice signed in by.
    assert_eq!(rows(&data, "invitations-1"), 3);
    assert_eq!(rows(&data, "invitation-uses-1"), 2);
    let entries = coordinator::check(&data).unwrap().events;

    // A month later.
    set_back(&stopped, 32 * 86_400);
    stopped.config.clock_is_right = true;
    let stopped = stopped.start_again().await.stop().await;
    assert_eq!(rows(&stopped.config.data, "invitations-1"), 0);
    assert_eq!(rows(&stopped.config.data, "invitation-uses-1"), 0);
    // What happened is still told.
    let checked = coordinator::check(&data).unwrap();
    assert_eq!(checked.events, entries + 3);
    assert!(rows(&data, "members-1") == 2, "whoever came in stays");
}
