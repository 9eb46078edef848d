//! When somebody has to be asked, and when a rule answers for them.

use std::{net::IpAddr, time::Duration};

use common::{
    address_range::AddressRange,
    approval::{ApprovalRules, JobRule, MAX_MACHINE_RULES, MachineRule},
    id::{OrgId, UserId},
    limits::Limits,
    status::{EndReason, Role},
    time::{Span, Timestamp},
};

use crate::{
    event::{Event, approval::ApprovalEvent},
    policy::{Action, permit},
    rejection::{Rejection, approval::ApprovalRejection},
    state::{State, org::Org, specification::Specification},
};

/// Longest life of a rule.
const MAX_RULE_LIFE: Span = Span::from_secs(10 * 366 * 86_400);
const HOUR_MS: u128 = 3_600_000;

/// The GPU-hours that a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GpuHours {
    /// In milliseconds of one GPU.
    AtMost(u128),
    /// Nothing bounds its run time.
    Unbounded,
}

/// Returns what a job may use at most: GPUs x run time x tasks, and as often as it can have itself tried again.
///
/// Retries after what was done to the job (a lost machine, an owner's return) do not count: their time is not the
/// job's. Those after its own end would be a way around the threshold, so they do.
pub(crate) fn gpu_hours(spec: &Specification, limits: &Limits) -> GpuHours {
    let gpus = spec.request.gpu.as_ref().map_or(0, |gpu| gpu.count);
    if gpus == 0 {
        return GpuHours::AtMost(0);
    }
    let Some(run) = spec
        .max_runtime
        .into_iter()
        .chain(limits.max_job_runtime)
        .min()
    else {
        return GpuHours::Unbounded;
    };
    let own = EndReason::ALL
        .iter()
        .any(|reason| reason.billed() && spec.retries.covers(*reason));
    let tries = if own {
        u128::from(spec.retries.max) + 1
    } else {
        1
    };
    let tasks = spec.task_count();
    let each = run
        .as_duration()
        .as_millis()
        .saturating_mul(u128::from(gpus));
    GpuHours::AtMost(each.saturating_mul(u128::from(tasks)).saturating_mul(tries))
}

/// Returns why a job needs approval, if it does.
pub(crate) fn job_note(org: &Org, spec: &Specification) -> Option<String> {
    let most = org.approvals.job.gpu_hours_over?;
    let asked = match gpu_hours(spec, &org.limits) {
        GpuHours::AtMost(ms) if ms <= u128::from(most) * HOUR_MS => return None,
        GpuHours::AtMost(ms) => {
            let tenths = ms.saturating_mul(10).div_ceil(HOUR_MS);
            match tenths % 10 {
                0 => format!("may use {} GPU-hours", tenths / 10),
                rest => format!("may use {}.{rest} GPU-hours", tenths / 10),
            }
        }
        GpuHours::Unbounded => "has GPUs and no run-time bound".to_owned(),
    };
    Some(format!("{asked}; org {} asks beyond {most}", org.name))
}

/// Returns the rule that approves a machine, in words, if one does.
pub(crate) fn fitting_rule(
    org: &Org,
    at: Timestamp,
    role: Role,
    from: Option<IpAddr>,
) -> Option<String> {
    if !org.settings.machine_approval_required {
        return Some("setting machine_approval_required=off".to_owned());
    }
    let fits = |rule: &&MachineRule| {
        let alive = rule.expires_at.is_none_or(|expires| at < expires);
        let role = rule.role.is_none_or(|least| role >= least);
        let here = rule.addresses;
        let here = here.is_none_or(|range| from.is_some_and(|from| range.contains(from)));
        alive && role && here
    };
    let rule = org.approvals.machines.iter().find(fits)?;
    Some(rule.to_string())
}

pub(super) fn set_job_threshold(
    state: &State,
    user: UserId,
    org: OrgId,
    gpu_hours_over: Option<u32>,
) -> Result<Vec<Event>, Rejection> {
    change(state, user, org, |rules, made| {
        rules.job = JobRule { gpu_hours_over };
        Ok(made)
    })
}

pub(super) fn add_machine_rule(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    role: Option<Role>,
    addresses: Option<AddressRange>,
    ttl: Option<Span>,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeApprovals)?;
    if role == Some(Role::Owner) {
        return Err(ApprovalRejection::RuleRole.into());
    }
    if addresses.is_none() && role.is_none() {
        return Err(ApprovalRejection::RuleForAll.into());
    }
    if ttl.is_some_and(|ttl| ttl.as_duration() == Duration::ZERO || ttl > MAX_RULE_LIFE) {
        return Err(ApprovalRejection::RuleLife.into());
    }
    let by = state
        .users
        .get(&user)
        .ok_or(Rejection::CertificateUnknown)?;
    change(state, user, org, |rules, made| {
        // One that no longer holds makes room.
        let alive = |rule: &MachineRule| rule.expires_at.is_none_or(|expires| at < expires);
        if rules.machines.len() >= MAX_MACHINE_RULES {
            rules.machines.retain(alive);
        }
        if rules.machines.len() >= MAX_MACHINE_RULES {
            return Err(ApprovalRejection::TooManyRules.into());
        }
        let number = made.saturating_add(1);
        rules.machines.push(MachineRule {
            number,
            role,
            addresses,
            expires_at: ttl.map(|ttl| at.saturating_add(ttl.as_duration())),
            created_by: by.handle.clone(),
            created_at: at,
        });
        Ok(number)
    })
}

pub(super) fn remove_machine_rule(
    state: &State,
    user: UserId,
    org: OrgId,
    number: u32,
) -> Result<Vec<Event>, Rejection> {
    change(state, user, org, |rules, made| {
        let before = rules.machines.len();
        rules.machines.retain(|rule| rule.number != number);
        if rules.machines.len() == before {
            return Err(ApprovalRejection::NoSuchRule { number }.into());
        }
        Ok(made)
    })
}

/// Changes the rules of an org. What asks for what is already so changes nothing.
fn change(
    state: &State,
    user: UserId,
    org: OrgId,
    change: impl FnOnce(&mut ApprovalRules, u32) -> Result<u32, Rejection>,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeApprovals)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let mut after = row.approvals.clone();
    let made = change(&mut after, row.machine_rules_made)?;
    if after == row.approvals {
        return Ok(Vec::new());
    }
    Ok(vec![Event::Approval(ApprovalEvent::ApprovalRulesChanged {
        org,
        before: Box::new(row.approvals.clone()),
        after: Box::new(after),
        made,
    })])
}
