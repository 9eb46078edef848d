//! Invitations and sign-in links: making, taking, declining, revoking.
//!
//! Who has an account takes an invitation with that account; strangers enrol, see [`super::enrolment`].

pub(crate) mod forgetting;

use common::{
    id::{CodeDigest, Fingerprint, InvitationId, OrgId, UserId},
    invitee::Invitee,
    join_link::LinkPurpose,
    org::{InvitationStatus, MAX_INVITATION_USES, MAX_INVITATIONS_AT_ONCE},
    status::Role,
    time::{Span, Timestamp},
};

use self::forgetting::{check_room, forget_some};
use super::{enrolment, rejoin};
use crate::{
    command::invitation::{CreateInvitations, InvitationCommand},
    event::{Event, Guest, invitation::InvitationEvent},
    policy::{Action, permit},
    rejection::{Rejection, invitation::InvitationRejection},
    state::{State, invitation::Invitation},
};

/// Longest life of an invitation.
const MAX_TTL: Span = Span::from_secs(366 * 86_400);
/// A short code and a link's secret.
const MAX_CODES: usize = 2;

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &InvitationCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        InvitationCommand::Create(wish) => create(state, at, user, wish),
        InvitationCommand::Join { code, key } => join(state, at, user, *code, *key),
        InvitationCommand::Accept { invitation, key } => accept(state, at, user, *invitation, *key),
        InvitationCommand::Decline { invitation } => decline(state, at, user, *invitation),
    }
}

fn create(
    state: &State,
    at: Timestamp,
    user: UserId,
    wish: &CreateInvitations,
) -> Result<Vec<Event>, Rejection> {
    permit(state, wish.org, user, action(wish.role)?)?;
    if wish.uses == 0 || wish.uses > MAX_INVITATION_USES {
        return Err(Rejection::InvitationUses { uses: wish.uses });
    }
    check_life(wish.ttl)?;
    let count = u32::try_from(wish.batch.len()).unwrap_or(u32::MAX);
    if !(1..=MAX_INVITATIONS_AT_ONCE).contains(&count) {
        return Err(InvitationRejection::Count { count }.into());
    }
    let invitee = match &wish.invitee {
        None => None,
        Some(_) if count != 1 || wish.uses != 1 => return Err(InvitationRejection::OneGuest.into()),
        Some(invitee) => Some(guest(state, wish.org, invitee)?),
    };
    check_room(state, at, wish.org, wish.batch.len())?;
    let mut codes: Vec<CodeDigest> = Vec::new();
    for one in &wish.batch {
        let most = match invitee {
            Some(Guest::User(_)) => 0,
            Some(Guest::Email(_)) | None => MAX_CODES,
        };
        let taken = |code| state.index.codes.contains_key(code) || codes.contains(code);
        let enough = one.codes.is_empty() == (most == 0) && one.codes.len() <= most;
        if !enough || one.codes.iter().any(taken) || state.invitations.contains_key(&one.id) {
            return Err(Rejection::InvitationCodes);
        }
        codes.extend(&one.codes);
    }
    let created = |one: &crate::command::invitation::NewInvitation| Event::InvitationCreated {
        invitation: one.id,
        org: wish.org,
        role: wish.role,
        purpose: LinkPurpose::Join,
        user: None,
        reset: false,
        invitee: invitee.clone(),
        codes: one.codes.clone(),
        created_by: user,
        at,
        expires_at: at.saturating_add(wish.ttl.as_duration()),
        uses: wish.uses,
    };
    let forgotten = forget_some(state, at, wish.org);
    let created = wish.batch.iter().map(created);
    Ok(forgotten.into_iter().chain(created).collect())
}

pub(super) fn revoke(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    invitation: InvitationId,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::SeeOrg)?;
    let all = permit(state, org, user, Action::RevokeInvitation);
    let row = state
        .invitations
        .get(&invitation)
        .filter(|row| row.org == org && row.purpose == LinkPurpose::Join)
        .filter(|row| row.created_by == user || all.is_ok())
        .ok_or(match all {
            Ok(_) => Rejection::NoSuchInvitation,
            Err(refused) => refused,
        })?;
    if row.role == Role::Admin && row.created_by != user {
        permit(state, org, user, Action::InviteAdmin)?;
    }
    if row.revoked_at.is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::InvitationRevoked { invitation, at }])
}

/// Takes a code with an account that exists.
fn join(
    state: &State,
    at: Timestamp,
    user: UserId,
    code: CodeDigest,
    key: Fingerprint,
) -> Result<Vec<Event>, Rejection> {
    let (id, row) = enrolment::find_code(state, code, LinkPurpose::Join)?;
    match row.invitee {
        Some(Guest::User(guest)) if guest != user => {
            return Err(InvitationRejection::ForSomebodyElse.into());
        }
        // Whatever address an account gives as its own: it shows nothing, while who has the code reads the mail.
        Some(Guest::User(_) | Guest::Email(_)) | None => {}
    }
    take(state, at, user, id, row, key)
}

fn accept(
    state: &State,
    at: Timestamp,
    user: UserId,
    invitation: InvitationId,
    key: Fingerprint,
) -> Result<Vec<Event>, Rejection> {
    let row = own(state, user, invitation)?;
    take(state, at, user, invitation, row, key)
}

fn take(
    state: &State,
    at: Timestamp,
    user: UserId,
    invitation: InvitationId,
    row: &Invitation,
    key: Fingerprint,
) -> Result<Vec<Event>, Rejection> {
    let member = state.members.contains_key(&(row.org, user));
    let used = state.invitation_uses.get(&(invitation, key));
    if member && used.is_some_and(|used| used.user == user) {
        // The answer was lost: the same device asks again.
        return Ok(Vec::new());
    }
    open(row, at)?;
    still_may(state, row)?;
    if member {
        let org = state.orgs.get(&row.org).ok_or(Rejection::NoSuchOrg)?;
        let org = org.name.clone();
        return Err(InvitationRejection::AlreadyMember { org }.into());
    }
    rejoin::may_return(state, user, row)?;
    let needless = rejoin::needless(state, at, row.org, user);
    let taken = [
        Event::MemberAdded {
            org: row.org,
            user,
            role: row.role,
            at,
        },
        Event::InvitationUsed {
            invitation,
            user,
            key,
            at,
        },
    ];
    Ok(needless.into_iter().chain(taken).collect())
}

fn decline(
    state: &State,
    at: Timestamp,
    user: UserId,
    invitation: InvitationId,
) -> Result<Vec<Event>, Rejection> {
    let row = own(state, user, invitation)?;
    if row.declined_at.is_some() {
        return Ok(Vec::new());
    }
    open(row, at)?;
    Ok(declined(invitation, Some(user), at))
}

/// Turns an invitation for an address down, by who reads its mail. Any other is not one person's to turn down.
pub(super) fn decline_by_code(
    state: &State,
    at: Timestamp,
    code: CodeDigest,
) -> Result<Vec<Event>, Rejection> {
    let (invitation, row) = enrolment::find_code(state, code, LinkPurpose::Join)?;
    match row.invitee {
        Some(Guest::Email(_)) => {}
        Some(Guest::User(_)) => return Err(InvitationRejection::ForSomebodyElse.into()),
        None => return Err(InvitationRejection::ForAnybody.into()),
    }
    if row.declined_at.is_some() {
        return Ok(Vec::new());
    }
    open(row, at)?;
    Ok(declined(invitation, None, at))
}

fn declined(invitation: InvitationId, user: Option<UserId>, at: Timestamp) -> Vec<Event> {
    let declined = InvitationEvent::InvitationDeclined {
        invitation,
        user,
        at,
    };
    vec![Event::Invitation(declined)]
}

/// Checks that an invitation still lets somebody in.
pub(crate) fn open(row: &Invitation, now: Timestamp) -> Result<(), Rejection> {
    match row.status(now) {
        InvitationStatus::Open | InvitationStatus::Pending => Ok(()),
        InvitationStatus::Revoked => Err(Rejection::CodeRevoked),
        InvitationStatus::Declined => Err(InvitationRejection::Declined.into()),
        InvitationStatus::Expired => Err(Rejection::CodeExpired { at: row.expires_at }),
        InvitationStatus::Used | InvitationStatus::Accepted if now >= row.expires_at => {
            Err(Rejection::CodeExpired { at: row.expires_at })
        }
        InvitationStatus::Used | InvitationStatus::Accepted => Err(Rejection::CodeUsed),
    }
}

/// Returns how an invitation stands, as far as it is known whether it would let anybody in.
pub(crate) fn standing(state: &State, row: &Invitation, now: Timestamp) -> InvitationStatus {
    match row.status(now) {
        InvitationStatus::Open | InvitationStatus::Pending if still_may(state, row).is_err() => {
            InvitationStatus::Revoked
        }
        status => status,
    }
}

/// Checks that whoever made an invitation could make it now as well: it lets nobody in by a right that was lost.
///
/// # Errors
/// They could not; it is as good as revoked.
pub(crate) fn still_may(state: &State, row: &Invitation) -> Result<(), Rejection> {
    let may = permit(state, row.org, row.created_by, action(row.role)?);
    may.map(drop).map_err(|_| Rejection::CodeRevoked)
}

/// Returns an invitation that is for this user. What is for others is not found.
fn own(state: &State, user: UserId, id: InvitationId) -> Result<&Invitation, Rejection> {
    let row = state.invitations.get(&id);
    let row = row.filter(|row| row.invitee == Some(Guest::User(user)));
    row.ok_or_else(|| InvitationRejection::NotPending.into())
}

/// Returns whom an invitation is for, who is not in the org yet as far as that is known.
fn guest(state: &State, org: OrgId, invitee: &Invitee) -> Result<Guest, Rejection> {
    let handle = match invitee {
        Invitee::User(handle) => handle.clone(),
        Invitee::Email(address) => return Ok(Guest::Email(address.clone())),
    };
    let Some(user) = state.index.handles.get(&handle) else {
        return Err(InvitationRejection::NoSuchUser { handle }.into());
    };
    if state.members.contains_key(&(org, *user)) {
        return Err(InvitationRejection::MemberAlready { handle }.into());
    }
    Ok(Guest::User(*user))
}

const fn action(role: Role) -> Result<Action, Rejection> {
    match role {
        Role::Member => Ok(Action::InviteMember),
        Role::Admin => Ok(Action::InviteAdmin),
        Role::Owner => Err(Rejection::OwnerRole),
    }
}

pub(super) fn check_life(ttl: Span) -> Result<(), Rejection> {
    if ttl == Span::default() || ttl > MAX_TTL {
        return Err(Rejection::InvitationLife);
    }
    Ok(())
}
