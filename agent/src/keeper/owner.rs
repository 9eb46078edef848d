//! What the owner asks for: a look, a pause, the end.

use std::sync::Arc;

use agent_core::cache_plan::Item;
use common::{
    code::Code,
    machine::{Pause, PausedBy},
    problem::Problem,
    resources::Gpu,
    status::EndReason,
    time::{Span, Timestamp},
};

use super::{Keeper, blocking, cached};
use crate::{
    attempts::image,
    clock,
    control::{Asked, CachedImage, ControlAnswer, ControlRequest, GpuPause, StopHow},
    journal::JournalError,
    transfer::About,
};

impl Keeper {
    /// Writes the pauses down, so that they hold after a restart.
    async fn keep_pauses(&self) -> Result<(), JournalError> {
        let journal = Arc::clone(&self.journal);
        let (paused, gpus) = (self.paused.clone(), self.paused_gpus.clone());
        blocking(move || journal.pause(paused.as_ref(), &gpus)).await
    }

    /// Ends the pauses whose time is over.
    pub(super) async fn end_pauses(&mut self) -> Result<(), JournalError> {
        let over = |pause: &Pause| pause.until.is_some_and(|until| until <= clock::now());
        let before = (self.paused.is_some(), self.paused_gpus.len());
        self.paused = self.paused.take().filter(|pause| !over(pause));
        self.paused_gpus.retain(|_, pause| !over(pause));
        if before == (self.paused.is_some(), self.paused_gpus.len()) {
            return Ok(());
        }
        self.keep_pauses().await
    }

    pub(super) async fn on_asked(&mut self, asked: Asked) -> Result<(), JournalError> {
        let Asked { request, reply } = asked;
        let answer = match request {
            ControlRequest::Status => {
                let (mut status, lookout) = (self.status(), self.lookout.clone());
                let gpus = self.machine.gpus.clone();
                // A look at everything takes a moment, and nobody else waits for it.
                tokio::spawn(async move {
                    if let Some(seen) = lookout.look().await {
                        status.circumstances = seen.lines();
                    }
                    status.circumstances.extend(gpus.remarks());
                    drop(reply.send(ControlAnswer::Status(Box::new(status))));
                });
                return Ok(());
            }
            ControlRequest::Images => {
                let running: Vec<Item> = self
                    .held
                    .values()
                    .filter(|held| held.seen().may_run())
                    .filter_map(|held| image::item(&held.spec.image))
                    .collect();
                let cache = self.machine.cache.clone();
                // Reads a small file of each.
                tokio::task::spawn_blocking(move || {
                    let images = cache.images().into_iter();
                    let told = images.map(|(item, about, used)| shown(item, about, used, &running));
                    drop(reply.send(ControlAnswer::Images(told.collect())));
                });
                return Ok(());
            }
            ControlRequest::Cache(request) => {
                let cache = self.machine.cache.clone();
                tokio::task::spawn_blocking(move || {
                    drop(reply.send(cached::answer(&cache, &request)));
                });
                return Ok(());
            }
            ControlRequest::Pause { span, gpus } if gpus.is_empty() => {
                self.paused = Some(commanded(span));
                self.keep_pauses().await?;
                ControlAnswer::Paused(self.pause())
            }
            ControlRequest::Pause { span, gpus } => self.pause_gpus(span, &gpus).await?,
            ControlRequest::Resume => {
                self.draining = false;
                self.paused = None;
                self.paused_gpus.clear();
                self.keep_pauses().await?;
                ControlAnswer::Paused(self.pause())
            }
            ControlRequest::Stop {
                how: StopHow::Drain,
            } => {
                self.draining = true;
                ControlAnswer::Stopping {
                    jobs_left: self.running(),
                }
            }
            ControlRequest::Stop { how: StopHow::Now } if self.anything_runs() => {
                self.stop_all(EndReason::MachineOwner);
                self.ending = Some(reply);
                return Ok(());
            }
            ControlRequest::Stop { .. } => {
                self.ending = Some(reply);
                self.end();
                return Ok(());
            }
        };
        // Whoever asked may have gone away.
        drop(reply.send(answer));
        Ok(())
    }

    async fn pause_gpus(
        &mut self,
        span: Option<Span>,
        named: &[String],
    ) -> Result<ControlAnswer, JournalError> {
        let there = self.machine.seen().capacity.gpus;
        let mut chosen = Vec::new();
        for name in named {
            match find(&there, name) {
                Some(gpu) => chosen.push(gpu.uuid.clone()),
                None => return Ok(ControlAnswer::Refused(no_such_gpu(name, &there))),
            }
        }
        let pause = commanded(span);
        let pauses = chosen.into_iter().map(|gpu| (gpu, pause.clone()));
        self.paused_gpus.extend(pauses);
        self.keep_pauses().await?;
        Ok(ControlAnswer::GpusPaused(self.gpu_pauses()))
    }

    pub(super) fn gpu_pauses(&self) -> Vec<GpuPause> {
        let withheld = self.withheld().into_iter();
        withheld
            .map(|(gpu, pause)| GpuPause { gpu, pause })
            .collect()
    }

    pub(super) fn anything_runs(&self) -> bool {
        self.running() > 0
    }

    fn running(&self) -> u32 {
        let running = self.held.values().filter(|held| held.seen().may_run());
        u32::try_from(running.count()).unwrap_or(u32::MAX)
    }

    /// Ends the agent once everything that was to end has ended and said so.
    pub(super) fn end_if_over(&mut self) {
        if self.anything_runs() {
            return;
        }
        let said = self.outbox.is_none()
            || self
                .held
                .values()
                .all(|held| held.attempt.unacknowledged().is_empty());
        // One that drains has time to send what the last jobs left; without a coordinator it is kept.
        let sent = self.outbox.is_none() || self.held.is_empty();
        if self.ending.is_some() && said || self.draining && sent {
            self.end();
        }
    }

    pub(super) fn end(&mut self) {
        let jobs_left = self.running();
        if let Some(reply) = self.ending.take() {
            drop(reply.send(ControlAnswer::Stopping { jobs_left }));
        }
        self.stopping.cancel();
    }
}

fn shown(item: Item, about: About, last_used_at: Timestamp, running: &[Item]) -> CachedImage {
    let here = running.iter().filter(|running| **running == item).count();
    CachedImage {
        reference: about.reference,
        digest: match item {
            Item::Image(digest) => digest.to_string(),
            Item::Imported(tree) | Item::Tree(tree) => tree.to_string(),
        },
        size: about.bytes,
        last_used_at,
        running: u32::try_from(here).unwrap_or(u32::MAX),
    }
}

fn commanded(span: Option<Span>) -> Pause {
    let until = span.map(|span| clock::now().saturating_add(span.as_duration()));
    Pause {
        until,
        reason: String::new(),
        by: PausedBy::Command,
    }
}

/// Returns the GPU with this index or identifier.
fn find<'a>(there: &'a [Gpu], name: &str) -> Option<&'a Gpu> {
    match name.parse::<usize>() {
        Ok(index) => there.get(index),
        Err(_) => there.iter().find(|gpu| gpu.uuid == name),
    }
}

fn no_such_gpu(name: &str, there: &[Gpu]) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let why = match there.len() {
        0 => "no GPU is known on this machine".to_owned(),
        1 => "there is only GPU 0".to_owned(),
        count => format!("there are GPUs 0 to {}", count - 1),
    };
    Problem::new(Code::NotFound, format!("there is no GPU {shown}"), why)
        .help("`compute-share status` names this machine's GPUs.")
}
