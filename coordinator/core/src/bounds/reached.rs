//! Every limit that keeps a job from being submitted or a task from starting, in values and words: a refusal
//! and an explanation say the same.

use common::{
    api::explain::BlockerCode,
    limits::{Amount, Limits, ResourceType},
    units::MilliCpu,
};

use super::{Bound, Bounds, Source, asked};
use crate::{
    rejection::LimitReached,
    schedule::explain::Subject,
    state::{State, index::MemberUse},
};

/// A limit that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) code: BlockerCode,
    pub(crate) kind: Kind,
    pub(crate) limit: LimitReached,
    /// What would have to change, as read after "smallest change:".
    pub(crate) change: String,
}

/// How it is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of every start, whatever else runs.
    ForGood,
    /// Of a new job; jobs that wait already do not mind.
    Submission,
    /// Of a start while others hold what they hold.
    ForNow,
    /// Of new jobs and of every start.
    Both,
}

impl Reached {
    pub(crate) fn is_for_good(&self) -> bool {
        self.kind == Kind::ForGood
    }

    /// Returns whether a new job is refused for it.
    pub(crate) fn refuses_submission(&self) -> bool {
        self.kind != Kind::ForNow
    }
}

/// Returns every limit that is in the way of the subject: of another start of a job, or of a job that could be
/// submitted.
pub(crate) fn reached(state: &State, subject: &Subject<'_>) -> Vec<Reached> {
    let Some(org) = state.orgs.get(&subject.org) else {
        return Vec::new();
    };
    let inquiry = Inquiry {
        state,
        subject,
        limits: &org.limits,
        member: state.index.members.get(&(subject.org, subject.owner)),
    };
    let single = [
        inquiry.job_memory(),
        inquiry.job_runtime(),
        inquiry.queued(subject.spec.task_count().into()),
        inquiry.concurrent(),
        inquiry.artifacts(),
    ];
    let bounds = Bounds::of(state, subject.org, subject.owner);
    let request = &subject.spec.request;
    let tasks = subject.spec.gang().unwrap_or(1);
    let resources = bounds.iter();
    let resources = resources.filter(|bound| !bound.admits(request, tasks));
    let resources =
        resources.map(|bound| inquiry.resource(&bound, asked(request, bound.resource, tasks)));
    single.into_iter().flatten().chain(resources).collect()
}

/// Returns the bound on waiting tasks where so many more, of the subject's and others with it, would exceed it.
pub(crate) fn queued_reached(state: &State, subject: &Subject<'_>, tasks: u64) -> Option<Reached> {
    let org = state.orgs.get(&subject.org)?;
    let inquiry = Inquiry {
        state,
        subject,
        limits: &org.limits,
        member: state.index.members.get(&(subject.org, subject.owner)),
    };
    inquiry.queued(tasks)
}

/// Returns the bounds on models of GPUs that leave too few for a subject that would take any model.
pub(crate) fn reached_models(state: &State, subject: &Subject<'_>) -> Vec<LimitReached> {
    let Some(org) = state.orgs.get(&subject.org) else {
        return Vec::new();
    };
    let inquiry = Inquiry {
        state,
        subject,
        limits: &org.limits,
        member: state.index.members.get(&(subject.org, subject.owner)),
    };
    let gpu = subject.spec.request.gpu.as_ref();
    let asked = Amount(gpu.map_or(0, |gpu| gpu.count.into()));
    let bounds = Bounds::of(state, subject.org, subject.owner).iter();
    bounds
        .filter(|bound| matches!(bound.resource, ResourceType::Model(_)))
        .filter(|bound| bound.used.0.saturating_add(asked.0) > bound.most.0)
        .map(|bound| inquiry.resource(&bound, asked).limit)
        .collect()
}

struct Inquiry<'a> {
    state: &'a State,
    subject: &'a Subject<'a>,
    limits: &'a Limits,
    member: Option<&'a MemberUse>,
}

impl Inquiry<'_> {
    fn job_memory(&self) -> Option<Reached> {
        let (asked, most) = (
            self.subject.spec.request.memory,
            self.limits.max_job_memory?,
        );
        (asked > most).then(|| Reached {
            code: BlockerCode::JobMemoryLimit,
            kind: Kind::ForGood,
            limit: self.of_org(
                "max_job_memory",
                most.to_string(),
                format!("{asked} of memory"),
                None,
            ),
            change: format!(
                "ask for at most {most} of memory, or have an admin raise max_job_memory to {asked}"
            ),
        })
    }

    fn job_runtime(&self) -> Option<Reached> {
        let (asked, most) = (self.subject.spec.max_runtime?, self.limits.max_job_runtime?);
        (asked > most).then(|| Reached {
            code: BlockerCode::JobRuntimeLimit,
            kind: Kind::ForGood,
            limit: self.of_org(
                "max_job_runtime",
                most.to_string(),
                format!("a run time of {asked}"),
                None,
            ),
            change: format!(
                "ask to run for at most {most}, or have an admin raise max_job_runtime to {asked}"
            ),
        })
    }

    /// Returns the bound on waiting tasks where a new job would exceed it.
    fn queued(&self, tasks: u64) -> Option<Reached> {
        let most = self.limits.max_queued_jobs_per_user?;
        if self.subject.job.is_some() {
            return None;
        }
        let queued = self.member.map_or(0, |used| used.queued);
        let then = queued.saturating_add(tasks);
        (then > u64::from(most)).then(|| Reached {
            code: BlockerCode::MemberQueuedLimit,
            kind: Kind::Submission,
            limit: self.of_org(
                "max_queued_jobs_per_user",
                most.to_string(),
                counted(tasks, "more task"),
                Some(format!("{queued} tasks wait")),
            ),
            change: format!(
                "some of this member's waiting tasks start, or an admin raises max_queued_jobs_per_user to {then}"
            ),
        })
    }

    fn concurrent(&self) -> Option<Reached> {
        let most = self.limits.max_concurrent_jobs_per_user?;
        let running = self.member.map_or(0, |used| used.running);
        let tasks = self.subject.spec.gang().unwrap_or(1);
        let for_good = tasks > 1 && tasks > most;
        (running.saturating_add(tasks) > most).then(|| Reached {
            code: BlockerCode::MemberConcurrentLimit,
            kind: match for_good {
                true => Kind::ForGood,
                false => Kind::ForNow,
            },
            limit: self.of_org(
                "max_concurrent_jobs_per_user",
                most.to_string(),
                counted(tasks.into(), "more running task"),
                Some(format!("{running} tasks of this member run")),
            ),
            change: match (for_good, tasks) {
                (true, _) => format!(
                    "ask for at most {most} nodes, or have an admin raise max_concurrent_jobs_per_user to {tasks}"
                ),
                (false, 1) => {
                    "one of this member's running tasks ends, or an admin raises max_concurrent_jobs_per_user".to_owned()
                }
                (false, _) => {
                    "enough of this member's running tasks end, or an admin raises max_concurrent_jobs_per_user".to_owned()
                }
            },
        })
    }

    fn artifacts(&self) -> Option<Reached> {
        let most = self.limits.storage.artifacts?;
        let used = self.state.index.orgs.get(&self.subject.org);
        let kept = used.map(|used| used.artifacts.bytes()).unwrap_or_default();
        (kept >= most).then(|| Reached {
            code: BlockerCode::ArtifactStorageLimit,
            kind: Kind::Both,
            limit: self.of_org(
                "storage.artifacts",
                most.to_string(),
                "room for its artifacts".to_owned(),
                Some(format!("{kept} kept")),
            ),
            change: format!("an admin raises storage.artifacts above {kept}"),
        })
    }

    fn resource(&self, bound: &Bound<'_>, asked: Amount) -> Reached {
        let for_good = asked > bound.most;
        let show = |amount: Amount| amount_of(bound.resource, amount);
        let key = bound.key();
        let (code, holder) = match bound.source {
            Source::Org => (BlockerCode::OrgResourceLimit, "the org's tasks hold"),
            Source::PerUser | Source::Own(_) => {
                (BlockerCode::MemberResourceLimit, "this member's tasks hold")
            }
        };
        let then = Amount(bound.used.0.saturating_add(asked.0));
        let raised = match bound.source {
            Source::Org | Source::PerUser => key.clone(),
            Source::Own(_) => format!("this member's own limit on {}", bound.resource),
        };
        let change = if for_good {
            let (most, asked) = (show(bound.most), bound.resource.quantity(asked));
            format!("ask for at most {most}, or have an admin raise {raised} to {asked}")
        } else {
            let free = Amount(then.0.saturating_sub(bound.most.0));
            let (free, then) = (show(free), bound.resource.quantity(then));
            format!("{free} that {holder} come free, or an admin raises {raised} to {then}")
        };
        let mut limit = self.of_org(
            &key,
            bound.resource.quantity(bound.most).to_string(),
            show(asked),
            Some(format!("{holder} {}", show(bound.used))),
        );
        if let Source::Own(own) = bound.source {
            limit.source = set_for(self.state, self.subject.owner, own.by);
        }
        Reached {
            code,
            kind: if for_good {
                Kind::ForGood
            } else {
                Kind::ForNow
            },
            limit,
            change,
        }
    }

    fn of_org(
        &self,
        limit: &str,
        value: String,
        asked: String,
        current: Option<String>,
    ) -> LimitReached {
        let org = self.state.orgs.get(&self.subject.org);
        LimitReached {
            limit: limit.to_owned(),
            value,
            asked,
            current,
            source: format!(
                "in the limits of org {}",
                org.map_or("", |org| org.name.as_str())
            ),
        }
    }
}

/// Returns `set for bob by alice`.
fn set_for(state: &State, user: common::id::UserId, by: common::id::UserId) -> String {
    let handle = |user| {
        let row = state.users.get(&user);
        row.map_or("a former member", |row| row.handle.as_str())
    };
    format!("set for {} by {}", handle(user), handle(by))
}

/// Returns `2 GPUs`, `1 rtx-5090`, `4 CPUs` or `16 GiB of memory`.
pub(crate) fn amount_of(resource: &ResourceType, amount: Amount) -> String {
    match resource {
        ResourceType::Cpu if amount.0 == u64::from(MilliCpu::cpus(1).0) => "1 CPU".to_owned(),
        ResourceType::Cpu => format!("{} CPUs", resource.quantity(amount)),
        ResourceType::Memory => format!("{} of memory", resource.quantity(amount)),
        ResourceType::Gpu => counted(amount.0, "GPU"),
        ResourceType::Model(model) => format!("{} {model}", amount.0),
    }
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
