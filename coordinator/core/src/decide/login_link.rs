//! Sign-in links: for a computer more of one's own, and for members who cannot make one themselves any more.

use common::{
    api::account::MemberRef,
    id::{CodeDigest, InvitationId, OrgId, UserId},
    join_link::LinkPurpose,
    name::Name,
    status::Role,
    time::{Span, Timestamp},
};

use super::{
    device,
    invitation::{check_life, forgetting::forget_some},
};
use crate::{
    command::Actor,
    event::{AccountEvent, Event},
    policy::{Action, permit},
    rejection::{AccountRejection, Rejection, invitation::InvitationRejection},
    state::{State, invitation::Invitation},
};

/// Most sign-in links that one user has made in one org and nobody has used, for themselves or for members who lost
/// their devices.
pub(crate) const MAX_OPEN: usize = 256;

/// What is to be made.
pub(super) struct LoginLink {
    pub(super) invitation: InvitationId,
    pub(super) org: OrgId,
    pub(super) code: CodeDigest,
    pub(super) ttl: Span,
    pub(super) reset: bool,
}

/// A link for somebody else signs in as them: an admin may make one where they could remove the member as well, and
/// where it opens nothing of another org. Who runs the coordinator may always.
pub(super) fn decide(
    state: &State,
    at: Timestamp,
    actor: Actor,
    handle: Option<&Name>,
    link: &LoginLink,
) -> Result<Vec<Event>, Rejection> {
    let (maker, whose) = match actor {
        Actor::User(user) => {
            let whose = by_user(state, user, handle, link.org)?;
            if open_links(state, at, link.org, user) >= MAX_OPEN {
                return Err(InvitationRejection::TooManyLoginLinks { most: MAX_OPEN }.into());
            }
            (user, whose)
        }
        Actor::System => {
            let owner = owner(state, link.org)?;
            let whose = handle.map_or(Ok(owner), |handle| member(state, link.org, handle));
            (owner, whose?)
        }
        // No token makes links: `policy::scopes`.
        Actor::Program { .. } | Actor::Machine(_) | Actor::Stranger => {
            return Err(Rejection::WrongCaller);
        }
    };
    check_life(link.ttl)?;
    if state.index.codes.contains_key(&link.code) {
        return Err(Rejection::InvitationCodes);
    }
    let mut events = forget_some(state, at, link.org);
    if link.reset {
        if actor == Actor::User(whose) {
            return Err(AccountRejection::OwnReset.into());
        }
        if state.credentials.contains_key(&whose) {
            let reset = AccountEvent::CredentialsReset { user: whose, at };
            events.push(Event::Account(reset));
        }
    }
    events.push(Event::InvitationCreated {
        invitation: link.invitation,
        org: link.org,
        // A sign-in changes no role: the user has one.
        role: Role::Member,
        purpose: LinkPurpose::Login,
        user: Some(whose),
        invitee: None,
        codes: vec![link.code],
        created_by: maker,
        at,
        expires_at: at.saturating_add(link.ttl.as_duration()),
        uses: 1,
    });
    Ok(events)
}

fn open_links(state: &State, at: Timestamp, org: OrgId, maker: UserId) -> usize {
    let own = state.index.belongings.invitations.get(&(org, maker));
    let own = own.into_iter().flatten();
    let rows = own.filter_map(|id| state.invitations.get(id));
    let made = |row: &&Invitation| row.purpose == LinkPurpose::Login && row.created_by == maker;
    rows.filter(made).filter(|row| at < row.ends_at()).count()
}

fn by_user(
    state: &State,
    user: UserId,
    handle: Option<&Name>,
    org: OrgId,
) -> Result<UserId, Rejection> {
    permit(state, org, user, Action::MakeLoginLink)?;
    let of = handle.cloned().map(|handle| MemberRef { org, handle });
    device::whose(state, user, of.as_ref(), Action::SignMemberIn)
}

fn member(state: &State, org: OrgId, handle: &Name) -> Result<UserId, Rejection> {
    let found = state.index.handles.get(handle);
    let found = found.filter(|user| state.members.contains_key(&(org, **user)));
    found.copied().ok_or_else(|| Rejection::NoSuchMember {
        handle: handle.clone(),
    })
}

fn owner(state: &State, org: OrgId) -> Result<UserId, Rejection> {
    let mut members = state.members.iter();
    let owner = members.find(|((of, _), member)| *of == org && member.role == Role::Owner);
    owner
        .map(|((_, user), _)| *user)
        .ok_or(Rejection::NoSuchOrg)
}
