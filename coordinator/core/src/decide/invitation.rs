//! Invitations and sign-in links: making and revoking.

use common::{
    id::{CodeDigest, InvitationId, OrgId, UserId},
    join_link::LinkPurpose,
    org::MAX_INVITATION_USES,
    status::Role,
    time::{Span, Timestamp},
};

use crate::{
    command::Actor,
    event::Event,
    policy::{Action, permit},
    rejection::Rejection,
    state::State,
};

/// Longest life of an invitation.
const MAX_TTL: Span = Span::from_secs(366 * 86_400);
/// A short code and a link's secret.
const MAX_CODES: usize = 2;

pub(super) struct Wish<'a> {
    pub(super) invitation: InvitationId,
    pub(super) org: OrgId,
    pub(super) role: Role,
    pub(super) purpose: LinkPurpose,
    pub(super) codes: &'a [CodeDigest],
    pub(super) ttl: Span,
    pub(super) uses: u32,
}

pub(super) fn create(
    state: &State,
    at: Timestamp,
    actor: Actor,
    wish: &Wish<'_>,
) -> Result<Vec<Event>, Rejection> {
    let maker = match actor {
        Actor::User(user) => {
            permit(state, wish.org, user, action(wish)?)?;
            user
        }
        Actor::System => owner(state, wish.org)?,
        Actor::Machine(_) | Actor::Stranger => return Err(Rejection::WrongCaller),
    };
    if wish.uses == 0 || wish.uses > MAX_INVITATION_USES {
        return Err(Rejection::InvitationUses { uses: wish.uses });
    }
    if wish.ttl == Span::default() || wish.ttl > MAX_TTL {
        return Err(Rejection::InvitationLife);
    }
    let taken = |code| state.index.codes.contains_key(code);
    if wish.codes.is_empty() || wish.codes.len() > MAX_CODES || wish.codes.iter().any(taken) {
        return Err(Rejection::InvitationCodes);
    }
    Ok(vec![Event::InvitationCreated {
        invitation: wish.invitation,
        org: wish.org,
        role: wish.role,
        purpose: wish.purpose,
        user: (wish.purpose == LinkPurpose::Login).then_some(maker),
        codes: wish.codes.to_vec(),
        created_by: maker,
        at,
        expires_at: at.saturating_add(wish.ttl.as_duration()),
        uses: wish.uses,
    }])
}

pub(super) fn revoke(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    invitation: InvitationId,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::RevokeInvitation)?;
    let row = state
        .invitations
        .get(&invitation)
        .filter(|row| row.org == org && row.purpose == LinkPurpose::Join)
        .ok_or(Rejection::NoSuchInvitation)?;
    if row.role == Role::Admin {
        permit(state, org, user, Action::InviteAdmin)?;
    }
    if row.revoked_at.is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::InvitationRevoked { invitation, at }])
}

fn action(wish: &Wish<'_>) -> Result<Action, Rejection> {
    match (wish.purpose, wish.role) {
        (LinkPurpose::Login, _) => Ok(Action::MakeLoginLink),
        (LinkPurpose::Join, Role::Member) => Ok(Action::InviteMember),
        (LinkPurpose::Join, Role::Admin) => Ok(Action::InviteAdmin),
        (LinkPurpose::Join, Role::Owner) => Err(Rejection::OwnerRole),
    }
}

fn owner(state: &State, org: OrgId) -> Result<UserId, Rejection> {
    let mut members = state.members.iter();
    let owner = members.find(|((of, _), member)| *of == org && member.role == Role::Owner);
    owner
        .map(|((_, user), _)| *user)
        .ok_or(Rejection::NoSuchOrg)
}
