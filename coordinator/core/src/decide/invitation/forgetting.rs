//! Invitations and sign-in links that ended: for how long, and how many of them, are still known. What happened to
//! them stays in the audit log.

use std::{ops::Bound, time::Duration};

use common::{
    id::{Fingerprint, InvitationId, OrgId},
    join_link::LinkPurpose,
    time::Timestamp,
};

use crate::{
    event::{Event, invitation::InvitationEvent},
    rejection::{Rejection, invitation::InvitationRejection},
    state::State,
};

/// Most invitations of one org that let somebody in at a time.
pub(crate) const MAX_OPEN: usize = 10_000;
/// Most invitations and sign-in links of one org that ended and are still known.
pub(crate) const MAX_ENDED: usize = 10_000;
/// How long whoever holds a code that lets nobody in any more is told why; it is an unknown one then.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// Most rows that are forgotten with one command that makes invitations: more than it makes.
const FORGOTTEN_AT_ONCE: usize = 256;

const LAST: InvitationId = InvitationId::from_bytes([u8::MAX; 16]);

/// Checks that the org may have so many more invitations that are open.
pub(super) fn check_room(
    state: &State,
    at: Timestamp,
    org: OrgId,
    more: usize,
) -> Result<(), Rejection> {
    let Some(all) = state.index.invitations_of(org) else {
        return Ok(());
    };
    if all.len() + more <= MAX_OPEN {
        return Ok(());
    }
    let open = all.range((Bound::Excluded((at, LAST)), Bound::Unbounded));
    let open = open.filter(|(_, id)| {
        let row = state.invitations.get(id);
        row.is_some_and(|row| row.purpose == LinkPurpose::Join)
    });
    if open.count() + more > MAX_OPEN {
        return Err(InvitationRejection::TooManyOpen { most: MAX_OPEN }.into());
    }
    Ok(())
}

/// Forgets, of every org, what ended long ago, in at most `most` rows.
pub(crate) fn forget(state: &State, at: Timestamp, most: u32) -> Vec<Event> {
    let mut left = usize::try_from(most).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    for org in state.index.invitation_ends.keys() {
        if left == 0 {
            break;
        }
        events.extend(forget_of(state, at, *org, &mut left));
    }
    events
}

/// As [`forget`], of one org and in a few rows: goes with whatever makes an invitation or a sign-in link.
pub(in crate::decide) fn forget_some(state: &State, at: Timestamp, org: OrgId) -> Vec<Event> {
    let mut left = FORGOTTEN_AT_ONCE;
    forget_of(state, at, org, &mut left)
}

/// Forgets what ended longest ago in an org, and takes the rows off those that are `left`: whatever is no longer
/// remembered, or more than is kept.
fn forget_of(state: &State, at: Timestamp, org: OrgId, left: &mut usize) -> Vec<Event> {
    let Some(all) = state.index.invitations_of(org) else {
        return Vec::new();
    };
    let ended = || all.range(..=(at, LAST));
    let too_many = match all.len() {
        ..=MAX_ENDED => 0,
        _ => ended().count().saturating_sub(MAX_ENDED),
    };
    let mut events = Vec::new();
    for (place, (end, invitation)) in ended().enumerate() {
        let kept = place >= too_many && at.since(*end) <= REMEMBERED;
        if kept || *left == 0 {
            break;
        }
        let invitation = *invitation;
        let keys: Vec<Fingerprint> = keys(state, invitation).take(*left).collect();
        // The row itself goes with the last of those who came in by it.
        let event = if keys.len() < *left {
            *left -= keys.len() + 1;
            InvitationEvent::InvitationForgotten {
                invitation,
                org,
                keys,
            }
        } else {
            *left = 0;
            InvitationEvent::InvitationUsesForgotten {
                invitation,
                org,
                keys,
            }
        };
        events.push(Event::Invitation(event));
    }
    events
}

/// Returns the keys that came in by an invitation.
fn keys(state: &State, invitation: InvitationId) -> impl Iterator<Item = Fingerprint> {
    let first = (invitation, Fingerprint::new([0; 32]));
    let last = (invitation, Fingerprint::new([u8::MAX; 32]));
    let uses = state.invitation_uses.range(first..=last);
    uses.map(|((_, key), _)| *key)
}
