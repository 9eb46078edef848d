//! What somebody with an account asks about orgs that invite them.

use super::super::Sample;
use super::nouns::{AT, INVITATION, ORG, name};
use crate::api::invitation::{InvitationAnswer, InvitationRequest, Joined, PendingInvitation};
use crate::api::{Answer, Request};
use crate::status::Role;

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
    let joined = Joined {
        org: ORG,
        org_name: name("lab"),
        role: Role::Member,
    };
    vec![
        request("invitations_mine", InvitationRequest::Mine),
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
            InvitationRequest::Join {
                secret: "SECRET".to_owned(),
            },
        ),
        answer("invitations_mine", InvitationAnswer::Mine(vec![pending])),
        answer("invitation_joined", InvitationAnswer::Joined(joined)),
    ]
}
