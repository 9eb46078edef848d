//! What people are told about invitations.

use common::{code::Code, org::MAX_INVITATIONS_AT_ONCE, problem::Problem};

use crate::rejection::invitation::InvitationRejection;

impl InvitationRejection {
    pub(super) fn problem(self) -> Problem {
        let cannot_make = "cannot make this invitation";
        let cannot_join = "cannot use this invitation";
        match self {
            Self::Count { count } => Problem::new(
                Code::BadRequest,
                "cannot make these invitations",
                format!("{count} of them: from 1 to {MAX_INVITATIONS_AT_ONCE} can be made at once"),
            )
            .help("Choose another --count."),
            Self::OneGuest => Problem::new(
                Code::BadRequest,
                cannot_make,
                "one that is for somebody is a single one and good once",
            )
            .help("Leave --count and --uses out, or leave --for out."),
            Self::NoSuchUser { handle } => Problem::new(
                Code::NotFound,
                format!("no user {handle}"),
                "nobody of this name has an account on this coordinator",
            )
            .help("`compute-share invite create --for ADDRESS` makes a link for somebody's e-mail; without --for, for whoever has it."),
            Self::MemberAlready { handle } => Problem::new(
                Code::WrongState,
                format!("cannot invite {handle}"),
                "they are a member of the org already",
            )
            .help("`compute-share member list` lists everybody."),
            Self::AlreadyMember { org } => Problem::new(
                Code::WrongState,
                format!("cannot join {org} once more"),
                "you are a member of it already; the invitation is left as it was",
            )
            .help(format!("`compute-share org use {org}` makes it the active one.")),
            Self::ForSomebodyElse => Problem::new(
                Code::Permission,
                cannot_join,
                "it was made for somebody else",
            )
            .help("Sign in as the one whom it is for, or ask for an invitation of your own."),
            Self::ForAnybody => Problem::new(
                Code::WrongState,
                "cannot decline this invitation",
                "it is for whoever has it, and not for one person",
            )
            .help("Leave it unused: it expires by itself."),
            Self::TooManyOpen { most } => Problem::new(
                Code::Limit,
                "cannot make more invitations",
                format!("the org has as many that are open as it may: {most}"),
            )
            .help("Revoke some that nobody will use: `compute-share invite list`, `compute-share invite revoke`."),
            Self::TooManyLoginLinks { most } => Problem::new(
                Code::Limit,
                "cannot make another sign-in link",
                format!("you have made {most} that nobody has used"),
            )
            .help("Make them useless with `compute-share device link --revoke` (or with --user), or wait until they expire."),
            Self::Declined => Problem::new(Code::CodeRevoked, cannot_join, "it was declined")
                .help("Ask for a new invitation."),
            Self::NotPending => Problem::new(
                Code::NotFound,
                "no such invitation",
                "none of this id waits for you",
            )
            .help("`compute-share invite list --mine` lists those that do."),
        }
    }
}
