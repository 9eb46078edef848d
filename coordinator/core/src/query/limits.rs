//! Limits as people see them: every bound with where it comes from and what counts against it.

use std::collections::BTreeSet;

use common::{
    api::limits::{
        BoundSource, BoundView, LimitChange, LimitsAnswer, LimitsDiff, LimitsRequest, MemberLimits,
        OrgLimits, OverLimit,
    },
    code::Code,
    id::{OrgId, UserId},
    limits::{Limits, Quantity, ResourceType},
    name::Name,
    problem::Problem,
    units::Bytes,
};

use super::{count, handle, most, of_org};
use crate::{
    bounds::{Bound, Bounds, Source},
    decide::member::find,
    policy::{Action, permit},
    rejection::Rejection,
    state::{State, org::Org},
};

pub(crate) fn answer(
    state: &State,
    user: UserId,
    question: &LimitsRequest,
) -> Result<LimitsAnswer, Problem> {
    Ok(match question {
        LimitsRequest::Show { org } => LimitsAnswer::Org(show(state, user, *org)?),
        LimitsRequest::Diff { org, limits } => LimitsAnswer::Diff(diff(state, user, *org, limits)?),
        LimitsRequest::Member { org, handle } => {
            LimitsAnswer::Member(of_member(state, user, *org, handle.as_ref())?)
        }
        LimitsRequest::SetMember(_) => {
            return Err(Problem::new(
                Code::BadRequest,
                "cannot answer this",
                "it is not a question",
            ));
        }
    })
}

fn show(state: &State, user: UserId, org: OrgId) -> Result<OrgLimits, Rejection> {
    permit(state, org, user, Action::SeeOrg)?;
    let row = org_row(state, org)?;
    Ok(OrgLimits {
        limits: row.limits.clone(),
        bounds: of_the_whole(state, org, &row.limits),
        unknown_models: unknown_models(state, org, &row.limits),
    })
}

/// Returns what would change, and who would be over a bound. Costs per member and per machine, never per job.
fn diff(state: &State, user: UserId, org: OrgId, after: &Limits) -> Result<LimitsDiff, Rejection> {
    permit(state, org, user, Action::ChangeLimits)?;
    let before = &org_row(state, org)?.limits;
    let mut over: Vec<OverLimit> = of_the_whole(state, org, after)
        .into_iter()
        .filter(is_over)
        .map(|bound| OverLimit {
            member: None,
            bound,
        })
        .collect();
    let mut over_count = over.len();
    for (member, _) in of_org(&state.members, org) {
        let mut exceeded = of_each(state, org, member, after);
        exceeded.retain(is_over);
        over_count += exceeded.len();
        let room = most(u32::MAX).saturating_sub(over.len());
        for bound in exceeded.into_iter().take(room) {
            over.push(OverLimit {
                member: Some(handle(state, member)?),
                bound,
            });
        }
    }
    Ok(LimitsDiff {
        changes: changes(before, after),
        over,
        over_count: count(over_count),
        unknown_models: unknown_models(state, org, after),
    })
}

fn changes(before: &Limits, after: &Limits) -> Vec<LimitChange> {
    let (before, after) = (before.entries(), after.entries());
    let value = |entries: &[(String, Quantity)], key: &str| {
        let found = entries.iter().find(|(other, _)| other == key);
        found.map(|(_, value)| *value)
    };
    let gone = before
        .iter()
        .filter(|(key, _)| value(&after, key).is_none());
    let keys = after.iter().chain(gone).map(|(key, _)| key);
    keys.map(|key| LimitChange {
        limit: key.clone(),
        before: value(&before, key),
        after: value(&after, key),
    })
    .filter(|change| change.before != change.after)
    .collect()
}

fn of_member(
    state: &State,
    user: UserId,
    org: OrgId,
    asked: Option<&Name>,
) -> Result<MemberLimits, Rejection> {
    let mut member = permit(state, org, user, Action::SeeOrg)?;
    let mut target = user;
    if let Some(asked) = asked {
        (target, member) = find(state, org, asked)?;
        if target != user {
            permit(state, org, user, Action::SeeMemberLimits)?;
        }
    }
    let limits = &org_row(state, org)?.limits;
    let mut bounds = of_each(state, org, target, limits);
    bounds.extend(of_the_whole(state, org, limits));
    Ok(MemberLimits {
        handle: handle(state, target)?,
        role: member.role,
        bounds,
    })
}

/// Returns the bounds on one member alone, in the order of the limits file.
fn of_each(state: &State, org: OrgId, member: UserId, limits: &Limits) -> Vec<BoundView> {
    let machines = state.index.belongings.machines.get(&(org, member));
    let machines = machines.map_or(0, |machines| machines.len() as u64);
    let used = state.index.members.get(&(org, member));
    let (running, queued) = used.map_or((0, 0), |used| (used.running, used.queued));
    let number = |most: Option<u32>| most.map(|most| Quantity::Count(most.into()));
    let counted = |count: u64| Some(Quantity::Count(count));
    let single = [
        (
            "max_machines_per_user",
            number(limits.max_machines_per_user),
            counted(machines),
        ),
        (
            "max_concurrent_jobs_per_user",
            number(limits.max_concurrent_jobs_per_user),
            counted(running.into()),
        ),
        (
            "max_queued_jobs_per_user",
            number(limits.max_queued_jobs_per_user),
            counted(queued),
        ),
        (
            "max_job_runtime",
            limits.max_job_runtime.map(Quantity::Time),
            None,
        ),
        (
            "max_job_memory",
            limits.max_job_memory.map(Quantity::Size),
            None,
        ),
    ];
    let single = single.into_iter().filter_map(|(limit, value, in_use)| {
        Some(BoundView {
            limit: limit.to_owned(),
            value: value?,
            source: BoundSource::PerUser,
            in_use,
        })
    });
    let own = state.own_limits.get(&(org, member));
    let bounds = Bounds::with(Some(limits), own, None, used).iter();
    let bounds = bounds.filter(|bound| bound.source != Source::Org);
    let mut bounds: Vec<Bound<'_>> = bounds.collect();
    bounds.sort_by_key(|bound| bound.resource);
    let resources = bounds.iter().map(|bound| view(state, bound));
    single.chain(resources).collect()
}

/// Returns the bounds on what all members have together.
fn of_the_whole(state: &State, org: OrgId, limits: &Limits) -> Vec<BoundView> {
    let used = state.index.orgs.get(&org);
    let held = used.map(|used| &used.held);
    let bounds = Bounds::with(Some(limits), None, held, None).iter();
    let concurrent = bounds.filter(|bound| bound.source == Source::Org);
    let concurrent = concurrent.map(|bound| view(state, &bound));
    let storage = [
        (
            "storage.datasets",
            limits.storage.datasets,
            used.map(|used| used.datasets.bytes()),
        ),
        (
            "storage.artifacts",
            limits.storage.artifacts,
            used.map(|used| used.artifacts.bytes()),
        ),
    ];
    let storage = storage.into_iter().filter_map(|(limit, most, kept)| {
        Some(BoundView {
            limit: limit.to_owned(),
            value: Quantity::Size(most?),
            source: BoundSource::Org,
            in_use: Some(Quantity::Size(kept.unwrap_or(Bytes::ZERO))),
        })
    });
    concurrent.chain(storage).collect()
}

fn view(state: &State, bound: &Bound<'_>) -> BoundView {
    BoundView {
        limit: bound.key(),
        value: bound.resource.quantity(bound.most),
        source: match bound.source {
            Source::Org => BoundSource::Org,
            Source::PerUser => BoundSource::PerUser,
            Source::Own(own) => BoundSource::Member {
                by: handle(state, own.by).ok(),
                at: own.at,
            },
        },
        in_use: Some(bound.resource.quantity(bound.used)),
    }
}

fn is_over(bound: &BoundView) -> bool {
    bound.in_use.is_some_and(|used| used > bound.value)
}

/// Returns the limited models that no machine has: likely mistyped, or not there yet.
fn unknown_models(state: &State, org: OrgId, limits: &Limits) -> Vec<Name> {
    let limited = limits.concurrent.iter().chain(limits.per_user.iter());
    let mut unknown: BTreeSet<&Name> = limited
        .filter_map(|(resource, _)| match resource {
            ResourceType::Model(model) => Some(model),
            _ => None,
        })
        .collect();
    let names = state.index.machine_names.get(&org);
    let ids = names.into_iter().flat_map(|names| names.values());
    for report in ids.filter_map(|id| state.reports.get(id)) {
        for gpu in &report.capacity.gpus {
            unknown.retain(|model| model.as_str() != gpu.model);
        }
    }
    unknown.into_iter().cloned().collect()
}

fn org_row(state: &State, org: OrgId) -> Result<&Org, Rejection> {
    state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)
}
