//! A sandbox between two tasks of a job.

use std::{io, os::fd::BorrowedFd};

use agent_core::sandbox_plan::{Content, OUTPUT, SandboxPlan};

use super::{AttemptFolder, Watch};
use crate::sandbox::jail::{Jail, JailEvent, Output};

/// A sandbox in which nothing is left of the task that it was made for, or of another that followed.
pub(in crate::supervise) struct Vacant {
    jail: Jail,
    plan: SandboxPlan,
}

impl Vacant {
    /// Waits until a sandbox whose task has ended is one; `None` where it cannot be, and is gone.
    pub(super) fn of(mut jail: Jail, plan: SandboxPlan) -> io::Result<Option<Self>> {
        if jail.becomes_vacant() {
            return Ok(Some(Self { jail, plan }));
        }
        jail.kill();
        jail.finish().map(|()| None)
    }

    /// Ends it.
    pub(in crate::supervise) fn end(self) -> io::Result<()> {
        self.jail.kill();
        self.jail.finish()
    }
}

impl Watch<'_> {
    /// Starts the attempt in the sandbox that is vacant. Where it needs another one, that one ends.
    pub(super) fn follow(
        &mut self,
        vacant: Option<Vacant>,
        folder: &AttemptFolder,
        lock: BorrowedFd<'_>,
    ) -> io::Result<Option<(Jail, Output)>> {
        let Some(mut vacant) = vacant else {
            return Ok(None);
        };
        if self.plan.same_sandbox(&vacant.plan) {
            let plan_file = folder.file(super::super::folder::PLAN);
            let begun = vacant.jail.begin_next(self.plan, &plan_file, lock);
            if let Ok(output) = begun {
                return Ok(Some((vacant.jail, output)));
            }
        }
        vacant.end().map(|()| None)
    }

    /// Lets a sandbox stay whose task went to its end by itself and left nothing to send, and ends any other: frozen in this last moment, its
    /// first process would never be gone.
    pub(super) fn let_stay_or_kill(&mut self, jail: &Jail) {
        let by_itself = matches!(
            self.ending.program,
            Some(JailEvent::Exited(_) | JailEvent::Signalled(_))
        );
        let untouched = self.ending.stopped.is_none() && self.kill_at.is_none();
        let free = by_itself && untouched && jail.is_empty();
        self.stays = self.plan.shared.is_some() && free && left_nothing(self.plan);
        if !self.stays {
            self.kill(jail);
        } else if self.frozen.is_now() {
            jail.freeze(false);
        }
    }
}

/// Returns whether the output folder is empty: what is in it stays where it is until it is sent.
fn left_nothing(plan: &SandboxPlan) -> bool {
    let output = plan.mounts.iter().find(|mount| mount.target == OUTPUT);
    let folder = output.and_then(|mount| match &mount.content {
        Content::Bind { source, .. } => Some(source),
        _ => None,
    });
    folder
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .is_some_and(|mut entries| entries.next().is_none())
}
