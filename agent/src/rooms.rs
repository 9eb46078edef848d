//! Sandboxes between two tasks of a job: each with the supervisor that has it, the folders that are mounted in it, and
//! what is read there. Another task of the job that comes soon begins in one, in folders that are empty again.
//!
//! A room is nobody's: no attempt's folder has anything of it, so that an attempt is removed as always. One that
//! nobody wants soon is taken down; with the daemon, all of them end.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use common::id::{AttemptId, JobId};
use link::files::create_private_dir;

use crate::{
    attempts::Sandbox,
    scrap,
    scratch::{Disk, Disks, IMAGE, MOUNTED},
};

/// How long one waits for another task.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most at a time.
const MOST: usize = 64;
/// The folders of an attempt that are mounted in its sandbox.
const FOLDERS: [&str; 2] = ["work", "output"];

/// The rooms of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    disks: Option<Disks>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: Vec<Room>,
    /// Names of places, never used twice.
    made: u64,
    /// Whether somebody looks after those that nobody wants.
    attended: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Room {
    job: JobId,
    sandbox: Sandbox,
    files: Files,
    since: Instant,
}

/// Where the folders are.
#[derive(Debug)]
enum Files {
    /// Beside each other, under names that begin with this path.
    Host(PathBuf),
    Own(Disk),
}

/// A room that an attempt has moved into.
#[derive(Debug)]
pub(crate) struct Furnished {
    pub(crate) sandbox: Sandbox,
    /// The attempt's disk, for its supervisor.
    pub(crate) disk: Option<OwnedFd>,
}

impl Rooms {
    /// `folder` is on the file system of the attempts' folders. What an earlier daemon left there is removed.
    pub(crate) fn new(folder: PathBuf, disks: Option<Disks>) -> Self {
        if let Err(error) = scrap::remove(&folder) {
            tracing::debug!(%error, "what is left of earlier sandboxes stays");
        }
        Self(Arc::new(Inner {
            folder,
            disks,
            state: Mutex::default(),
        }))
    }

    /// Returns one for a task of the job, the last one left first. Those that are not ready stay.
    pub(crate) fn take(&self, job: JobId) -> Option<Room> {
        let mut state = self.0.state();
        let ready = state
            .rooms
            .iter_mut()
            .rposition(|room| room.job == job && room.sandbox.supervisor.is_ready() == Some(true));
        ready.map(|index| state.rooms.remove(index))
    }

    /// Keeps the sandbox of an attempt that has ended and has left nothing that anybody wants: its folders, which lie
    /// in `folder`, are emptied, and are the room's from now on. Must be called in a tokio runtime. Blocks.
    ///
    /// # Errors
    /// The folders cannot be emptied, or moved; what is left of the sandbox ends.
    pub(crate) fn keep(
        &self,
        attempt: AttemptId,
        folder: &Path,
        sandbox: Sandbox,
    ) -> io::Result<()> {
        create_private_dir(&self.0.folder)?;
        let mut state = self.0.state();
        state.made += 1;
        let place = self.0.folder.join(state.made.to_string());
        drop(state);
        let disk = self
            .0
            .disks
            .as_ref()
            .and_then(|disks| disks.hand_out(attempt));
        let files = match disk {
            Some(disk) => {
                empty(&disk.path())?;
                Files::Own(disk.moved(&named(&place, IMAGE))?)
            }
            None => {
                empty(folder)?;
                for name in FOLDERS {
                    fs::rename(folder.join(name), named(&place, name))?;
                }
                Files::Host(place)
            }
        };
        let room = Room {
            job: attempt.job,
            sandbox,
            files,
            since: Instant::now(),
        };
        let mut state = self.0.state();
        state.rooms.push(room);
        let surplus = (state.rooms.len() > MOST).then(|| state.rooms.remove(0));
        let attended = std::mem::replace(&mut state.attended, true);
        drop(state);
        if !attended {
            tokio::spawn(attend(Arc::downgrade(&self.0)));
        }
        surplus.into_iter().for_each(|room| self.0.end(room));
        Ok(())
    }

    /// Puts the folders of a room in place for an attempt, in its `folder`. Blocks.
    ///
    /// # Errors
    /// That cannot be done, and the room has ended.
    pub(crate) fn furnish(
        &self,
        room: Room,
        attempt: AttemptId,
        folder: &Path,
    ) -> io::Result<Furnished> {
        let disk = match room.files {
            Files::Host(place) => {
                for name in FOLDERS {
                    fs::rename(named(&place, name), folder.join(name))?;
                }
                None
            }
            Files::Own(disk) => {
                let disk = disk.moved(&folder.join(IMAGE))?;
                create_private_dir(&folder.join(MOUNTED))?;
                let mounted = disk.mount_again()?;
                if let Some(disks) = &self.0.disks {
                    disks.hold(attempt, disk);
                }
                Some(mounted)
            }
        };
        Ok(Furnished {
            sandbox: room.sandbox,
            disk,
        })
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down those that nobody wanted in time, or whose supervisor has ended; returns how long until there may be
    /// another, or nothing where none is left.
    fn take_down(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        let over = state.rooms.extract_if(.., |room| {
            now.duration_since(room.since) >= PATIENCE
                || room.sandbox.supervisor.is_ready().is_none()
        });
        let over: Vec<Room> = over.collect();
        let next = state.rooms.iter().map(|room| room.since + PATIENCE).min();
        state.attended = next.is_some();
        drop(state);
        over.into_iter().for_each(|room| self.end(room));
        next.map(|next| next.saturating_duration_since(now))
    }

    /// Ends a room. Blocks.
    fn end(&self, room: Room) {
        // With the supervisor the sandbox ends, and with that what holds the folders.
        drop(room.sandbox);
        match room.files {
            Files::Own(disk) => match &self.disks {
                Some(disks) => disks.give_back(disk),
                None => disk.discard(),
            },
            Files::Host(place) => {
                for name in FOLDERS {
                    if let Err(error) = scrap::remove(&named(&place, name)) {
                        tracing::debug!(%error, "a sandbox's folder stays until the next start");
                    }
                }
            }
        }
    }
}

/// Looks after rooms that nobody wants, until there are none.
async fn attend(rooms: std::sync::Weak<Inner>) {
    let mut pause = PATIENCE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(rooms) = rooms.upgrade() else {
            return;
        };
        let looked = tokio::task::spawn_blocking(move || rooms.take_down(Instant::now()));
        match looked.await {
            Ok(Some(next)) => pause = next,
            _ => return,
        }
    }
}

fn named(place: &Path, name: &str) -> PathBuf {
    place.with_added_extension(name)
}

/// Empties the folders in `folder`, and lets nothing of what a job may have done to them stay.
fn empty(folder: &Path) -> io::Result<()> {
    for name in FOLDERS {
        let one = folder.join(name);
        fs::set_permissions(&one, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&one)? {
            scrap::remove(&entry?.path())?;
        }
    }
    Ok(())
}
