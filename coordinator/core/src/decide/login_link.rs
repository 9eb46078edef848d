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
    event::Event,
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

/// A link for somebody else signs in as them: an admin may make one for members below them, and where it opens nothing
/// of another org; that is looked at again when it is used. It takes the place of those that were made for them before.
/// Who runs the coordinator may always.
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
            let whose = match handle {
                None => owner(state, link.org)?,
                Some(handle) => member(state, link.org, handle)?,
            };
            // As if it were their own: nobody's rank is behind it.
            (whose, whose)
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
    if link.reset && actor == Actor::User(whose) {
        return Err(AccountRejection::OwnReset.into());
    }
    let mut events = forget_some(state, at, link.org);
    if maker != whose {
        let of_others = |row: &Invitation| row.created_by != whose;
        events.extend(revoked(state, at, link.org, whose, of_others));
    }
    events.push(Event::InvitationCreated {
        invitation: link.invitation,
        org: link.org,
        // A sign-in changes no role: the user has one.
        role: Role::Member,
        purpose: LinkPurpose::Login,
        user: Some(whose),
        reset: link.reset,
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

/// Makes every link useless that signs a member in and was not used.
pub(super) fn revoke(
    state: &State,
    at: Timestamp,
    user: UserId,
    of: Option<&MemberRef>,
) -> Result<Vec<Event>, Rejection> {
    let whose = device::whose(state, user, of, Action::SignMemberIn)?;
    let orgs = state.index.belongings.orgs.get(&whose);
    let orgs = orgs.into_iter().flatten();
    Ok(orgs
        .flat_map(|org| revoked(state, at, *org, whose, |_| true))
        .collect())
}

/// Returns what ends links that sign a member in and could still be used.
fn revoked(
    state: &State,
    at: Timestamp,
    org: OrgId,
    whose: UserId,
    which: impl Fn(&Invitation) -> bool,
) -> Vec<Event> {
    let theirs = state.index.belongings.invitations.get(&(org, whose));
    let theirs = theirs.into_iter().flatten();
    let open = theirs.filter(|id| {
        let row = state.invitations.get(id);
        row.is_some_and(|row| row.user == Some(whose) && at < row.ends_at() && which(row))
    });
    open.map(|invitation| Event::InvitationRevoked {
        invitation: *invitation,
        at,
    })
    .collect()
}

/// Returns where alone it lets the user in: where somebody else made it for them.
pub(super) fn bound_to(row: &Invitation) -> Option<OrgId> {
    let of_others = row.user.is_some_and(|user| user != row.created_by);
    of_others.then_some(row.org)
}

/// Checks that a link for somebody else could be made now as well: ranks and memberships change.
///
/// # Errors
/// It could not; the link is as good as revoked.
pub(super) fn still_may(state: &State, row: &Invitation) -> Result<(), Rejection> {
    let (Some(whose), Some(_)) = (row.user, bound_to(row)) else {
        return Ok(());
    };
    let known = state.users.get(&whose).ok_or(Rejection::CodeRevoked)?;
    let of = MemberRef {
        org: row.org,
        handle: known.handle.clone(),
    };
    let may = device::whose(state, row.created_by, Some(&of), Action::SignMemberIn);
    may.map(drop).map_err(|_| Rejection::CodeRevoked)
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
