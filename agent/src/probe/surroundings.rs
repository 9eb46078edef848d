//! The machine's surroundings, watched: who is at the keyboard, power, network, heat, pressure, programs. Nothing is
//! decided here; what is found goes to the keeper, which decides by the owner's rules.
//!
//! What tells of itself (logind, NetworkManager, keyboards) is waited for; the rest is looked at every second
//! while jobs run, every few seconds otherwise, and only as far as a rule asks about it.

mod bus;
mod input;
mod power;
mod processes;
mod roots;
mod terminals;

use std::{sync::Arc, time::Duration};

use agent_core::owner::{
    Circumstances, GpuSeen, LocalTime, Needs, Presence, PresenceSource, Weekday,
};
use common::time::Timestamp;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::roots::Roots;
use self::{bus::Bus, input::Input, processes::OtherCpu};
use crate::{
    clock,
    machine::{Machine, Standing},
};

/// Between two looks while jobs run.
const WITH_JOBS: Duration = Duration::from_secs(1);
/// Between two looks while none does, and between two looks at the owner's file.
const WITHOUT_JOBS: Duration = Duration::from_secs(3);
/// Before a bus that is not there is looked for again, and devices that may have been plugged in.
const AGAIN: Duration = Duration::from_secs(60);
/// One who has touched a key is there for so long.
const STILL_THERE: Duration = Duration::from_secs(60);
/// Longest that a look for somebody who asks may take.
const ASKED: Duration = Duration::from_secs(3);
/// Between two looks at processors where one is asked for and there was none before.
const FIRST_DIFFERENCE: Duration = Duration::from_millis(200);
/// Looks that were asked for and wait.
const REQUESTS: usize = 8;

/// How a look at everything is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Lookout {
    requests: mpsc::Sender<oneshot::Sender<Circumstances>>,
}

impl Lookout {
    /// Looks at everything now, whether a rule asks about it or not. `None` where that takes too long.
    pub(crate) async fn look(&self) -> Option<Circumstances> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(reply).await.ok()?;
        timeout(ASKED, answer).await.ok()?.ok()
    }
}

/// Returns what tells on this machine whether somebody is there; `None` where nothing does.
pub(crate) async fn presence_source(roots: &Roots) -> Option<PresenceSource> {
    let news = Arc::new(Notify::new());
    if let Some(mut bus) = Bus::connect(roots, &news).await
        && bus.presence().await.is_some()
    {
        return Some(PresenceSource::Logind);
    }
    let mut input = Input::new(roots, news);
    input.refresh();
    if input.untouched_since().is_some() {
        return Some(PresenceSource::InputDevices);
    }
    terminals::idle(roots, clock::now()).map(|_| PresenceSource::Terminals)
}

/// Watches until `stopping`. The first look has been taken when this returns.
pub(crate) async fn watch(
    machine: Arc<Machine>,
    roots: Roots,
    standing: watch::Receiver<Standing>,
    stopping: CancellationToken,
) -> Lookout {
    let (requests, asked) = mpsc::channel(REQUESTS);
    let mut watcher = Watcher {
        other_cpu: OtherCpu::new(&machine.host.cgroup),
        news: Arc::new(Notify::new()),
        machine,
        roots,
        standing,
        bus: None,
        bus_again: Instant::now(),
        input: None,
        input_again: Instant::now(),
        touching_since: None,
    };
    watcher.look(true).await;
    tokio::spawn(async move { watcher.run(asked, stopping).await });
    Lookout { requests }
}

struct Watcher {
    machine: Arc<Machine>,
    roots: Roots,
    standing: watch::Receiver<Standing>,
    news: Arc<Notify>,
    bus: Option<Bus>,
    bus_again: Instant,
    input: Option<Input>,
    input_again: Instant,
    /// Since when keys are touched without a longer rest.
    touching_since: Option<Duration>,
    other_cpu: OtherCpu,
}

impl Watcher {
    async fn run(
        mut self,
        mut asked: mpsc::Receiver<oneshot::Sender<Circumstances>>,
        stopping: CancellationToken,
    ) {
        let mut due = Instant::now() + WITH_JOBS;
        loop {
            let news = Arc::clone(&self.news);
            tokio::select! {
                () = stopping.cancelled() => break,
                () = news.notified() => self.look(false).await,
                () = sleep_until(due) => {
                    self.look(true).await;
                    let period = if self.any_jobs() { WITH_JOBS } else { WITHOUT_JOBS };
                    due = Instant::now() + period;
                }
                Ok(()) = self.standing.changed() => {
                    // The first job is watched from its beginning.
                    if self.any_jobs() {
                        due = due.min(Instant::now() + WITH_JOBS);
                    }
                }
                Some(reply) = asked.recv() => {
                    let seen = self.see(&Needs::everything(), true).await;
                    // Who asked may have gone away.
                    drop(reply.send(seen));
                }
            }
        }
    }

    fn any_jobs(&self) -> bool {
        !self.standing.borrow().attempts.is_empty()
    }

    /// Looks as far as the rules ask, and tells what is new. A look because of news is at what tells of itself
    /// alone.
    async fn look(&mut self, whole: bool) {
        if whole {
            let machine = Arc::clone(&self.machine);
            // A file that cannot be read now will be looked at again.
            drop(tokio::task::spawn_blocking(move || machine.refresh_rules()).await);
        }
        let needs = self.machine.rules().borrow().rules.needs();
        if whole && self.watches_gpus() {
            let held = self.standing.borrow().held.clone();
            self.machine.look(held).await;
        }
        let seen = self.see(&needs, whole).await;
        self.machine.note_circumstances(seen);
    }

    fn watches_gpus(&self) -> bool {
        let rules = Arc::clone(&self.machine.rules().borrow().rules);
        self.any_jobs()
            && rules.gpu_use.while_used_by_others == agent_core::owner::OtherUse::Evict
            && !self.machine.seen().capacity.gpus.is_empty()
    }

    async fn see(&mut self, needs: &Needs, whole: bool) -> Circumstances {
        let now = clock::since_boot();
        let mut seen = self.machine.circumstances().borrow().clone();
        (seen.now, seen.at, seen.local) = (now, clock::now(), local_time());
        if needs.presence || needs.metered {
            self.connect().await;
        } else {
            self.bus = None;
            self.bus_again = Instant::now();
        }
        seen.presence = None;
        if needs.presence {
            seen.presence = self.presence(now).await;
        } else {
            self.input = None;
        }
        seen.metered = match &self.bus {
            Some(bus) if needs.metered => bus.metered().await,
            _ => None,
        };
        if whole {
            self.see_rest(needs, &mut seen).await;
        }
        let others = self.machine.gpus.used_by_others();
        let gpu = |gpu: &common::resources::Gpu| GpuSeen {
            uuid: gpu.uuid.clone(),
            used_by_others: others.contains(&gpu.uuid),
        };
        seen.gpus = self.machine.seen().capacity.gpus.iter().map(gpu).collect();
        seen
    }

    /// Looks at what has to be read from files, away from the runtime's threads.
    async fn see_rest(&mut self, needs: &Needs, seen: &mut Circumstances) {
        let (roots, needs) = (self.roots.clone(), needs.clone());
        let any_jobs = self.any_jobs();
        seen.other_cpu = None;
        if needs.other_cpu {
            seen.other_cpu = self.other_cpu.look(&roots, seen.now, any_jobs);
            if seen.other_cpu.is_none() && needs == Needs::everything() {
                // Use is a difference, and nobody has looked before.
                tokio::time::sleep(FIRST_DIFFERENCE).await;
                let now = clock::since_boot();
                seen.other_cpu = self.other_cpu.look(&roots, now, any_jobs);
            }
        }
        let names = self.machine.rules().borrow().rules.when.not_while.clone();
        let look = tokio::task::spawn_blocking(move || {
            let asked = |needed: bool| needed.then_some(&roots);
            let programs = (!names.is_empty()).then(|| processes::running(&roots, &names));
            (
                asked(needs.battery).and_then(power::battery),
                asked(needs.temperature).and_then(power::temperature),
                asked(needs.memory_pressure).and_then(processes::memory_pressure),
                programs.unwrap_or_else(|| roots.path("proc").exists().then(Vec::new)),
            )
        });
        if let Ok(found) = look.await {
            (
                seen.battery,
                seen.temperature,
                seen.memory_pressure,
                seen.programs,
            ) = found;
        }
    }

    async fn connect(&mut self) {
        if self.bus.as_ref().is_some_and(Bus::is_gone) {
            self.bus = None;
        }
        if self.bus.is_none() && Instant::now() >= self.bus_again {
            self.bus_again = Instant::now() + AGAIN;
            self.bus = Bus::connect(&self.roots, &self.news).await;
        }
    }

    /// Asks one source after the other until one can tell.
    async fn presence(&mut self, now: Duration) -> Option<(Presence, PresenceSource)> {
        if let Some(bus) = &mut self.bus
            && let Some(presence) = bus.presence().await
        {
            self.input = None;
            return Some((presence, PresenceSource::Logind));
        }
        let input = self
            .input
            .get_or_insert_with(|| Input::new(&self.roots, Arc::clone(&self.news)));
        if Instant::now() >= self.input_again {
            self.input_again = Instant::now() + AGAIN;
            input.refresh();
        }
        let (since, source) = match input.untouched_since() {
            Some(since) => (since, PresenceSource::InputDevices),
            None => {
                let idle = terminals::idle(&self.roots, clock::now())?;
                (now.saturating_sub(idle), PresenceSource::Terminals)
            }
        };
        let touched = now.saturating_sub(since) < STILL_THERE && self.has_touched(since);
        let presence = if touched {
            let since = *self.touching_since.get_or_insert(since);
            Presence::Active { since }
        } else {
            self.touching_since = None;
            Presence::Idle { since }
        };
        Some((presence, source))
    }

    /// Devices that were opened just now have not been touched yet.
    fn has_touched(&self, since: Duration) -> bool {
        self.input
            .as_ref()
            .is_none_or(|input| input.opened_at() != since)
    }
}

/// Returns what the clock on the wall shows.
pub(crate) fn local_time() -> LocalTime {
    let now = jiff::Zoned::now();
    let weekday = match now.weekday() {
        jiff::civil::Weekday::Monday => Weekday::Monday,
        jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
        jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
        jiff::civil::Weekday::Thursday => Weekday::Thursday,
        jiff::civil::Weekday::Friday => Weekday::Friday,
        jiff::civil::Weekday::Saturday => Weekday::Saturday,
        jiff::civil::Weekday::Sunday => Weekday::Sunday,
    };
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    LocalTime {
        weekday,
        minute: u16::try_from(minute).unwrap_or(0),
    }
}

/// Returns circumstances of which nothing is known yet.
pub(crate) fn unknown() -> Circumstances {
    let at: Timestamp = clock::now();
    Circumstances::unknown(clock::since_boot(), at, local_time())
}

#[cfg(test)]
mod tests;
