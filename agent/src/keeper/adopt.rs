//! What earlier daemons left: attempts that still run, ends that nobody has told, folders of nobody.

use std::{path::PathBuf, sync::Arc};

use agent_core::attempt::Attempt;
use common::{id::AttemptId, wire::agent::AttemptSpec};

use super::{Held, Keeper, held::Frost};
use crate::{
    attempts::died,
    supervise::{Adopted, Supervisor},
};

impl Keeper {
    pub(super) fn adopt(&mut self, attempt: AttemptId, spec: Arc<AttemptSpec>) {
        let mut held = Held::new(Arc::clone(&spec), Attempt::accepted(), true);
        held.frost = Frost::Unknown;
        let folder = self.machine.folder.attempt(attempt);
        let work = self.work(attempt, spec);
        let adopted = if folder.exists() {
            Supervisor::adopt(&folder)
        } else {
            Ok(Adopted::NeverStarted)
        };
        held.performing = match adopted {
            Ok(Adopted::Running(supervisor)) => {
                tracing::info!(%attempt, "an attempt runs on and is watched again");
                Some(work.watch(supervisor))
            }
            Ok(Adopted::Ended(result)) => Some(work.conclude(result)),
            Ok(Adopted::NeverStarted) => None,
            Ok(Adopted::Died) => Some(work.conclude(died(None, None, &folder.join("log")))),
            Err(error) => {
                let problem =
                    crate::machine::local_problem("an attempt cannot be looked at", &error);
                tracing::warn!(%attempt, %problem, "an attempt is given up");
                Some(work.conclude(died(None, None, &folder.join("log"))))
            }
        };
        self.held.insert(attempt, held);
    }

    /// Removes folders of attempts that the journal does not know: what is left where forgetting one was cut
    /// short. None of them runs.
    pub(super) fn remove_strays(&self) {
        let Ok(entries) = std::fs::read_dir(self.machine.folder.attempts()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let known = name
                .to_str()
                .and_then(|name| name.parse::<AttemptId>().ok())
                .is_some_and(|attempt| self.held.contains_key(&attempt));
            let runs = || matches!(Supervisor::adopt(&entry.path()), Ok(Adopted::Running(_)));
            if !known && !runs() {
                self.remove(out_of_the_way(entry.path()), None);
            }
        }
    }
}

/// Gives a folder that goes another name: its attempt may be tried anew here while it does.
fn out_of_the_way(folder: PathBuf) -> PathBuf {
    const GONE: &str = "gone";
    if folder.extension().is_some_and(|last| last == GONE) {
        return folder;
    }
    let gone = folder.with_added_extension(GONE);
    match std::fs::rename(&folder, &gone) {
        Ok(()) => gone,
        Err(error) => {
            tracing::debug!(folder = %folder.display(), %error, "it is removed where it is");
            folder
        }
    }
}
