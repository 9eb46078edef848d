//! Why a job waits: the very checks that placement makes, with all that is in the way instead of a yes or no.

mod forecast;
mod words;

pub(crate) use self::words::pause_reason;

use std::collections::BTreeMap;

use common::{
    api::explain::{Blocker, BlockerCode, Explanation, MAX_NAMED_MACHINES},
    id::{JobId, OrgId, UserId},
    job::JobSpec,
    limits::Limits,
    name::Name,
    resources::Shortage,
    status::JobStatus,
    time::Timestamp,
};

use super::{
    feasible::{Ask, Obstacle, could_ever, may_place},
    plan::History,
    view::{MachineView, OrgView},
};
use crate::state::{
    State,
    job::{Job, JobProgress},
};

/// What is asked about: a job, or one that could be submitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) org: OrgId,
    pub(crate) owner: UserId,
    pub(crate) spec: &'a JobSpec,
    pub(crate) job: Option<(JobId, &'a Job, &'a JobProgress)>,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(id: JobId, job: &'a Job, progress: &'a JobProgress) -> Self {
        Self {
            org: job.org,
            owner: job.owner,
            spec: &job.spec,
            job: Some((id, job, progress)),
        }
    }

    /// Returns what became of the task that comes next.
    fn history(&self, state: &State) -> History {
        let next = self.job.and_then(|(id, _, progress)| {
            let task = progress.queued.first_from(0)?;
            Some(History::of(state, id, task))
        });
        next.unwrap_or_default()
    }
}

/// Returns everything that keeps the subject from starting another task.
pub(crate) fn explain(state: &State, now: Timestamp, subject: &Subject<'_>) -> Explanation {
    let status = subject
        .job
        .map_or(JobStatus::Queued, |(_, _, p)| p.status());
    let waits = subject.job.is_none_or(|(_, _, p)| p.counts.queued > 0);
    let mut explanation = Explanation {
        number: subject.job.map(|(_, job, _)| job.number),
        status,
        blockers: Vec::new(),
        never: false,
        smallest_change: None,
        ahead: None,
        expected_start: None,
    };
    if !waits {
        return explanation;
    }
    let history = subject.history(state);
    let mut inquiry = Inquiry::new(state, subject);
    inquiry.ask.given_back = &history.given_back;
    let ahead = inquiry.ahead();
    explanation.never = inquiry.never();
    explanation.blockers = inquiry.blockers(ahead);
    explanation.ahead = Some(ahead);
    if !explanation.blockers.is_empty() {
        explanation.smallest_change = Some(inquiry.smallest_change());
    }
    if !explanation.never {
        explanation.expected_start = if explanation.blockers.is_empty() {
            Some(now)
        } else {
            forecast::expected_start(&inquiry, now)
        };
    }
    explanation
}

/// Returns whether no machine of the org, even idle, could ever run it, or a limit forbids it for good.
/// Costs per machine, not per job that waits: asked at every submission.
pub(crate) fn is_never(state: &State, subject: &Subject<'_>) -> bool {
    Inquiry::new(state, subject).never()
}

struct Inquiry<'a> {
    state: &'a State,
    limits: Limits,
    ask: Ask<'a>,
    view: OrgView<'a>,
    subject: Subject<'a>,
}

impl<'a> Inquiry<'a> {
    fn new(state: &'a State, subject: &Subject<'a>) -> Self {
        let org = state.orgs.get(&subject.org);
        let limits = org.map(|org| org.limits).unwrap_or_default();
        Self {
            state,
            limits,
            ask: Ask::of(state, &limits, subject.owner, subject.spec),
            view: OrgView::of(state, subject.org),
            subject: *subject,
        }
    }

    fn never(&self) -> bool {
        let machines = &self.view.machines;
        let fits = |machine: &MachineView<'_>| could_ever(machine, &self.ask).is_ok();
        self.over_memory().is_some()
            || self.over_runtime().is_some()
            || (!machines.is_empty() && !machines.iter().any(fits))
    }

    fn blockers(&self, ahead: u64) -> Vec<Blocker> {
        let limits = [
            self.over_memory()
                .map(|text| (BlockerCode::JobMemoryLimit, text)),
            self.over_runtime()
                .map(|text| (BlockerCode::JobRuntimeLimit, text)),
            self.over_concurrent()
                .map(|text| (BlockerCode::MemberConcurrentLimit, text)),
            self.over_parallel()
                .map(|text| (BlockerCode::ArrayParallelism, text)),
        ];
        let alone = |(code, text)| Blocker {
            code,
            text,
            machine_count: 0,
            machines: Vec::new(),
        };
        let mut blockers: Vec<Blocker> = limits.into_iter().flatten().map(alone).collect();
        blockers.extend(self.machine_blockers());
        if ahead > 0 && !self.never() {
            let text = match ahead {
                1 => "1 task comes first".to_owned(),
                _ => format!("{ahead} tasks come first"),
            };
            blockers.push(alone((BlockerCode::Queue, text)));
        }
        blockers
    }

    /// Returns what is in the way on each machine; nothing if one of them would take the task.
    fn machine_blockers(&self) -> Vec<Blocker> {
        if self.view.machines.is_empty() {
            return vec![Blocker {
                code: BlockerCode::NoMachine,
                text: words::no_machine(self.state, self.subject.org),
                machine_count: 0,
                machines: Vec::new(),
            }];
        }
        let mut by_code: BTreeMap<BlockerCode, Vec<&MachineView<'_>>> = BTreeMap::new();
        for machine in &self.view.machines {
            let Err(obstacles) = may_place(machine, &self.ask) else {
                return Vec::new();
            };
            for obstacle in obstacles {
                let machines = by_code.entry(code(obstacle)).or_default();
                if machines.last().is_none_or(|last| last.id != machine.id) {
                    machines.push(machine);
                }
            }
        }
        let blocker = |(code, machines): (BlockerCode, Vec<&MachineView<'_>>)| Blocker {
            code,
            text: words::on_machines(code, &self.ask, &machines),
            machine_count: u32::try_from(machines.len()).unwrap_or(u32::MAX),
            machines: machines
                .iter()
                .take(MAX_NAMED_MACHINES)
                .map(|machine| machine.name.clone())
                .collect(),
        };
        by_code.into_iter().map(blocker).collect()
    }

    fn over_memory(&self) -> Option<String> {
        let (asked, most) = (self.ask.request.memory, self.limits.max_job_memory?);
        (asked > most).then(|| {
            format!(
                "asks for {asked} of memory; org {} allows {most} (max_job_memory)",
                self.org_name()
            )
        })
    }

    fn over_runtime(&self) -> Option<String> {
        let (asked, most) = (self.subject.spec.max_runtime?, self.limits.max_job_runtime?);
        (asked > most).then(|| {
            format!(
                "asks to run for {asked}; org {} allows {most} (max_job_runtime)",
                self.org_name()
            )
        })
    }

    fn over_concurrent(&self) -> Option<String> {
        let most = self.limits.max_concurrent_jobs_per_user?;
        let running = self.running();
        (running >= most).then(|| {
            format!(
                "{running} tasks of this member run; org {} allows {most} at once (max_concurrent_jobs_per_user)",
                self.org_name()
            )
        })
    }

    fn over_parallel(&self) -> Option<String> {
        let (_, job, progress) = self.subject.job?;
        let (most, running) = (job.parallel()?, progress.counts.running);
        (running >= most)
            .then(|| format!("{running} of its tasks run; its array allows {most} at once"))
    }

    fn running(&self) -> u32 {
        let member = (self.subject.org, self.subject.owner);
        let used = self.state.index.members.get(&member);
        used.map_or(0, |used| used.running)
    }

    fn org_name(&self) -> &str {
        let org = self.state.orgs.get(&self.subject.org);
        org.map_or("", |org| org.name.as_str())
    }

    /// Returns how many waiting tasks come before this job's next one, in the order of the schedule.
    fn ahead(&self) -> u64 {
        let Some(queue) = self.state.index.queues.get(&self.subject.org) else {
            return 0;
        };
        let share = |user: UserId| {
            let used = self.state.index.members.get(&(self.subject.org, user));
            self.view.share(&used.copied().unwrap_or_default().held)
        };
        let own_share = share(self.subject.owner);
        let number = self.subject.job.map(|(_, job, _)| job.number);
        let mut ahead = 0;
        for (level, members) in &queue.levels {
            let higher = level.0 > self.subject.spec.priority;
            if level.0 < self.subject.spec.priority {
                break;
            }
            for (user, classes) in members {
                let share = share(*user);
                for (other, id) in classes.values().flatten() {
                    let older = number.is_none_or(|number| *other < number);
                    let first = match share.cmp(&own_share) {
                        std::cmp::Ordering::Less => true,
                        std::cmp::Ordering::Equal => older,
                        // The member's own jobs have the same share.
                        std::cmp::Ordering::Greater => false,
                    };
                    if (higher || first) && Some(*other) != number {
                        let progress = self.state.progress.get(id);
                        ahead += progress.map_or(0, |p| u64::from(p.counts.queued));
                    }
                }
            }
        }
        ahead
    }

    fn smallest_change(&self) -> String {
        if self.over_memory().is_some()
            && let Some(most) = self.limits.max_job_memory
        {
            return format!(
                "ask for at most {most} of memory, or have an admin raise max_job_memory"
            );
        }
        if self.over_runtime().is_some()
            && let Some(most) = self.limits.max_job_runtime
        {
            return format!(
                "ask to run for at most {most}, or have an admin raise max_job_runtime"
            );
        }
        let Some((machine, obstacles)) = self.nearest() else {
            return "register a machine and have it approved".to_owned();
        };
        if !obstacles.is_empty() {
            return words::change_on(machine, &self.ask, &obstacles);
        }
        if self.over_concurrent().is_some() {
            return "one of this member's running tasks ends, or an admin raises max_concurrent_jobs_per_user".to_owned();
        }
        if self.over_parallel().is_some() {
            return "one of its running tasks ends".to_owned();
        }
        "the tasks before it start".to_owned()
    }

    /// Returns the machine with the least in the way, preferring what passes by itself over what stays.
    fn nearest(&self) -> Option<(&MachineView<'_>, Vec<Obstacle>)> {
        let obstacles = |machine| may_place(machine, &self.ask).err().unwrap_or_default();
        let weight = |obstacle: &Obstacle| match obstacle {
            Obstacle::Busy(_) | Obstacle::Full => 1,
            Obstacle::Offline | Obstacle::Paused => 10,
            // Whoever submits can ask for less.
            Obstacle::TooSmall(_)
            | Obstacle::NetworkForbidden
            | Obstacle::ImageForbidden
            | Obstacle::RunTooLong => 100,
            Obstacle::Isolation | Obstacle::NoNetwork | Obstacle::StrongGpu | Obstacle::KeptOut => {
                1000
            }
        };
        let machines = self.view.machines.iter();
        machines
            .map(|machine| (machine, obstacles(machine)))
            .min_by_key(|(machine, obstacles)| {
                let weight: u32 = obstacles.iter().map(weight).sum();
                let offer = machine.report.map(|report| &report.offer);
                let size = offer.map(|offer| (offer.memory, offer.cpu));
                (weight, std::cmp::Reverse(size), machine.name)
            })
    }
}

/// Returns the machine that comes nearest to what is asked, and what it lends: for a job that never fits.
pub(crate) fn nearest_offer(state: &State, subject: &Subject<'_>) -> Option<(Name, String)> {
    let inquiry = Inquiry::new(state, subject);
    let (machine, _) = inquiry.nearest()?;
    let offer = &machine.report?.offer;
    Some((machine.name.clone(), words::amounts(offer)))
}

const fn code(obstacle: Obstacle) -> BlockerCode {
    match obstacle {
        Obstacle::Offline => BlockerCode::MachineOffline,
        Obstacle::Paused => BlockerCode::MachinePaused,
        Obstacle::Isolation => BlockerCode::IsolationTooLow,
        Obstacle::NoNetwork | Obstacle::StrongGpu => BlockerCode::NotSupported,
        Obstacle::KeptOut => BlockerCode::OwnerKeepsOut,
        Obstacle::NetworkForbidden => BlockerCode::OwnerForbidsNetwork,
        Obstacle::ImageForbidden => BlockerCode::OwnerForbidsImages,
        Obstacle::RunTooLong => BlockerCode::OwnerLimitsRuntime,
        Obstacle::TooSmall(Shortage::Cpu) => BlockerCode::TooSmallCpu,
        Obstacle::TooSmall(Shortage::Memory) => BlockerCode::TooSmallMemory,
        Obstacle::TooSmall(Shortage::Disk) => BlockerCode::TooSmallDisk,
        Obstacle::TooSmall(Shortage::Gpu) => BlockerCode::NoSuchGpu,
        Obstacle::Busy(Shortage::Cpu) | Obstacle::Full => BlockerCode::BusyCpu,
        Obstacle::Busy(Shortage::Memory) => BlockerCode::BusyMemory,
        Obstacle::Busy(Shortage::Disk) => BlockerCode::BusyDisk,
        Obstacle::Busy(Shortage::Gpu) => BlockerCode::BusyGpu,
    }
}
