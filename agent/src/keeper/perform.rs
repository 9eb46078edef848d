//! Does what reconciling asks for.

use std::{path::PathBuf, sync::Arc};

use agent_core::{
    admit::admit,
    attempt::{Attempt, Step},
    desired::Wanted,
    observed::Seen,
    reconcile::Action,
};
use common::{id::AttemptId, status::EndReason, time::Span, wire::agent::AttemptSpec};
use tokio::sync::watch;

use super::{Held, Keeper, Word, blocking};
use crate::{
    attempts::{Noted, Stop, never_ran},
    clock,
    journal::JournalError,
    scrap,
    scratch::Disks,
    supervise,
};

impl Keeper {
    pub(super) async fn perform(&mut self, actions: &[Action]) -> Result<(), JournalError> {
        let mut accepted = Vec::new();
        let mut forgotten = Vec::new();
        for action in actions {
            match *action {
                Action::Accept { attempt } => accepted.push(attempt),
                Action::Launch { attempt } => self.launch(attempt),
                Action::Stop {
                    attempt,
                    reason,
                    grace,
                } => self.stop(attempt, reason, grace),
                Action::EndUnstarted { attempt, reason } => self.end_unstarted(attempt, reason),
                Action::Return { attempt } => self.give_back(attempt),
                Action::Lose { attempt } => self.lose(attempt),
                Action::Forget { attempt } => forgotten.push(attempt),
            }
        }
        if !forgotten.is_empty() {
            self.forget(forgotten).await?;
        }
        if !accepted.is_empty() {
            self.accept(&accepted);
        }
        Ok(())
    }

    /// Begins to write attempts down. Meanwhile they are made ready; none starts before it is written.
    fn accept(&mut self, attempts: &[AttemptId]) {
        let Some(desired) = &self.desired else {
            return;
        };
        let generation = desired.generation();
        let wanted = |attempt: &AttemptId| Some((*attempt, desired.get(attempt)?.clone()));
        let wanted: Vec<(AttemptId, Wanted)> = attempts.iter().filter_map(wanted).collect();
        self.journaled_generation = generation;
        let (done, written) = watch::channel(false);
        let mut rows = Vec::with_capacity(wanted.len());
        for (attempt, Wanted { spec, after, .. }) in wanted {
            let mut held = Held::new(Arc::clone(&spec), Attempt::accepted(), true);
            held.written = written.clone();
            held.follows = after.is_some();
            self.held.insert(attempt, held);
            rows.push((attempt, spec));
        }
        let (journal, keeper) = (Arc::clone(&self.journal), self.handle.clone());
        tokio::spawn(async move {
            match blocking(move || journal.accept(generation, &rows)).await {
                Ok(()) => drop(done.send_replace(true)),
                Err(error) => keeper.tell(Word::Unwritten(error)).await,
            }
        });
    }

    fn launch(&mut self, attempt: AttemptId) {
        let Some(held) = self.held.get(&attempt) else {
            return;
        };
        let spec = Arc::clone(&held.spec);
        let rules = Arc::clone(&self.rules.borrow().rules);
        let pause = self.pause();
        let level = self.machine.isolation.level;
        match admit(&spec, level, pause.as_ref(), &rules.admits) {
            Ok(()) => {
                let noted = Noted {
                    attempt: held.written.clone(),
                    lease: self.note_lease(),
                };
                let performing = self.work(attempt, spec).launch(noted);
                if let Some(held) = self.held.get_mut(&attempt) {
                    held.performing = Some(performing);
                }
            }
            // It was placed while another one ran, whatever is let in by now.
            Err(_) if held.follows => self.give_back(attempt),
            Err(refusal) => self.end_without_run(attempt, refusal.reason, &refusal.detail),
        }
    }

    pub(super) fn stop(&mut self, attempt: AttemptId, reason: EndReason, grace: Span) {
        if let Some(held) = self.held.get_mut(&attempt) {
            held.stopping = Some(reason);
            if let Some(performing) = &held.performing {
                performing.stop(Stop { reason, grace });
            }
        }
    }

    pub(super) fn stop_all(&mut self, reason: EndReason) {
        let live: Vec<(AttemptId, Span)> = self
            .held
            .iter()
            .filter(|(_, held)| held.seen() == Seen::Live)
            .map(|(attempt, held)| (*attempt, held.spec.grace))
            .collect();
        for (attempt, grace) in live {
            tracing::info!(%attempt, %reason, "the attempt is ended");
            self.stop(attempt, reason, grace);
        }
    }

    /// Ends everything before its task may run elsewhere, also what has been given more time to end.
    pub(super) fn end_with_lease(&mut self) {
        let outlasting: Vec<(AttemptId, Span)> = self
            .held
            .iter()
            .filter(|(_, held)| held.outlasts_lease())
            .map(|(attempt, held)| (*attempt, self.lease.last_grace(held.spec.grace)))
            .collect();
        for (attempt, grace) in outlasting {
            tracing::warn!(%attempt, "the lease is over; the attempt is ended");
            self.stop(attempt, EndReason::MachineLost, grace);
        }
    }

    fn end_unstarted(&mut self, attempt: AttemptId, reason: EndReason) {
        self.hold_unwritten(attempt);
        self.end_without_run(attempt, reason, "it ended before it began");
    }

    fn give_back(&mut self, attempt: AttemptId) {
        self.hold_unwritten(attempt);
        self.on_happened(attempt, Step::Return);
    }

    /// Holds an attempt of which nothing will be. Not worth a line in the journal: if it is forgotten, the same is said
    /// of it again.
    fn hold_unwritten(&mut self, attempt: AttemptId) {
        if self.held.contains_key(&attempt) {
            return;
        }
        if let Some(spec) = self.wanted_spec(attempt) {
            self.held
                .insert(attempt, Held::new(spec, Attempt::accepted(), false));
        }
    }

    /// Ends an attempt of which nothing ever ran, the way every other ends: its empty log is told, too.
    fn end_without_run(&mut self, attempt: AttemptId, reason: EndReason, detail: &str) {
        let Some(spec) = self.held.get(&attempt).map(|held| Arc::clone(&held.spec)) else {
            return;
        };
        let step = Step::End {
            at: clock::now(),
            outcome: never_ran(reason, detail),
            files: false,
        };
        self.on_happened(attempt, step);
        let performing = self.work(attempt, spec).ship_nothing();
        if let Some(held) = self.held.get_mut(&attempt) {
            held.performing = Some(performing);
        }
    }

    /// Returns what the coordinator says of an attempt that it wants here.
    fn wanted_spec(&self, attempt: AttemptId) -> Option<Arc<AttemptSpec>> {
        let wanted = self.desired.as_ref()?.get(&attempt)?;
        Some(Arc::clone(&wanted.spec))
    }

    fn lose(&mut self, attempt: AttemptId) {
        if let Some(spec) = self.wanted_spec(attempt) {
            let journaled = self.held.get(&attempt).is_some_and(|held| held.journaled);
            self.held
                .insert(attempt, Held::new(spec, Attempt::gone(), journaled));
        }
    }

    async fn forget(&mut self, attempts: Vec<AttemptId>) -> Result<(), JournalError> {
        let mut journaled = Vec::new();
        for attempt in attempts {
            if let Some(held) = self.held.remove(&attempt) {
                if held.journaled {
                    journaled.push(attempt);
                }
                drop(held.performing);
                let folder = self.machine.folder.attempt(attempt);
                let disk = self.machine.disks.clone().map(|disks| (disks, attempt));
                self.remove(folder, disk);
            }
        }
        if journaled.is_empty() {
            return Ok(());
        }
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.forget(&journaled)).await
    }

    /// Notes what the task of an attempt told.
    pub(super) fn on_happened(&mut self, attempt: AttemptId, step: Step) {
        let Some(held) = self.held.get_mut(&attempt) else {
            return;
        };
        let step = held.with_owners_words(step);
        match held.attempt.after(step) {
            Ok(after) => held.attempt = after,
            Err(illegal) => {
                tracing::error!(%attempt, %illegal, "an attempt took an impossible step")
            }
        }
    }

    /// Deletes an attempt's folder, in its own time; its disk, if it has one, is for others from then on.
    pub(super) fn remove(&self, folder: PathBuf, disk: Option<(Disks, AttemptId)>) {
        self.clearing.spawn_blocking(move || {
            if let Err(error) = supervise::clear(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "an attempt's cgroup cannot be removed");
            }
            if let Some((disks, attempt)) = disk {
                disks.release(attempt);
            }
            if let Err(error) = scrap::remove(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "an attempt's folder cannot be removed");
            }
        });
    }
}
