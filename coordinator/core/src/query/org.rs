//! An org at a glance.

use std::collections::BTreeMap;

use common::{
    api::org::{OrgAnswer, OrgRequest},
    id::{OrgId, UserId},
    org::{Amounts, GpuCount, MachineCount, OrgOverview, OrgSettings},
    problem::Problem,
    resources::GpuHealth,
    status::Role,
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
};

use super::{count, handle, machine, not_a_question, of_org};
use crate::{
    decide::{
        member::{preview_leaving, preview_removal},
        org::deletion,
    },
    policy::{Action, permit},
    rejection::{OrgRejection, Rejection},
    state::State,
};

pub(super) fn answer(
    state: &State,
    now: Timestamp,
    user: UserId,
    question: &OrgRequest,
) -> Result<OrgAnswer, Problem> {
    match question {
        OrgRequest::ShowSettings { org } => {
            Ok(OrgAnswer::Settings(Box::new(settings(state, user, *org)?)))
        }
        OrgRequest::PreviewRemoval { org, handle } => {
            let preview = preview_removal(state, now, user, *org, handle)?;
            Ok(OrgAnswer::Departure(Box::new(preview)))
        }
        OrgRequest::PreviewLeaving { org } => {
            let preview = preview_leaving(state, now, user, *org)?;
            Ok(OrgAnswer::Departure(Box::new(preview)))
        }
        OrgRequest::PreviewDeletion { org } => {
            let preview = deletion::preview(state, now, user, *org)?;
            Ok(OrgAnswer::Deletion(Box::new(preview)))
        }
        OrgRequest::ShowLogo { org } => {
            permit(state, *org, user, Action::SeeOrg)?;
            let logo = state.logos.get(org).ok_or(OrgRejection::NoLogo)?;
            Ok(OrgAnswer::Logo(Box::new(logo.clone())))
        }
        OrgRequest::ChangeSettings { .. }
        | OrgRequest::Delete { .. }
        | OrgRequest::Leave { .. }
        | OrgRequest::Transfer { .. }
        | OrgRequest::RequestRejoin { .. }
        | OrgRequest::Create { .. }
        | OrgRequest::SetLogo { .. }
        | OrgRequest::RemoveLogo { .. } => Err(not_a_question()),
    }
}

fn settings(state: &State, user: UserId, org: OrgId) -> Result<OrgSettings, Rejection> {
    permit(state, org, user, Action::SeeOrg)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    Ok(row.settings.clone())
}

pub(super) fn overview(state: &State, user: UserId, org: OrgId) -> Result<OrgOverview, Rejection> {
    permit(state, org, user, Action::SeeOrg)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let owner = of_org(&state.members, org).find(|(_, member)| member.role == Role::Owner);
    let (owner, _) = owner.ok_or(Rejection::NoSuchOrg)?;

    let mut statuses = BTreeMap::new();
    let (mut total, mut free) = (Amounts::default(), Amounts::default());
    let mut gpus: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut compute_time = Span::default();
    for (id, row) in state.machines.iter().filter(|(_, row)| row.org == org) {
        let sum = compute_time.as_duration() + row.lent.as_duration();
        compute_time = Span::from(sum);
        if !row.state.is_listed() {
            continue;
        }
        *statuses
            .entry(machine::status(state, *id, row))
            .or_insert(0) += 1;
        let report = state.reports.get(id).filter(|_| state.is_connected(*id));
        let Some(report) = report.filter(|_| row.state.is_approved()) else {
            continue;
        };
        let held = state.index.machines.get(id).map(|used| &used.held);
        let rest = held.map_or_else(|| report.offer.clone(), |held| report.offer.minus(held));
        add(
            &mut total,
            report.offer.cpu,
            report.offer.memory,
            report.offer.disk,
        );
        add(&mut free, rest.cpu, rest.memory, rest.disk);
        for gpu in &report.offer.gpus {
            if gpu.health != GpuHealth::Withheld {
                gpus.entry(gpu.model.clone()).or_default().0 += 1;
            }
        }
        for gpu in &rest.gpus {
            if gpu.health == GpuHealth::Usable {
                gpus.entry(gpu.model.clone()).or_default().1 += 1;
            }
        }
    }
    let (mut running, mut queued) = (0u32, 0u64);
    for (_, used) in of_org(&state.index.members, org) {
        running = running.saturating_add(used.running);
        queued += used.queued;
    }
    Ok(OrgOverview {
        id: org,
        name: row.name.clone(),
        owner: handle(state, owner)?,
        created_at: row.created_at,
        members: count(of_org(&state.members, org).count()),
        machines: statuses
            .into_iter()
            .map(|(status, count)| MachineCount { status, count })
            .collect(),
        total,
        free,
        gpus: gpus
            .into_iter()
            .map(|(model, (total, free))| GpuCount { model, total, free })
            .collect(),
        running_tasks: running,
        queued_tasks: u32::try_from(queued).unwrap_or(u32::MAX),
        compute_time,
        settings: row.settings.clone(),
        logo: state.logos.get(&org).map(|logo| logo.about),
        limits: row.limits.clone(),
    })
}

fn add(sum: &mut Amounts, cpu: MilliCpu, memory: Bytes, disk: Bytes) {
    sum.cpu = MilliCpu(sum.cpu.0.saturating_add(cpu.0));
    sum.memory = Bytes(sum.memory.0.saturating_add(memory.0));
    sum.disk = Bytes(sum.disk.0.saturating_add(disk.0));
}
