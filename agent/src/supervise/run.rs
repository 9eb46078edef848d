//! A supervisor's one loop: it sleeps until the job writes or ends, the daemon speaks, or a limit is due.

mod beside;
mod lease;
mod left;
mod stopping;
mod vacant;

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    sync::Arc,
    time::{Duration, SystemTime},
};

use agent_core::sandbox_plan::{DiskBound, SandboxPlan};
use common::{status::EndReason, time::Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    disk::{Disk, OwnMounts},
    ending::Ending,
    feeder::Feeder,
    folder::AttemptFolder,
    frozen::Frozen,
    gateway::Gateway,
    gauge::Gauge,
    handover::{Given, Handover},
    mask::{Patterns, masked},
    protocol::{Order, Report, SandboxResult},
    secrets::Secrets,
    spool::{MAX_LOG_BYTES, Spool},
    streams::Streams,
    visitors::Visitors,
};
use crate::{
    sandbox::{
        Failed, at,
        jail::{Consumed, Jail, JailEvent, Output},
        since_boot,
    },
    scratch::MOUNTED,
};

pub(super) use self::vacant::Vacant;

/// Runs the attempt whose plan is in the folder, and leaves its result there; in the sandbox of the last one, where
/// that is `vacant` and is such as this one needs. Returns the sandbox, where another may follow.
pub(super) fn run(
    folder: &AttemptFolder,
    handed: Handover,
    mounts: &mut OwnMounts,
    vacant: Option<Vacant>,
) -> io::Result<Option<Vacant>> {
    let Given {
        disk,
        network,
        secrets,
    } = handed.given;
    let secrets = secrets.map_or_else(|| Ok(Secrets::default()), Secrets::unpack)?;
    let plan = folder.plan()?.ok_or(io::ErrorKind::NotFound)?;
    let mut watch = Watch {
        plan: &plan,
        spool: Spool::create(&folder.file("log"), MAX_LOG_BYTES)?,
        visitors: Visitors::new(UnixListener::from(handed.listener))?,
        started: None,
        ending: Ending::default(),
        kill_at: None,
        terminate_at: None,
        alone_until: None,
        frozen: Frozen::default(),
        disk: Disk::new(since_boot()),
        gauge: Gauge::new(since_boot()),
        gateway: Gateway::default(),
        feeder: Feeder::default(),
        patterns: Patterns::new(secrets.patterns()),
        stays: false,
    };
    watch.note(plan.notes.clone());
    // From here on the program may have run.
    fs::write(folder.file("started"), now().to_string())?;
    let lock = handed.lock.as_fd();
    let mounted = watch.mount(folder, disk, mounts);
    let followed = watch.follow(vacant, folder, lock)?;
    let started = mounted.and_then(|()| match followed {
        Some(begun) => Ok(begun),
        None => secrets.with(&plan, |plan| {
            Jail::start(plan, folder.path(), lock, network)
        }),
    });
    // The job has them.
    drop(secrets);
    match started {
        Ok((mut jail, output)) => {
            let consumed = watch.over(&mut jail, output)?;
            let stays = watch.stays;
            let left = watch.conclude(folder, consumed);
            if stays {
                let left = left?;
                left.keep()?;
                return Vacant::of(jail, plan);
            }
            // What is left is nobody's time but this process's own.
            jail.finish()?;
            left?.keep().map(|()| None)
        }
        Err(failed) => {
            watch.ending.program = Some(JailEvent::Failed(failed.to_string()));
            let consumed = Consumed {
                cpu: Duration::ZERO,
                peak_memory: None,
                out_of_memory: false,
            };
            watch.conclude(folder, consumed)?.keep().map(|()| None)
        }
    }
}

/// One attempt while it runs.
struct Watch<'a> {
    plan: &'a SandboxPlan,
    spool: Spool,
    visitors: Visitors,
    /// When the program began, for people and for limits.
    started: Option<(Timestamp, Duration)>,
    ending: Ending,
    /// Set once the job was asked to end.
    kill_at: Option<Duration>,
    /// Set while it has time to write down how far it is.
    terminate_at: Option<Duration>,
    /// When to look at the lease again; only while there is no daemon to do so.
    alone_until: Option<Duration>,
    frozen: Frozen,
    disk: Disk,
    gauge: Gauge,
    gateway: Gateway,
    feeder: Feeder,
    /// What the log is not to show.
    patterns: Arc<Patterns>,
    /// Whether the sandbox is to outlast the attempt.
    stays: bool,
}

impl Watch<'_> {
    /// Mounts the attempt's own disk, where it has one.
    fn mount(
        &mut self,
        folder: &AttemptFolder,
        disk: Option<OwnedFd>,
        mounts: &mut OwnMounts,
    ) -> Result<(), Failed> {
        if self.plan.disk == DiskBound::Own {
            let missing = || at("mount the job's disk")(io::Error::from(io::ErrorKind::NotFound));
            let disk = disk.ok_or_else(missing)?;
            mounts.have().map_err(at("have own mounts"))?;
            self.disk = Disk::own(&folder.file(MOUNTED), disk)?;
        }
        Ok(())
    }

    /// Waits until nothing runs in the sandbox.
    fn over(&mut self, jail: &mut Jail, output: Output) -> io::Result<Consumed> {
        self.start_beside(jail, output.network, output.lazy);
        let mut streams = Streams::new(output.stdout, output.stderr, &self.patterns);
        loop {
            let [ended, out, err, network, fed] = self.wait(jail, &streams)?;
            self.copy(jail, &mut streams, [out, err]);
            while let Some(event) = jail.event() {
                self.on_event(jail, event);
            }
            self.hear_beside(network, fed);
            for order in self.visitors.serve(&self.so_far()) {
                self.on_order(jail, order);
            }
            if ended || jail.is_empty() {
                break;
            }
            self.on_time(jail);
            self.keep_lease(jail);
            if self.started.is_some() {
                // What the program wrote may be seen before the word that it runs; said it is afterwards.
                self.visitors.tell_logged(self.spool.bytes());
            }
        }
        // Nobody writes any more, or after this: streams have an end.
        self.let_stay_or_kill(jail);
        while streams.are_open() {
            self.copy(jail, &mut streams, [true, true]);
        }
        let lines = self.gateway.finish();
        self.note(lines);
        let consumed = jail.consumed()?;
        self.ending.out_of_memory = consumed.out_of_memory;
        if self.stays && consumed.out_of_memory {
            self.stays = false;
            self.kill(jail);
        }
        let stopped = self.ending.stopped.is_some();
        if self.started.is_none()
            && self.ending.program.is_none()
            && !(stopped || consumed.out_of_memory)
        {
            let text = "the sandbox ended before the program began".to_owned();
            self.ending.program = Some(JailEvent::Failed(text));
        }
        Ok(consumed)
    }

    /// Sleeps until something happens; returns whether the sandbox has ended and which streams are ready, the
    /// gateway's and the feeder's last.
    fn wait(&self, jail: &Jail, streams: &Streams) -> io::Result<[bool; 5]> {
        let mut waiting = vec![
            PollFd::from_borrowed_fd(jail.end(), PollFlags::IN),
            PollFd::from_borrowed_fd(jail.control(), PollFlags::IN),
        ];
        if self.ending.program.is_some() {
            // The first process has said its last; what is left to wait for is its end.
            waiting.truncate(1);
        }
        let fixed = waiting.len();
        for pipe in streams.pipes() {
            // A closed stream is replaced by one that is only waited for in vain.
            waiting.push(PollFd::from_borrowed_fd(
                pipe.unwrap_or(jail.end()),
                PollFlags::IN,
            ));
        }
        let words = self.gateway.words().unwrap_or(jail.end());
        waiting.push(PollFd::from_borrowed_fd(words, PollFlags::IN));
        let words = self.feeder.words().unwrap_or(jail.end());
        waiting.push(PollFd::from_borrowed_fd(words, PollFlags::IN));
        waiting.extend(self.visitors.waiting());
        let pause = self.pause().map(|pause| Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(pause.subsec_nanos()),
        });
        match poll(&mut waiting, pause.as_ref()) {
            Err(rustix::io::Errno::INTR) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |index: usize| !waiting[index].revents().is_empty();
        Ok([0, fixed, fixed + 1, fixed + 2, fixed + 3].map(ready))
    }

    /// Returns how long nothing is due.
    fn pause(&self) -> Option<Duration> {
        let sample = self.started.map(|_| self.gauge.due());
        let due = [
            self.kill_at,
            self.terminate_at,
            self.time_limit(),
            self.alone_until,
            self.disk.due(),
            sample,
        ];
        let next = due.into_iter().flatten().min()?;
        Some(next.saturating_sub(since_boot()))
    }

    fn time_limit(&self) -> Option<Duration> {
        let (_, began) = self.started?;
        let most = self.plan.max_runtime?.as_duration();
        let runs = self.kill_at.is_none() && !self.frozen.is_now();
        // Only a hold that is over has a length.
        let held = self.frozen.total(began);
        runs.then(|| began.saturating_add(most).saturating_add(held))
    }

    /// Copies what is there of the job's output into the log.
    fn copy(&mut self, jail: &Jail, streams: &mut Streams, ready: [bool; 2]) {
        streams.read(ready, |stream, record| {
            if self.spool.append(stream, now(), record).is_err() {
                let detail = "no space was left on the machine for the job's log";
                self.stop_for(jail, EndReason::DiskLimit, detail.to_owned());
            }
        });
    }

    fn on_event(&mut self, jail: &Jail, event: JailEvent) {
        match event {
            JailEvent::Started => {
                let at = now();
                self.started = Some((at, since_boot()));
                self.visitors.tell(&Report::Started { at });
            }
            JailEvent::Unheard => self.go_on_without_checkpoint(jail),
            end => self.ending.program = Some(end),
        }
    }

    /// Puts lines of our own into the job's log.
    fn note(&mut self, lines: Vec<String>) {
        for line in lines {
            // What is not seen there is not missed by anything that runs.
            let _ = self.spool.say(now(), &masked(&self.patterns, &line));
        }
    }

    /// Returns what has happened already, for who comes late.
    fn so_far(&self) -> Vec<Report> {
        let started = self.started.map(|(at, _)| Report::Started { at });
        started.into_iter().collect()
    }

    fn on_time(&mut self, jail: &Jail) {
        let time = since_boot();
        if self.time_limit().is_some_and(|due| time >= due) {
            let most = self.plan.max_runtime.unwrap_or_default();
            let detail = format!("the time limit of {most} was reached");
            self.stop_for(jail, EndReason::TimeLimit, detail);
        }
        if self.terminate_at.is_some_and(|due| time >= due) {
            self.terminate(jail);
        }
        if self.kill_at.is_some_and(|due| time >= due) {
            self.kill(jail);
            // Said once; the end follows by itself.
            self.kill_at = Some(Duration::MAX);
        }
        if let Some(detail) = self.disk.count(self.plan, time) {
            self.stop_for(jail, EndReason::DiskLimit, detail);
        }
        self.sample(jail, time);
    }

    /// Looks at what the job uses, and tells.
    fn sample(&mut self, jail: &Jail, time: Duration) {
        if self.started.is_some() && time >= self.gauge.due() {
            let (used, disk) = (jail.used(), self.disk.look());
            let frozen = self.frozen.is_now();
            let mut sample = self.gauge.read((time, now()), used, disk, frozen);
            let lines = self.gateway.count();
            self.note(lines);
            let moved = self.gateway.moved();
            (sample.sent, sample.received) = (moved.sent, moved.received);
            self.visitors.tell(&Report::Used(sample));
        }
    }

    fn on_order(&mut self, jail: &Jail, order: Order) {
        match order {
            Order::Stop {
                reason,
                detail,
                grace,
            } => self.stop(jail, reason, detail, grace),
            // Who is to end has to run for that.
            Order::Freeze { frozen } if self.kill_at.is_none() => self.freeze(jail, frozen),
            Order::Freeze { .. } => {}
            Order::Settle => drop(jail.settle(&self.plan.limits, self.frozen.is_now())),
        }
    }

    fn freeze(&mut self, jail: &Jail, frozen: bool) {
        let time = since_boot();
        if self.frozen.set(frozen, time) {
            jail.freeze(frozen);
            self.gauge.hasten(time);
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or(u64::MAX))
}
