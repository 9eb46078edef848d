//! Inviting, and coming in with an account that exists. The secrets are minted here.

use common::{
    api::{
        Answer,
        invitation::{InvitationAnswer, InvitationRequest},
        member::{CreateInvitations, InvitationSecrets, Invited},
    },
    code::Code,
    id::{Fingerprint, InvitationId, UserId},
    invitee::Invitee,
    org::MAX_INVITATIONS_AT_ONCE,
    problem::Problem,
};
use coordinator_core::{
    Body,
    command::invitation::{self, InvitationCommand, NewInvitation},
    query::enrolment,
};

use super::{super::Member, ask};
use crate::mint;

/// Makes a batch of invitations, all in one commit.
pub(super) async fn create(member: &Member, request: CreateInvitations) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let now = desk.now();
    // One too many is enough for the engine to refuse them.
    let count = request.count.min(MAX_INVITATIONS_AT_ONCE + 1);
    let invited = (0..count).map(|_| Invited {
        id: InvitationId::new(mint::uuid(now)),
        secrets: match request.invitee {
            Some(Invitee::User(_)) => None,
            Some(Invitee::Email(_)) | None => Some(InvitationSecrets {
                code: mint::code(),
                secret: mint::secret(),
            }),
        },
        expires_at: now.saturating_add(request.ttl.as_duration()),
        fingerprint: desk.authority.fingerprint(),
    });
    let invited: Vec<Invited> = invited.collect();
    let new = |one: &Invited| NewInvitation {
        id: one.id,
        codes: one
            .secrets
            .iter()
            .flat_map(|secrets| [&secrets.code, &secrets.secret])
            .filter_map(|code| mint::digest(code))
            .collect(),
    };
    let wish = invitation::CreateInvitations {
        org: request.org,
        role: request.role,
        ttl: request.ttl,
        uses: request.uses,
        invitee: request.invitee,
        batch: invited.iter().map(new).collect(),
    };
    let body = Body::Invitation(InvitationCommand::Create(wish));
    desk.engine.ask(member.actor, body).await?;
    Ok(Answer::Invited(invited))
}

/// Serves somebody with an account who wants into one more org.
pub(super) async fn serve(
    member: &Member,
    user: UserId,
    request: InvitationRequest,
) -> Result<Answer, Problem> {
    match request {
        InvitationRequest::Mine { .. } => {
            ask(member, user, &common::api::Request::Invitation(request))
        }
        InvitationRequest::Accept { invitation } => {
            let key = key(member)?;
            let command = InvitationCommand::Accept { invitation, key };
            enter(member, user, command, invitation).await
        }
        InvitationRequest::Decline { invitation } => {
            let command = InvitationCommand::Decline { invitation };
            let body = Body::Invitation(command);
            member.desk.engine.ask(member.actor, body).await?;
            Ok(Answer::Done)
        }
        InvitationRequest::Join { secret } => join(member, user, &secret).await,
    }
}

async fn join(member: &Member, user: UserId, secret: &str) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let from = member.session.connection().remote_address().ip();
    let look = |code| {
        let invitation = enrolment::takeable(&desk.engine.read(), code, desk.now())?;
        Ok((code, invitation))
    };
    let (code, invitation) = desk.look_at_code(from, secret, look).await?;
    let key = key(member)?;
    enter(
        member,
        user,
        InvitationCommand::Join { code, key },
        invitation,
    )
    .await
}

async fn enter(
    member: &Member,
    user: UserId,
    command: InvitationCommand,
    invitation: InvitationId,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let body = Body::Invitation(command);
    desk.engine.ask(member.actor, body).await?;
    let joined = enrolment::joined(&desk.engine.read(), invitation, user);
    let joined = joined.ok_or_else(|| {
        let why = "you were removed from the org just now";
        Problem::new(Code::CertificateRevoked, "The code lets nobody in", why)
    })?;
    Ok(Answer::Invitation(InvitationAnswer::Joined(joined)))
}

/// Returns the key of the device that asks.
fn key(member: &Member) -> Result<Fingerprint, Problem> {
    let state = member.desk.engine.read();
    let key = enrolment::certificate_key(&state, member.session.serial());
    key.ok_or_else(|| coordinator_core::Rejection::CertificateUnknown.into())
}
