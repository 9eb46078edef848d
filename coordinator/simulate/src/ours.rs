//! The coordinator's own schedule: `coordinator-core` with the commands that the engine gives it, and its passes as the
//! engine makes them.
//!
//! The org is one whose machines all belong to its owner, who submits nothing, with no limits and no data.

#[path = "../../benches/people/mod.rs"]
mod people;

use std::collections::BTreeMap;

use common::{
    api::job::SubmitJob,
    id::{AttemptId, IdempotencyKey, JobId, MachineId},
    job::{ArraySpec, AttemptUsage, JobSpec, MAX_RETRIES, Outcome, Retries},
    limits::Limits,
    machine::{Isolation, MachineReport, SystemInfo},
    org::settings::SettingsChange,
    resources::{Capacity, Gpu, GpuHealth, GpuRequest, Request},
    status::{EndReason, IsolationLevel, Preemption},
    time::{Span, Timestamp},
    units::Bytes,
    wire::agent::AttemptReport,
};
use coordinator_core::{
    Actor, Body, Command, Event, State, apply, command::OrgCommand, decide, event::TaskFate,
    lifecycle::job::JobResult,
};

use self::people::{ALICE, ORG, enrol, id, invitation, machine, member, name, register, spec};
use crate::{
    pool::{Amount, Kind, Pool},
    scheduler::{End, Scheduler, Step, TaskId, Violation},
    trace::{MAX_TASKS, Trace},
};

/// Most tasks that a pass places, as in the engine.
const PLACED_PER_PASS: u32 = 256;
/// Most passes at one moment: enough for every task of a trace.
const PASSES: usize = MAX_TASKS / PLACED_PER_PASS as usize + 64;
/// When the trace begins.
const BEGIN: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
/// Of a task, and of a machine: enough for as many as it may hold.
const DISK: (Bytes, Bytes) = (Bytes::mib(1), Bytes::gib(1 << 20));
/// Of each GPU; nobody asks for less than a whole one.
const GPU_MEMORY: Bytes = Bytes::gib(24);

/// The real schedule.
#[derive(Debug)]
pub struct Ours<'a> {
    trace: &'a Trace,
    state: State,
    /// Where they are in the pool.
    machines: BTreeMap<MachineId, usize>,
    /// What runs, and where.
    running: BTreeMap<TaskId, (AttemptId, MachineId)>,
    /// What was decided since the last pass.
    steps: Vec<Step>,
}

impl<'a> Ours<'a> {
    /// Makes an org of the trace's members and the pool's machines.
    ///
    /// # Errors
    /// Something of it is refused.
    pub fn new(trace: &'a Trace, pool: &Pool, preemption: Preemption) -> Result<Self, Violation> {
        let mut ours = Self {
            trace,
            state: State::new(),
            machines: BTreeMap::new(),
            running: BTreeMap::new(),
            steps: Vec::new(),
        };
        let owner = Actor::User(ALICE);
        let create = Body::CreateOrg {
            org: ORG,
            name: name("lab"),
            owner: ALICE,
            handle: name("alice"),
        };
        ours.must(0, Actor::System, create)?;
        let limits = Limits {
            max_machines_per_user: Some(u32::MAX),
            max_queued_jobs_per_user: Some(u32::MAX),
            ..Limits::default()
        };
        let limits = Body::ApplyLimits {
            org: ORG,
            limits: Box::new(limits),
        };
        ours.must(0, owner, limits)?;
        let change = SettingsChange {
            preemption: Some(preemption),
            ..SettingsChange::default()
        };
        let settings = OrgCommand::ChangeSettings {
            org: ORG,
            change: Box::new(change),
        };
        ours.must(0, owner, Body::Org(settings))?;
        let uses = u32::try_from(trace.members.len()).unwrap_or(u32::MAX);
        ours.must(0, owner, invitation(1, uses.max(1)))?;
        for number in 0..trace.members.len() as u64 {
            ours.must(0, Actor::Stranger, enrol(1, number))?;
        }
        for (place, kind) in pool.machines().enumerate() {
            let number = place as u64;
            ours.must(0, owner, register(number))?;
            let approve = Body::ApproveMachine {
                org: ORG,
                name: name(&format!("box{number}")),
            };
            ours.must(0, owner, approve)?;
            ours.must(0, Actor::Machine(machine(number)), connect(number, kind))?;
            ours.machines.insert(machine(number), place);
        }
        Ok(ours)
    }

    /// Decides and applies one command.
    fn must(&mut self, now_ms: u64, actor: Actor, body: Body) -> Result<(), Violation> {
        let command = Command {
            at: Timestamp::from_unix_ms(BEGIN.unix_ms().saturating_add(now_ms)),
            actor,
            body,
        };
        let events = decide(&self.state, &command).map_err(|rejection| Violation::Refused {
            what: said(&command.body),
            why: format!("{rejection:?}"),
        })?;
        for event in &events {
            apply(&mut self.state, event);
            self.note(event)?;
        }
        Ok(())
    }

    /// Takes in what an event means for the machines.
    fn note(&mut self, event: &Event) -> Result<(), Violation> {
        match event {
            // A trace's tasks take a second at least.
            Event::AttemptPlaced {
                attempt,
                behind: Some(_),
                ..
            } => {
                return Err(Violation::Unknown {
                    what: format!("what {attempt} waits behind"),
                });
            }
            Event::AttemptPlaced {
                attempt,
                machine,
                allocation,
                ..
            } => {
                let task = task_of(attempt);
                let place = self.machines.get(machine).copied();
                self.steps.push(Step::Start {
                    task,
                    machine: place.ok_or_else(|| Violation::Unknown {
                        what: format!("machine {machine}"),
                    })?,
                    holds: Amount {
                        cpu: allocation.cpu,
                        memory: allocation.memory,
                        gpus: u32::try_from(allocation.gpus.len()).unwrap_or(u32::MAX),
                    },
                });
                self.running.insert(task, (*attempt, *machine));
            }
            Event::AttemptStopping { attempt, .. } | Event::AttemptPreempted { attempt, .. } => {
                self.steps.push(Step::Preempt {
                    task: task_of(attempt),
                });
            }
            Event::AttemptEnded { attempt, fate, .. } => {
                let TaskId { job, task } = task_of(attempt);
                let gang = self.trace.jobs[job].gang;
                // What becomes of a gang is said once all of it has ended.
                if !gang && matches!(fate, TaskFate::Failed | TaskFate::Cancelled) {
                    return Err(Violation::GivenUp { job, task });
                }
            }
            Event::JobEnded { job, result, .. } if *result != JobResult::Succeeded => {
                let job = job_of(*job);
                return Err(Violation::GivenUp { job, task: 0 });
            }
            _ => {}
        }
        Ok(())
    }

    fn report(
        &mut self,
        now_ms: u64,
        task: TaskId,
        report: AttemptReport,
    ) -> Result<(), Violation> {
        let Some(&(attempt, machine)) = self.running.get(&task) else {
            let what = format!("a running task {} of job {}", task.task, task.job);
            return Err(Violation::Unknown { what });
        };
        let body = Body::ReportAttempt {
            attempt,
            report,
            artifact_size: None,
        };
        self.must(now_ms, Actor::Machine(machine), body)
    }
}

impl Scheduler for Ours<'_> {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn submit(&mut self, now_ms: u64, job: usize) -> Result<(), Violation> {
        let row = &self.trace.jobs[job];
        let last = u32::try_from(row.runs_ms.len() - 1).unwrap_or(u32::MAX);
        let nodes = u32::try_from(row.nodes()).unwrap_or(u32::MAX);
        let array = ArraySpec::of(0, last, None);
        let gpu = (row.ask.gpus > 0).then_some(GpuRequest {
            count: row.ask.gpus,
            model: None,
            memory: None,
            share: false,
            memory_most: None,
        });
        let spec = JobSpec {
            request: Request {
                cpu: row.ask.cpu,
                memory: row.ask.memory,
                disk: DISK.0,
                gpu,
                exclusive: false,
            },
            max_runtime: Some(Span::from_millis(row.limit_ms)),
            array: (last > 0 && !row.gang).then_some(array),
            nodes: row.gang.then_some(nodes),
            // Who gives way often is not given up: it would be missing in what is compared.
            retries: Retries {
                max: MAX_RETRIES,
                ..Retries::default()
            },
            ..spec()
        };
        let number = job as u64;
        let request = SubmitJob {
            org: ORG,
            spec,
            key: IdempotencyKey::from_bytes(id(number)),
            dry_run: false,
        };
        let body = Body::SubmitJob {
            job: JobId::from_bytes(id(number)),
            request,
        };
        self.must(now_ms, Actor::User(member(row.member as u64)), body)
    }

    fn end(&mut self, now_ms: u64, task: TaskId, end: End) -> Result<(), Violation> {
        let (reason, exit_code, signal) = match end {
            End::Done => (EndReason::Exited, Some(0), None),
            End::Preempted => (EndReason::Preempted, None, Some(15)),
        };
        let report = AttemptReport::Ended {
            at: Timestamp::from_unix_ms(BEGIN.unix_ms().saturating_add(now_ms)),
            outcome: Outcome {
                reason,
                exit_code,
                signal,
                detail: None,
                usage: AttemptUsage::default(),
                log_bytes: 0,
            },
            artifacts: false,
        };
        self.report(now_ms, task, report)?;
        self.running.remove(&task);
        // The end of a gang's first task tells the others to stop, which may have ended at the same moment.
        self.steps.retain(|step| *step != Step::Preempt { task });
        Ok(())
    }

    fn pass(&mut self, now_ms: u64) -> Result<Vec<Step>, Violation> {
        let most = PLACED_PER_PASS;
        let at = Timestamp::from_unix_ms(BEGIN.unix_ms().saturating_add(now_ms));
        if self.state.next_waking().is_some_and(|next| next <= at) {
            self.must(now_ms, Actor::System, Body::Wake { most })?;
        }
        // Once also where nothing changed but the time.
        for _ in 0..PASSES {
            self.must(now_ms, Actor::System, Body::Schedule { most })?;
            if !self.state.schedule_due() {
                break;
            }
        }
        let steps = std::mem::take(&mut self.steps);
        for step in &steps {
            if let Step::Start { task, .. } = step {
                self.report(now_ms, *task, AttemptReport::Started { at })?;
            }
        }
        Ok(steps)
    }

    fn looks_at_the_clock(&self) -> bool {
        true
    }
}

fn task_of(attempt: &AttemptId) -> TaskId {
    TaskId {
        job: job_of(attempt.job),
        task: usize::try_from(attempt.task).unwrap_or(usize::MAX),
    }
}

fn job_of(job: JobId) -> usize {
    // The number that its id was made of.
    let mut number = [0; 8];
    number.copy_from_slice(&job.as_bytes()[..8]);
    usize::try_from(u64::from_be_bytes(number)).unwrap_or(usize::MAX)
}

fn connect(number: u64, kind: &Kind) -> Body {
    let gpu = |place| Gpu {
        uuid: format!("GPU-{number}-{place}"),
        model: kind.model.clone(),
        memory: GPU_MEMORY,
        driver: String::new(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    };
    let capacity = Capacity {
        cpu: kind.each.cpu,
        memory: kind.each.memory,
        disk: DISK.1,
        gpus: (0..kind.each.gpus).map(gpu).collect(),
    };
    let isolation = Isolation::of(IsolationLevel::A);
    let report = MachineReport::lending_all(capacity, isolation, SystemInfo::default());
    Body::ConnectMachine {
        report,
        attempts: Vec::new(),
    }
}

/// Returns the command's own name.
fn said(body: &Body) -> String {
    let text = format!("{body:?}");
    let name = text.split(|c: char| !c.is_alphanumeric()).next();
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
