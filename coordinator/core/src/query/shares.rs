//! What the order of members is made of.

use common::{
    api::{
        MAX_ROWS,
        shares::{MemberShare, ProjectWeight, Shares, SharesAnswer, SharesRequest},
    },
    id::{OrgId, UserId},
    problem::Problem,
    time::Timestamp,
    weight::Weight,
};

use super::{count, handle, most, of_org};
use crate::{
    policy::{self, Action, permit},
    rejection::Rejection,
    schedule::order::{Order, Part},
    state::{
        State,
        queue::Whose,
        standing::{Borrowed, Standing},
    },
};

pub(super) fn answer(
    state: &State,
    now: Timestamp,
    user: UserId,
    request: &SharesRequest,
) -> Result<Option<SharesAnswer>, Problem> {
    match request {
        SharesRequest::Show { org } => {
            Ok(Some(SharesAnswer::Shares(show(state, now, user, *org)?)))
        }
        SharesRequest::SetWeight(_) => Ok(None),
    }
}

fn show(state: &State, now: Timestamp, user: UserId, org: OrgId) -> Result<Shares, Rejection> {
    permit(state, org, user, Action::SeeOwnUsage)?;
    let member = policy::member(state, org, user)?;
    let all = policy::always(member.role, Action::SeeAnyUsage);
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let order = Order::of(state, org, state.volatile.pool.of(org), now);
    let shown = of_org(&state.members, org).filter(|(shown, _)| all || *shown == user);
    let mut parts: Vec<(Part, UserId)> = shown
        .map(|(user, _)| {
            let whose = Whose {
                user,
                project: None,
            };
            (order.part(whose, &order.borrowed(user)), user)
        })
        .collect();
    parts.sort_unstable();
    let rows = parts.iter().take(most(MAX_ROWS));
    let members: Result<Vec<MemberShare>, Rejection> = rows
        .map(|(part, user)| share(state, &order, org, *user, *part))
        .collect();
    let members = members?;
    let names = state.index.project_names.get(&org);
    let projects = names.into_iter().flatten().filter_map(|(name, id)| {
        let weight = state.projects.get(id)?.weight;
        let visible = all || policy::project::access(state, *id, user).is_some();
        (weight != Weight::ONE && visible).then(|| ProjectWeight {
            project: name.clone(),
            weight,
        })
    });
    Ok(Shares {
        usage_half_life: row.settings.usage_half_life,
        lending_credit: row.settings.lending_credit,
        left_out: count(parts.len() - members.len()),
        members,
        projects: projects.take(most(MAX_ROWS)).collect(),
    })
}

fn share(
    state: &State,
    order: &Order<'_>,
    org: OrgId,
    user: UserId,
    part: Part,
) -> Result<MemberShare, Rejection> {
    let standing = state.standings.get(&(org, user)).copied();
    let standing = standing.unwrap_or_default();
    let used = state.index.members.get(&(org, user));
    let alone = |used: bool| Standing {
        used: if used { standing.used } else { standing.lent },
        lent: Default::default(),
        ..standing
    };
    let ppm = |part: u64| part / 1000;
    let nothing = Borrowed::default();
    Ok(MemberShare {
        member: handle(state, user)?,
        weight: standing.weight,
        holds_ppm: ppm(order.of_member(None, &order.borrowed(user))),
        used_ppm: ppm(order.of_member(Some(&alone(true)), &nothing)),
        lent_ppm: ppm(order.of_member(Some(&alone(false)), &nothing)),
        standing_ppm: ppm(part.0),
        queued: used.map_or(0, |used| used.queued),
    })
}
