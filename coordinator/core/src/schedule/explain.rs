//! Why a job waits: the very checks that placement makes, with all that is in the way instead of a yes or no.

mod approval;
mod backing_off;
mod behind;
mod ever;
mod forecast;
mod line;
pub(crate) mod machine;
mod preempt;
mod remedy;
mod waiting;
mod words;

pub(crate) use self::{
    ever::{is_never, kept_from, most_memory},
    words::pause_reason,
};

use self::{ever::fit_nowhere, waiting::Wait};

use std::collections::BTreeMap;

use common::{
    api::explain::{Blocker, BlockerCode, Explanation, MAX_NAMED_MACHINES, MachineData},
    id::{JobId, OrgId, UserId},
    limits::Limits,
    name::Name,
    resources::GpuRoom,
    status::JobStatus,
    time::Timestamp,
};

use super::{
    data,
    feasible::{Ask, could_ever, may_place},
    history::History,
    view::MachineView,
};
use crate::{
    assign::GRACE,
    bounds::{Bounds, Reached, reached, reached_models},
    rejection::LimitReached,
    state::{
        State,
        job::{Job, JobProgress},
        specification::Specification,
    },
};

/// What is asked about: a job, or one that could be submitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) org: OrgId,
    pub(crate) owner: UserId,
    pub(crate) spec: &'a Specification,
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
        let next = self.job.and_then(|(id, job, progress)| {
            let queued = progress.queued.first_from(0);
            let delayed = || progress.delayed.iter().next().map(|(task, ..)| task);
            let task = queued.or_else(delayed)?;
            Some(match job.spec.gang() {
                None => History::of(state, id, task),
                Some(_) => History::of_gang(state, id, job),
            })
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
        data: Vec::new(),
        kept: Vec::new(),
        preempts: None,
    };
    if !waits {
        return explanation;
    }
    let history = subject.history(state);
    let more = history.request(subject.spec);
    let more = more.map(|request| subject.spec.asking(request));
    let asked = Subject {
        spec: more.as_ref().unwrap_or(subject.spec),
        ..*subject
    };
    let rooms = Rooms::of(state, &asked);
    let mut inquiry = Inquiry::new(state, &asked, &rooms);
    inquiry.ask.given_back = &history.given_back;
    inquiry.ask.now = now;
    let ahead = line::ahead(state, &asked, &history, now);
    explanation.never = inquiry.never();
    explanation.blockers = inquiry.blockers(ahead);
    explanation.ahead = Some(ahead);
    explanation.data = inquiry.data();
    explanation.kept = inquiry.kept();
    explanation.preempts = preempt::may_preempt(&inquiry, &history, now);
    if !explanation.blockers.is_empty() {
        explanation.smallest_change = Some(inquiry.smallest_change());
    }
    if !explanation.never {
        explanation.expected_start = if explanation.blockers.is_empty() {
            Some(now)
        } else if inquiry.archived().is_some() || !inquiry.waits.is_empty() {
            None
        } else {
            let later = backing_off::until(subject);
            let start = forecast::expected_start(&inquiry, now);
            let instead = explanation
                .preempts
                .map(|one| one.from.saturating_add(GRACE.as_duration()));
            let start = start.into_iter().chain(instead).min();
            start.map(|start| start.max(later.unwrap_or(start)))
        };
    }
    explanation
}

/// What the bounds leave of each model of GPUs, now and while nothing runs.
struct Rooms {
    now: GpuRoom,
    ever: GpuRoom,
}

impl Rooms {
    fn of(state: &State, subject: &Subject<'_>) -> Self {
        let bounds = Bounds::of(state, subject.org, subject.owner);
        Self {
            now: bounds.gpu_room(),
            ever: bounds.gpu_room_ever(),
        }
    }
}

struct Inquiry<'a> {
    state: &'a State,
    limits: Limits,
    ask: Ask<'a>,
    /// All approved ones, by name.
    machines: Vec<MachineView<'a>>,
    subject: Subject<'a>,
    /// Every limit that is in the way.
    reached: Vec<Reached>,
    /// What keeps it out of the queue.
    waits: Vec<Wait>,
}

impl<'a> Inquiry<'a> {
    fn new(state: &'a State, subject: &Subject<'a>, rooms: &'a Rooms) -> Self {
        let machines = MachineView::all(state, subject.org).collect();
        Self::on(state, subject, rooms, machines)
    }

    /// Asks about these machines alone.
    fn on(
        state: &'a State,
        subject: &Subject<'a>,
        rooms: &'a Rooms,
        machines: Vec<MachineView<'a>>,
    ) -> Self {
        let org = state.orgs.get(&subject.org);
        let limits = org.map(|org| org.limits.clone()).unwrap_or_default();
        Self {
            state,
            ask: Ask {
                gpu_room: &rooms.now,
                gpu_room_ever: &rooms.ever,
                data: data::cached_for(state, subject),
                job: subject.job.map(|(id, _, _)| id),
                ..Ask::of(state, &limits, subject.owner, subject.spec)
            },
            limits,
            reached: reached(state, subject),
            waits: waiting::waits(state, subject),
            machines,
            subject: *subject,
        }
    }

    fn never(&self) -> bool {
        self.reached.iter().any(Reached::is_for_good)
            || fit_nowhere(self.machines.iter(), &self.ask, self.together())
    }

    /// Returns on how many machines it starts at once.
    fn together(&self) -> usize {
        self.subject.spec.gang().unwrap_or(1) as usize
    }

    /// Returns the machines that are kept free for it.
    fn kept(&self) -> Vec<Name> {
        let Some((id, _, _)) = self.subject.job else {
            return Vec::new();
        };
        let reserved = &self.state.volatile.reserved;
        let kept = reserved.machines(self.subject.org, id);
        let names = kept.filter_map(|machine| self.state.machines.get(&machine));
        let names = names.map(|machine| machine.name.clone());
        names.take(MAX_NAMED_MACHINES).collect()
    }

    /// Returns what of its data is on the machines that could run it.
    fn data(&self) -> Vec<MachineData> {
        let machines = self.machines.iter();
        let able = machines.filter(|machine| could_ever(machine, &self.ask).is_ok());
        data::on_machines(self.state, &self.subject, able)
    }

    fn blockers(&self, ahead: u64) -> Vec<Blocker> {
        let alone = |code, text| Blocker {
            code,
            text,
            machine_count: 0,
            machines: Vec::new(),
        };
        let limits = self.reached.iter().map(|Reached { code, limit, .. }| {
            alone(
                *code,
                format!("asks for {}; {}", limit.asked, limit.bound()),
            )
        });
        let approval = approval::awaited(self.state, &self.subject);
        let approval = approval.map(|text| alone(BlockerCode::AwaitsApproval, text));
        let archived = self.archived().map(|name| {
            let text = format!("its project {name} is archived, and nothing new starts in it");
            alone(BlockerCode::ProjectArchived, text)
        });
        let waits = self
            .waits
            .iter()
            .map(|wait| alone(wait.code, wait.text.clone()));
        let behind = behind::text(self.state, &self.subject);
        let behind = behind.map(|text| alone(BlockerCode::WaitsBehind, text));
        let (alone_behind, also_behind) = match behind::is_all(&self.subject) {
            true => (behind, None),
            false => (None, behind),
        };
        let first = approval.into_iter().chain(archived).chain(waits);
        let first = first.chain(alone_behind);
        let mut blockers: Vec<Blocker> = first.chain(limits).collect();
        let parallel = self.over_parallel();
        blockers.extend(parallel.map(|text| alone(BlockerCode::ArrayParallelism, text)));
        blockers.extend(self.machine_blockers());
        if ahead > 0 && !self.never() {
            let text = match ahead {
                1 => "1 task comes first".to_owned(),
                _ => format!("{ahead} tasks come first"),
            };
            blockers.push(alone(BlockerCode::Queue, text));
        }
        if !blockers.is_empty() {
            blockers.extend(also_behind);
        }
        if backing_off::until(&self.subject).is_some() || !blockers.is_empty() {
            let later = backing_off::text(self.state, &self.subject);
            blockers.extend(later.map(|text| alone(BlockerCode::BackingOff, text)));
        }
        blockers
    }

    /// Returns what is in the way on each machine; nothing if one of them would take the task.
    fn machine_blockers(&self) -> Vec<Blocker> {
        if self.machines.is_empty() {
            return vec![Blocker {
                code: BlockerCode::NoMachine,
                text: words::no_machine(self.state, self.subject.org),
                machine_count: 0,
                machines: Vec::new(),
            }];
        }
        let mut by_code: BTreeMap<BlockerCode, Vec<&MachineView<'_>>> = BTreeMap::new();
        let mut gpu_room = self.ask.gpu_room.clone();
        let mut room = 0;
        for machine in &self.machines {
            let ask = Ask {
                gpu_room: &gpu_room,
                ..self.ask
            };
            let obstacles = match may_place(machine, &ask) {
                Ok(allocation) => {
                    room += 1;
                    if room == self.together() {
                        return Vec::new();
                    }
                    gpu_room.take(&allocation, &machine.models(&allocation));
                    continue;
                }
                Err(obstacles) => obstacles,
            };
            for obstacle in obstacles {
                let machines = by_code.entry(obstacle.code()).or_default();
                if machines.last().is_none_or(|last| last.id != machine.id) {
                    machines.push(machine);
                }
            }
        }
        let blocker = |(code, machines): (BlockerCode, Vec<&MachineView<'_>>)| Blocker {
            code,
            text: match code {
                BlockerCode::GpuModelLimit => self.over_models(),
                _ => words::on_machines(code, &self.ask, &machines),
            },
            machine_count: u32::try_from(machines.len()).unwrap_or(u32::MAX),
            machines: machines
                .iter()
                .take(MAX_NAMED_MACHINES)
                .map(|machine| machine.name.clone())
                .collect(),
        };
        let too_few = (self.together() > 1).then(|| Blocker {
            code: BlockerCode::TooFewMachines,
            text: format!("{room} of {} machines have room", self.together()),
            machine_count: 0,
            machines: Vec::new(),
        });
        let blockers = by_code.into_iter().map(blocker);
        too_few.into_iter().chain(blockers).collect()
    }

    /// Returns the archived project that the job belongs to.
    fn archived(&self) -> Option<&'a Name> {
        let (_, job, _) = self.subject.job?;
        let project = self.state.projects.get(&job.project?)?;
        project.archived_at.map(|_| &project.name)
    }

    fn over_parallel(&self) -> Option<String> {
        let (_, job, progress) = self.subject.job?;
        let (most, running) = (job.parallel()?, progress.counts.running);
        (running >= most)
            .then(|| format!("{running} of its tasks run; its array allows {most} at once"))
    }

    fn over_models(&self) -> String {
        let limits = reached_models(self.state, &self.subject);
        let bounds: Vec<String> = limits.iter().map(LimitReached::bound).collect();
        format!(
            "has only GPUs of which no more may be held: {}",
            bounds.join("; ")
        )
    }
}

/// Returns the machine that comes nearest to what is asked, and what it lends: for a job that never fits.
pub(crate) fn nearest_offer(state: &State, subject: &Subject<'_>) -> Option<(Name, String)> {
    let rooms = Rooms::of(state, subject);
    let inquiry = Inquiry::new(state, subject, &rooms);
    let (machine, _) = inquiry.nearest()?;
    let offer = &machine.report?.offer;
    Some((machine.name.clone(), words::amounts(offer)))
}
