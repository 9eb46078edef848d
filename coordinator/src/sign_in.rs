//! The command behind a sign-in link, for the door and for the commands that need no running coordinator.

use common::{
    id::{InvitationId, OrgId},
    time::{Span, Timestamp},
};
use coordinator_core::Body;

use crate::mint;

/// Returns a fresh secret, and what makes it good once.
pub(crate) fn link(now: Timestamp, org: OrgId, ttl: Span) -> (String, Body) {
    let secret = mint::secret();
    let body = Body::CreateLoginLink {
        invitation: InvitationId::new(mint::uuid(now)),
        org,
        code: mint::digest(&secret).expect("what was minted can be read"),
        ttl,
    };
    (secret, body)
}
