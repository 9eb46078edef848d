//! What an attempt's files take: read from its own disk, or counted again and again where it has none.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::sandbox_plan::SandboxPlan;
use common::units::Bytes;
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, UnmountFlags, move_mount, unmount},
};

use super::survey::{Counted, MAX_DEPTH, MAX_FILES, Survey};
use crate::sandbox::{Failed, at, jail::writable_folders, own_mounts, since_boot};

/// Between two counts of what the job's folders take.
const SURVEY_PERIOD: Duration = Duration::from_secs(1);
/// Share of time that counting may take: one in so many.
const SURVEY_REST: u32 = 20;
/// An own disk with less left than this, or this part of it, is full: the file system keeps a little back.
const FULL: u64 = 256 << 10;
const FULL_PART: u64 = 128;

/// The disk of one attempt. Times are since boot.
#[derive(Debug)]
pub(super) struct Disk {
    meter: Meter,
    now: Bytes,
    last: Last,
}

#[derive(Debug)]
enum Meter {
    Counted {
        survey: Option<(Survey, Duration)>,
        due: Duration,
    },
    Own(Mounted),
}

/// A disk's root, mounted for this process alone until it is dropped.
#[derive(Debug)]
struct Mounted {
    root: File,
    place: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What still uses it has it elsewhere.
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}

/// Mounts of this process's own, once it has them.
#[derive(Debug, Default)]
pub(super) struct OwnMounts {
    there: bool,
}

impl OwnMounts {
    /// Sees to it that what this process mounts is seen by nobody else.
    pub(super) fn have(&mut self) -> io::Result<()> {
        if !self.there {
            own_mounts()?;
            self.there = true;
        }
        Ok(())
    }
}

/// What is told of it in the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last {
    pub(super) peak: Bytes,
    pub(super) full: bool,
}

impl Disk {
    pub(super) fn new(time: Duration) -> Self {
        Self {
            meter: Meter::Counted {
                survey: None,
                due: time.saturating_add(SURVEY_PERIOD),
            },
            now: Bytes::ZERO,
            last: Last::default(),
        }
    }

    /// Mounts an own disk at `place`, for this process, which has [`OwnMounts`], and what it starts.
    pub(super) fn own(place: &Path, disk: OwnedFd) -> Result<Self, Failed> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(disk, "", CWD, place, flags).map_err(at("mount the job's disk"))?;
        let root = File::open(place).map_err(at("open the job's disk"))?;
        let place = place.to_owned();
        Ok(Self {
            meter: Meter::Own(Mounted { root, place }),
            now: Bytes::ZERO,
            last: Last::default(),
        })
    }

    /// Returns when there is something to do; `None` where there never is.
    pub(super) const fn due(&self) -> Option<Duration> {
        match self.meter {
            Meter::Counted {
                survey: Some(_), ..
            } => Some(Duration::ZERO),
            Meter::Counted { due, .. } => Some(due),
            Meter::Own(_) => None,
        }
    }

    /// Returns what is taken now, or was at the last count.
    pub(super) fn look(&mut self) -> Bytes {
        if let Meter::Own(Mounted { root, .. }) = &self.meter
            && let Ok(found) = rustix::fs::fstatvfs(root)
        {
            // What the file system itself takes is in neither.
            let taken = found.f_blocks.saturating_sub(found.f_bfree);
            self.now = Bytes(taken * found.f_frsize);
            let room = found.f_bavail * found.f_frsize;
            self.last.full =
                room < FULL.max(found.f_blocks * found.f_frsize / FULL_PART) || found.f_favail == 0;
            self.last.peak = self.last.peak.max(self.now);
        }
        self.now
    }

    /// Returns what is to be told in the end.
    pub(super) fn last(&mut self) -> Last {
        self.look();
        self.last
    }

    /// Goes on counting where it is time; returns why the job has to end, if it has.
    pub(super) fn count(&mut self, plan: &SandboxPlan, time: Duration) -> Option<String> {
        let Meter::Counted { survey, due } = &mut self.meter else {
            return None;
        };
        if survey.is_none() && time >= *due {
            let folders = writable_folders(plan).map(Path::to_owned).collect();
            *survey = Some((Survey::of(folders), time));
        }
        let (going, begun) = survey.as_mut()?;
        let most = plan.limits.disk;
        let detail = match going.step() {
            Counted::NotYet => return None,
            Counted::All(bytes) => {
                self.now = Bytes(bytes);
                self.last.peak = self.last.peak.max(self.now);
                (self.now > most).then(|| {
                    let now = self.now;
                    format!("the job's files take {now}, more than the {most} that it asked for")
                })
            }
            Counted::TooDeep => Some(format!("folders are nested deeper than {MAX_DEPTH}")),
            Counted::TooMany => Some(format!("there are more than {MAX_FILES} files")),
        };
        let took = since_boot().saturating_sub(*begun);
        *survey = None;
        *due = since_boot() + SURVEY_PERIOD.max(took * SURVEY_REST);
        detail
    }
}
