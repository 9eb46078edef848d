//! What somebody with an account asks about orgs that invite them.

use super::super::Sample;
use super::nouns::{AT, INVITATION, ORG, last, name};
use crate::api::invitation::{
    InvitationAnswer, InvitationRequest, Joined, PendingInvitation, ShownInvitation,
};
use crate::api::member::CreateInvitations;
use crate::api::{Answer, Request};
use crate::org::InvitationStatus;
use crate::status::Role;
use crate::time::Span;
use crate::wire::join::{JoinAnswer, JoinRequest};

pub(super) fn invitations() -> Vec<Sample> {
    let invitation = INVITATION;
    let request = |name, request| Sample::new(name, &Request::Invitation(request));
    let answer = |name, answer| Sample::new(name, &Answer::Invitation(answer));
    let pending = PendingInvitation {
        id: INVITATION,
        org_name: name("lab"),
        role: Role::Admin,
        created_by: name("ada"),
        expires_at: AT,
    };
    let shown = ShownInvitation {
        id: INVITATION,
        org_name: name("lab"),
        role: Role::Member,
        status: InvitationStatus::Pending,
        created_by: name("ada"),
        expires_at: AT,
    };
    let secret = || "SECRET".to_owned();
    let for_address = CreateInvitations {
        org: ORG,
        role: Role::Member,
        ttl: Span::from_secs(86_400),
        uses: 1,
        count: 1,
        invitee: Some("grace@lab.example".parse().unwrap()),
    };
    let joined = Joined {
        org: ORG,
        org_name: name("lab"),
        role: Role::Member,
    };
    vec![
        request("invitations_mine", InvitationRequest::Mine { after: None }),
        request(
            "invitation_accept",
            InvitationRequest::Accept { invitation },
        ),
        request(
            "invitation_decline",
            InvitationRequest::Decline { invitation },
        ),
        request(
            "invitation_join",
            InvitationRequest::Join { secret: secret() },
        ),
        answer("invitations_mine", InvitationAnswer::Mine(last(pending))),
        answer("invitation_joined", InvitationAnswer::Joined(joined)),
        Sample::new(
            "create_invitation_for_address",
            &Request::CreateInvitations(for_address),
        ),
        Sample::new(
            "show_invitation",
            &JoinRequest::ShowInvitation { secret: secret() },
        ),
        Sample::new(
            "decline_invitation",
            &JoinRequest::DeclineInvitation { secret: secret() },
        ),
        Sample::new("invitation", &JoinAnswer::Invitation(shown)),
        Sample::new(
            "declined",
            &JoinAnswer::Declined {
                org_name: name("lab"),
            },
        ),
    ]
}
