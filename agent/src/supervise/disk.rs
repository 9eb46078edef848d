//! What an attempt's folders take of the disk, counted again and again.

use std::{path::Path, time::Duration};

use agent_core::sandbox_plan::SandboxPlan;
use common::units::Bytes;

use super::survey::{Counted, MAX_DEPTH, MAX_FILES, Survey};
use crate::sandbox::{jail::writable_folders, since_boot};

/// Between two counts of what the job's folders take.
const SURVEY_PERIOD: Duration = Duration::from_secs(1);
/// Share of time that counting may take: one in so many.
const SURVEY_REST: u32 = 20;

/// The disk of one attempt. Times are since boot.
#[derive(Debug)]
pub(super) struct Disk {
    survey: Option<(Survey, Duration)>,
    due: Duration,
    now: Bytes,
    peak: Bytes,
}

impl Disk {
    pub(super) const fn new(time: Duration) -> Self {
        Self {
            survey: None,
            due: time.saturating_add(SURVEY_PERIOD),
            now: Bytes::ZERO,
            peak: Bytes::ZERO,
        }
    }

    /// Returns when there is something to do.
    pub(super) const fn due(&self) -> Duration {
        if self.survey.is_some() {
            Duration::ZERO
        } else {
            self.due
        }
    }

    /// Returns what it was at the last count.
    pub(super) const fn now(&self) -> Bytes {
        self.now
    }

    pub(super) const fn peak(&self) -> Bytes {
        self.peak
    }

    /// Goes on counting where it is time; returns why the job has to end, if it has.
    pub(super) fn count(&mut self, plan: &SandboxPlan, time: Duration) -> Option<String> {
        if self.survey.is_none() && time >= self.due {
            let folders = writable_folders(plan).map(Path::to_owned).collect();
            self.survey = Some((Survey::of(folders), time));
        }
        let (survey, begun) = self.survey.as_mut()?;
        let most = plan.limits.disk;
        let detail = match survey.step() {
            Counted::NotYet => return None,
            Counted::All(bytes) => {
                self.now = Bytes(bytes);
                self.peak = self.peak.max(self.now);
                (self.now > most).then(|| {
                    let now = self.now;
                    format!("the job's files take {now}, more than the {most} that it asked for")
                })
            }
            Counted::TooDeep => Some(format!("folders are nested deeper than {MAX_DEPTH}")),
            Counted::TooMany => Some(format!("there are more than {MAX_FILES} files")),
        };
        let took = since_boot().saturating_sub(*begun);
        self.survey = None;
        self.due = since_boot() + SURVEY_PERIOD.max(took * SURVEY_REST);
        detail
    }
}
