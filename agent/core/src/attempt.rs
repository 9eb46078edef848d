//! One attempt on this machine: what has happened to it, and what of that still has to be said.
//!
//! What is said is derived from what happened, so nothing has to be queued: after a reconnect everything
//! that was not acknowledged is simply derived again.

use common::{
    id::TreeId,
    job::Outcome,
    time::Timestamp,
    wire::agent::{AttemptReport, ReportStage},
};

/// An attempt and what the coordinator has acknowledged of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    phase: Phase,
    acknowledged: Option<ReportStage>,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Written down; nothing of it exists.
    Accepted,
    /// What the sandbox needs is fetched.
    Preparing,
    Running {
        at: Timestamp,
    },
    Ended {
        /// `None` where the program never ran.
        started: Option<Timestamp>,
        at: Timestamp,
        outcome: Box<Outcome>,
        files: Files,
    },
    /// It is known elsewhere to have ended, and nothing of it is here.
    Gone,
    /// Another machine may have it: nothing of it was begun here, and nothing will be.
    Returned,
}

/// The files that an attempt left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    None,
    Pending,
    Stored { tree: TreeId },
    Lost,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something has to be fetched.
    Prepare,
    Start {
        at: Timestamp,
    },
    End {
        at: Timestamp,
        outcome: Box<Outcome>,
        /// Whether it left files.
        files: bool,
    },
    /// The files have arrived at the coordinator.
    Store {
        tree: TreeId,
    },
    /// The files cannot be kept.
    Lose,
    /// It is not begun here.
    Return,
}

/// The step cannot follow what has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} cannot follow {phase:?}")]
pub struct IllegalStep {
    phase: Box<Phase>,
    step: Box<Step>,
}

impl Attempt {
    /// Returns an attempt that was just accepted.
    pub const fn accepted() -> Self {
        Self {
            phase: Phase::Accepted,
            acknowledged: None,
        }
    }

    /// Returns an attempt of which nothing is left.
    pub const fn gone() -> Self {
        Self {
            phase: Phase::Gone,
            acknowledged: None,
        }
    }

    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    pub const fn has_ended(&self) -> bool {
        matches!(
            self.phase,
            Phase::Ended { .. } | Phase::Gone | Phase::Returned
        )
    }

    /// Returns the attempt after `step`.
    ///
    /// # Errors
    /// The step cannot follow what has happened so far.
    pub fn after(&self, step: Step) -> Result<Self, IllegalStep> {
        let phase = match (&self.phase, step) {
            (Phase::Accepted, Step::Prepare) => Phase::Preparing,
            (Phase::Accepted, Step::Return) => Phase::Returned,
            (Phase::Accepted | Phase::Preparing, Step::Start { at }) => Phase::Running { at },
            (
                Phase::Accepted | Phase::Preparing | Phase::Running { .. },
                Step::End { at, outcome, files },
            ) => Phase::Ended {
                started: match self.phase {
                    Phase::Running { at } => Some(at),
                    _ => None,
                },
                at,
                outcome,
                files: if files { Files::Pending } else { Files::None },
            },
            (
                Phase::Ended {
                    started,
                    at,
                    outcome,
                    files: Files::Pending,
                },
                step @ (Step::Store { .. } | Step::Lose),
            ) => Phase::Ended {
                started: *started,
                at: *at,
                outcome: outcome.clone(),
                files: match step {
                    Step::Store { tree } => Files::Stored { tree },
                    _ => Files::Lost,
                },
            },
            (phase, step) => {
                return Err(IllegalStep {
                    phase: Box::new(phase.clone()),
                    step: Box::new(step),
                });
            }
        };
        Ok(Self {
            phase,
            acknowledged: self.acknowledged,
        })
    }

    /// Returns when it ended, if it did. What had its place began after that.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Ended { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Takes note that the coordinator knows everything up to `stage`.
    pub fn acknowledge(&mut self, stage: ReportStage) {
        self.acknowledged = self.acknowledged.max(Some(stage));
    }

    /// Returns everything that the coordinator has not acknowledged, in the order in which it happened.
    /// That something is made ready is no news once it runs.
    pub fn unacknowledged(&self) -> Vec<AttemptReport> {
        let reports = match &self.phase {
            Phase::Accepted => Vec::new(),
            Phase::Preparing => vec![AttemptReport::Preparing],
            Phase::Running { at } => vec![AttemptReport::Started { at: *at }],
            Phase::Ended {
                started,
                at,
                outcome,
                files,
            } => {
                let started = started.map(|at| AttemptReport::Started { at });
                let ended = AttemptReport::Ended {
                    at: *at,
                    outcome: (**outcome).clone(),
                    artifacts: *files != Files::None,
                };
                let kept = match files {
                    Files::None | Files::Pending => None,
                    Files::Stored { tree } => Some(AttemptReport::Artifacts { tree: *tree }),
                    Files::Lost => Some(AttemptReport::ArtifactsLost),
                };
                started.into_iter().chain([ended]).chain(kept).collect()
            }
            Phase::Gone => vec![AttemptReport::ArtifactsLost],
            Phase::Returned => vec![AttemptReport::Returned],
        };
        reports
            .into_iter()
            .filter(|report| Some(report.stage()) > self.acknowledged)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use common::{job::AttemptUsage, status::EndReason};

    use super::*;

    fn end(files: bool) -> Step {
        Step::End {
            at: Timestamp::from_unix_ms(9),
            outcome: Box::new(Outcome {
                reason: EndReason::Exited,
                exit_code: Some(0),
                signal: None,
                detail: None,
                usage: AttemptUsage::default(),
                log_bytes: 3,
            }),
            files,
        }
    }

    fn start() -> Step {
        Step::Start {
            at: Timestamp::from_unix_ms(5),
        }
    }

    fn stages(attempt: &Attempt) -> Vec<ReportStage> {
        let reports = attempt.unacknowledged();
        reports.iter().map(AttemptReport::stage).collect()
    }

    #[test]
    fn everything_is_said_in_order_until_acknowledged() {
        let tree = TreeId::new([1; 32]);
        let mut attempt = Attempt::accepted();
        assert_eq!(stages(&attempt), []);
        attempt = attempt.after(Step::Prepare).unwrap();
        assert_eq!(stages(&attempt), [ReportStage::Preparing]);
        attempt = attempt.after(start()).unwrap();
        assert_eq!(stages(&attempt), [ReportStage::Started]);
        attempt = attempt.after(end(true)).unwrap();
        assert_eq!(stages(&attempt), [ReportStage::Started, ReportStage::Ended]);
        attempt.acknowledge(ReportStage::Started);
        attempt = attempt.after(Step::Store { tree }).unwrap();
        assert_eq!(
            stages(&attempt),
            [ReportStage::Ended, ReportStage::Artifacts]
        );
        attempt.acknowledge(ReportStage::Artifacts);
        attempt.acknowledge(ReportStage::Ended);
        assert_eq!(stages(&attempt), []);
    }

    #[test]
    fn steps_that_cannot_follow_are_refused() {
        let all = [
            Step::Prepare,
            start(),
            end(false),
            end(true),
            Step::Lose,
            Step::Return,
        ];
        let accepted = Attempt::accepted();
        let running = accepted.after(start()).unwrap();
        let ended = running.after(end(false)).unwrap();
        let pending = running.after(end(true)).unwrap();
        let legal = |attempt: &Attempt| -> Vec<bool> {
            all.iter()
                .map(|step| attempt.after(step.clone()).is_ok())
                .collect()
        };
        assert_eq!(legal(&accepted), [true, true, true, true, false, true]);
        assert_eq!(legal(&running), [false, false, true, true, false, false]);
        assert_eq!(legal(&ended), [false; 6]);
        assert_eq!(legal(&pending), [false, false, false, false, true, false]);
        assert_eq!(legal(&Attempt::gone()), [false; 6]);
        assert_eq!(legal(&pending.after(Step::Lose).unwrap()), [false; 6]);
        let returned = accepted.after(Step::Return).unwrap();
        assert_eq!(legal(&returned), [false; 6]);
        assert_eq!(stages(&returned), [ReportStage::Returned]);
    }
}
