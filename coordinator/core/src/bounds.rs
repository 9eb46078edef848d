//! What holds a member's tasks back: every bound on compute resources that counts for them, with where it comes
//! from and what is used of it.
//!
//! The org's `concurrent` counts what all of its tasks hold. Of one member counts what is set for that member
//! alone, and the org's `per_user` where nothing is; neither ever lets through what the org's own bounds stop.
//! Submission, the schedule, explanations and answers all ask here.

mod reached;

use common::{
    id::{OrgId, UserId},
    limits::{Amount, Limits, ResourceLimits, ResourceType},
    resources::{GpuRoom, Request, Shortage},
};

pub(crate) use self::reached::{Kind, Reached, queued_reached, reached, reached_models};
use crate::state::{State, held::Held, index::MemberUse, limits::OwnLimit, limits::OwnLimits};

static NOTHING_HELD: Held = Held::nothing();

/// The bounds on one member's tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    concurrent: Option<&'a ResourceLimits>,
    per_user: Option<&'a ResourceLimits>,
    own: Option<&'a OwnLimits>,
    org_held: &'a Held,
    member_held: &'a Held,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) resource: &'a ResourceType,
    pub(crate) most: Amount,
    /// What counts against it now. May be more than `most`, where that was lowered since.
    pub(crate) used: Amount,
    pub(crate) source: Source,
}

/// Where a bound comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The org's, for all its members together.
    Org,
    /// The org's, for each member.
    PerUser,
    /// Set for this member alone.
    Own(OwnLimit),
}

impl<'a> Bounds<'a> {
    /// Returns the bounds with what is used of them now.
    pub(crate) fn of(state: &'a State, org: OrgId, user: UserId) -> Self {
        let org_used = state.index.orgs.get(&org);
        let member_used = state.index.members.get(&(org, user));
        let limits = state.orgs.get(&org).map(|row| &row.limits);
        Self::with(
            limits,
            state.own_limits.get(&(org, user)),
            org_used.map(|used| &used.held),
            member_used,
        )
    }

    /// Returns the bounds with other limits, or with more in use than the state knows of.
    pub(crate) fn with(
        limits: Option<&'a Limits>,
        own: Option<&'a OwnLimits>,
        org_held: Option<&'a Held>,
        member: Option<&'a MemberUse>,
    ) -> Self {
        Self {
            concurrent: limits.map(|limits| &limits.concurrent),
            per_user: limits.map(|limits| &limits.per_user),
            own,
            org_held: org_held.unwrap_or(&NOTHING_HELD),
            member_held: member.map_or(&NOTHING_HELD, |used| &used.held),
        }
    }

    /// Returns every bound, the org's first.
    pub(crate) fn iter(self) -> impl Iterator<Item = Bound<'a>> {
        let concurrent = self.concurrent.into_iter().flat_map(ResourceLimits::iter);
        let concurrent = concurrent.map(move |(resource, most)| Bound {
            resource,
            most,
            used: self.org_held.of(resource),
            source: Source::Org,
        });
        let set_singly = move |resource: &ResourceType| {
            let own = self.own;
            own.is_some_and(|own| own.resources.contains_key(resource))
        };
        let per_user = self.per_user.into_iter().flat_map(ResourceLimits::iter);
        let per_user = per_user
            .filter(move |(resource, _)| !set_singly(resource))
            .map(move |(resource, most)| Bound {
                resource,
                most,
                used: self.member_held.of(resource),
                source: Source::PerUser,
            });
        let own = self.own.into_iter().flat_map(|own| &own.resources);
        let own = own.map(move |(resource, own)| Bound {
            resource,
            most: own.most,
            used: self.member_held.of(resource),
            source: Source::Own(*own),
        });
        concurrent.chain(per_user).chain(own)
    }

    /// Returns whether so many tasks that ask for this may start together, as far as these bounds go and the models of its GPUs
    /// are known: where it takes any model, [`Self::gpu_room`] says the rest.
    pub(crate) fn admit(self, request: &Request, tasks: u32) -> bool {
        self.iter().all(|bound| bound.admits(request, tasks))
    }

    /// Returns how many more GPUs of each model may be held.
    pub(crate) fn gpu_room(self) -> GpuRoom {
        self.room(|bound| bound.most.0.saturating_sub(bound.used.0))
    }

    /// Returns how many GPUs of each model may be held while nothing else is.
    pub(crate) fn gpu_room_ever(self) -> GpuRoom {
        self.room(|bound| bound.most.0)
    }

    fn room(self, left: impl Fn(&Bound<'_>) -> u64) -> GpuRoom {
        let mut room = GpuRoom::unlimited();
        for bound in self.iter() {
            let left = left(&bound);
            match bound.resource {
                ResourceType::Model(model) => room.narrow(model.as_str(), left),
                ResourceType::Cpu => room.narrow_whole(Shortage::Cpu, left),
                ResourceType::Memory => room.narrow_whole(Shortage::Memory, left),
                ResourceType::Gpu => {}
            }
        }
        room
    }
}

impl Bound<'_> {
    fn admits(&self, request: &Request, tasks: u32) -> bool {
        let asked = asked(request, self.resource, tasks);
        // What asks for nothing of it is never in its way, however far it is exceeded.
        asked == Amount(0) || self.used.0.saturating_add(asked.0) <= self.most.0
    }

    /// Returns its key in the limits file; what is set for one member stands in for `per_user`.
    pub(crate) fn key(&self) -> String {
        match self.source {
            Source::Org => format!("concurrent.{}", self.resource),
            Source::PerUser | Source::Own(_) => format!("per_user.{}", self.resource),
        }
    }
}

/// Returns how much of the resource so many tasks hold for certain.
pub(crate) fn asked(request: &Request, resource: &ResourceType, tasks: u32) -> Amount {
    let gpu = request.gpu.as_ref();
    let each: u64 = match resource {
        ResourceType::Cpu => request.cpu.0.into(),
        ResourceType::Memory => request.memory.0,
        ResourceType::Gpu => gpu.map_or(0, |gpu| gpu.count.into()),
        ResourceType::Model(model) => gpu
            .filter(|gpu| gpu.model.as_deref() == Some(model.as_str()))
            .map_or(0, |gpu| gpu.count.into()),
    };
    Amount(each.saturating_mul(tasks.into()))
}
