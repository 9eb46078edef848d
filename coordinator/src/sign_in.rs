//! The command behind a sign-in link, for the door and for the commands that need no running coordinator.

use common::{
    api::account::CreateLoginLink,
    id::InvitationId,
    time::{Span, Timestamp},
};
use coordinator_core::Body;

use crate::mint;

/// Life of a link for the computer beside.
pub(crate) const BESIDE: Span = Span::from_secs(15 * 60);
/// Life of a link that is sent to somebody.
pub(crate) const SENT: Span = Span::from_secs(24 * 3600);

/// Returns a fresh secret, and what makes it good once.
pub(crate) fn link(now: Timestamp, wish: CreateLoginLink, ttl: Span) -> (String, Body) {
    let secret = mint::secret();
    let body = Body::CreateLoginLink {
        invitation: InvitationId::new(mint::uuid(now)),
        org: wish.org,
        code: mint::digest(&secret).expect("what was minted can be read"),
        ttl,
        user: wish.user,
        reset: wish.reset,
    };
    (secret, body)
}
