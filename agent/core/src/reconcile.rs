//! The difference between what should be and what is, as actions. Called after everything that could matter,
//! until nothing is left to do; the same difference gives the same actions.

use common::{
    id::AttemptId,
    status::EndReason,
    time::Span,
    wire::agent::{Goal, MAX_ATTEMPTS_PER_MACHINE},
};

use crate::{
    desired::Desired,
    observed::{Observed, Seen},
};

/// One thing to do. The shell performs it and looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Writes the attempt down, durably, before anything of it exists.
    Accept { attempt: AttemptId },
    /// Makes it ready and runs it.
    Launch { attempt: AttemptId },
    /// Ends what runs: SIGTERM, grace, SIGKILL.
    Stop {
        attempt: AttemptId,
        reason: EndReason,
        grace: Span,
    },
    /// Reports the end of what never ran.
    EndUnstarted {
        attempt: AttemptId,
        reason: EndReason,
    },
    /// Lets it go, which was not begun, and says so.
    Return { attempt: AttemptId },
    /// Says that nothing is left of an attempt whose files are wanted.
    Lose { attempt: AttemptId },
    /// Deletes everything of it.
    Forget { attempt: AttemptId },
}

impl Action {
    /// Returns whether this begins something that a machine without a lease must not begin.
    pub const fn begins(&self) -> bool {
        matches!(self, Self::Accept { .. } | Self::Launch { .. })
    }
}

/// Returns what has to be done, in the order of the attempts' ids; endings come before launches so that what
/// an ending frees is free.
pub fn reconcile(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let mut endings = Vec::new();
    let mut launches = Vec::new();
    for (&attempt, seen) in observed {
        if desired.goal(&attempt).is_none() {
            endings.extend(end_unwanted(attempt, *seen));
        }
    }
    for (&attempt, wanted) in desired.attempts() {
        match (wanted.goal, observed.get(&attempt)) {
            (Goal::Run, None) => launches.push(Action::Accept { attempt }),
            (Goal::Run, Some(Seen::Idle))
                if !sibling_may_run(attempt, observed) && !waits(attempt, desired, observed) =>
            {
                launches.push(Action::Launch { attempt });
            }
            (Goal::Run, Some(_)) => {}
            (Goal::Return, None | Some(Seen::Idle)) => endings.push(Action::Return { attempt }),
            // It has begun, or it ended: either is said.
            (Goal::Return, Some(Seen::Live | Seen::Stopping | Seen::Ended)) => {}
            (Goal::Stop { reason }, None | Some(Seen::Idle)) => {
                endings.push(Action::EndUnstarted { attempt, reason });
            }
            (Goal::Stop { reason }, Some(Seen::Live)) => endings.push(Action::Stop {
                attempt,
                reason,
                grace: wanted.spec.grace,
            }),
            // The coordinator knows an end that this machine does not: its lease ran out there first.
            (Goal::Collect, Some(Seen::Live)) => endings.push(Action::Stop {
                attempt,
                reason: EndReason::MachineLost,
                grace: Span::default(),
            }),
            (Goal::Collect, None | Some(Seen::Idle)) => endings.push(Action::Lose { attempt }),
            (Goal::Stop { .. } | Goal::Collect, Some(Seen::Stopping | Seen::Ended)) => {}
        }
    }
    endings.append(&mut launches);
    endings
}

fn end_unwanted(attempt: AttemptId, seen: Seen) -> Option<Action> {
    match seen {
        Seen::Idle | Seen::Ended => Some(Action::Forget { attempt }),
        Seen::Live => Some(Action::Stop {
            attempt,
            reason: EndReason::Cancelled,
            grace: Span::default(),
        }),
        Seen::Stopping => None,
    }
}

/// Returns whether another attempt of the same task may still run here: there is one at a time.
fn sibling_may_run(attempt: AttemptId, observed: &Observed) -> bool {
    observed.iter().any(|(other, seen)| {
        *other != attempt && other.task_id() == attempt.task_id() && seen.may_run()
    })
}

/// Returns whether anything before the attempt, in whose place it is to be, may yet run here. One that came to nothing
/// leaves the place to whom it waited for itself.
fn waits(attempt: AttemptId, desired: &Desired, observed: &Observed) -> bool {
    let mut before = desired.after(&attempt);
    for _ in 0..MAX_ATTEMPTS_PER_MACHINE {
        let Some(one) = before else {
            return false;
        };
        let over = match observed.get(&one) {
            None => desired.goal(&one).is_none(),
            Some(seen) => *seen == Seen::Ended,
        };
        if !over {
            return true;
        }
        before = desired.after(&one);
    }
    // They wait for one another: nobody begins.
    true
}

#[cfg(test)]
mod tests;
