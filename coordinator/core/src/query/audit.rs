//! The audit log in words. The shell reads the entries from the book; here is who may, whom they speak of, and what
//! they say: names as they are now instead of ids.

mod words;

use common::{
    audit::{AuditActor, AuditEntry},
    code::Code,
    id::{OrgId, TokenId, UserId},
    problem::Problem,
    status::AuditKind,
    time::Timestamp,
};

use crate::{
    command::Actor,
    policy::{Action, permit},
    state::State,
};

/// An entry as the book has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub number: u64,
    pub at: Timestamp,
    pub kind: AuditKind,
    pub actor: Actor,
    pub json: String,
}

/// Whose entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// A member, a machine of the org, or the coordinator itself.
    Known(Actor),
    /// Somebody who is no member now; what the log has of them may be shown.
    Past(Actor),
    Unknown,
}

/// Checks that the user may see the org's log.
///
/// # Errors
/// No member of the org, or the role is too low.
pub fn may_see(state: &State, user: UserId, org: OrgId) -> Result<(), Problem> {
    permit(state, org, user, Action::SeeAudit)?;
    Ok(())
}

/// Returns whom a name means: a member before a machine, what is there before what was.
pub fn seek(state: &State, org: OrgId, name: &str) -> Sought {
    if let Some(actor) = [Actor::System, Actor::Stranger]
        .into_iter()
        .find(|actor| id(*actor) == name.trim_matches(['(', ')']))
    {
        return Sought::Known(actor);
    }
    let user = name
        .parse()
        .ok()
        .and_then(|handle| state.index.handles.get(&handle))
        .copied();
    if let Some(user) = user.filter(|user| state.members.contains_key(&(org, *user))) {
        return Sought::Known(Actor::User(user));
    }
    let machines = state.machines.iter();
    let newest = machines
        .filter(|(_, row)| row.org == org && row.name.as_str() == name)
        .max_by_key(|(_, row)| (row.state.is_living(), row.registered_at));
    match (newest, user) {
        (Some((machine, _)), _) => Sought::Known(Actor::Machine(*machine)),
        (None, Some(user)) => Sought::Past(Actor::User(user)),
        (None, None) => Sought::Unknown,
    }
}

/// Returns why there is nothing to show of somebody whom the log does not know.
pub fn no_such_actor(name: &str) -> Problem {
    let what = format!("nobody called {name} is in the log");
    let why = "the org has no member and no machine of this name, and its log knows none";
    Problem::new(Code::NotFound, what, why)
        .help("`compute-share member list` and `compute-share machine list` show the names.")
}

/// Returns who it was, by id: as it stands in the entry.
pub fn id(actor: Actor) -> String {
    match actor {
        Actor::User(user) | Actor::Program { user, .. } => format!("user {user}"),
        Actor::Machine(machine) => format!("machine {machine}"),
        Actor::Stranger => "stranger".to_owned(),
        Actor::System => "system".to_owned(),
    }
}

/// Returns the token of the user that it was done with, if it was with one: as it stands in the entry.
pub const fn token(actor: Actor) -> Option<TokenId> {
    match actor {
        Actor::Program { token, .. } => Some(token),
        Actor::User(_) | Actor::Machine(_) | Actor::Stranger | Actor::System => None,
    }
}

/// Returns what an entry says.
pub fn in_words(state: &State, kept: Kept) -> AuditEntry {
    let Kept {
        number,
        at,
        kind,
        actor,
        json,
    } = kept;
    let name = match actor {
        Actor::User(user) | Actor::Program { user, .. } => {
            state.users.get(&user).map(|row| row.handle.to_string())
        }
        Actor::Machine(machine) => state.machines.get(&machine).map(|row| row.name.to_string()),
        Actor::Stranger | Actor::System => None,
    };
    let said = words::Said::of(state, &json);
    AuditEntry {
        number,
        at,
        actor: AuditActor {
            id: id(actor),
            name,
            token: said.token,
        },
        kind,
        event: said.event,
        subject: said.subject,
        change: said.change,
        json,
    }
}
