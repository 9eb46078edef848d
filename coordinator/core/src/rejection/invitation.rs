//! What is said no to about invitations.

use common::name::Name;

use super::Rejection;

/// Why an invitation is not made or does not let in. What is wrong with a code stands in [`Rejection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationRejection {
    Count {
        count: u32,
    },
    /// An invitation for somebody is one, for one use.
    OneGuest,
    NoSuchUser {
        handle: Name,
    },
    /// Who is to be invited belongs to the org.
    MemberAlready {
        handle: Name,
    },
    /// Who wants to come in belongs to the org.
    AlreadyMember {
        org: Name,
    },
    ForSomebodyElse,
    /// One that is for whoever has it is declined by nobody.
    ForAnybody,
    TooManyOpen {
        most: usize,
    },
    TooManyLoginLinks {
        most: usize,
    },
    Declined,
    /// There is none of this id that waits for the one who asks.
    NotPending,
}

impl From<InvitationRejection> for Rejection {
    fn from(rejection: InvitationRejection) -> Self {
        Self::Invitation(rejection)
    }
}
