//! The command behind a sign-in link, for the door and for the commands that need no running coordinator.

use common::{
    id::{InvitationId, OrgId},
    join_link::LinkPurpose,
    status::Role,
    time::{Span, Timestamp},
};
use coordinator_core::Body;

use crate::mint;

/// Returns what makes a sign-in link's secret good once.
pub(crate) fn login(now: Timestamp, org: OrgId, secret: &str, ttl: Span) -> Body {
    Body::CreateInvitation {
        invitation: InvitationId::new(mint::uuid(now)),
        org,
        // A sign-in changes no role: the user has one.
        role: Role::Member,
        purpose: LinkPurpose::Login,
        codes: mint::digest(secret).into_iter().collect(),
        ttl,
        uses: 1,
    }
}
