//! The approval that a job waits for, or would wait for.

use super::Subject;
use crate::{
    decide::approval::job_note,
    lifecycle::approval::ApprovalState,
    state::{State, approval::of_job},
};

/// Returns what an admin is asked for, or would be if the job were submitted.
pub(super) fn awaited(state: &State, subject: &Subject<'_>) -> Option<String> {
    let Some((id, _, _)) = subject.job else {
        let org = state.orgs.get(&subject.org)?;
        let note = job_note(org, subject.spec)?;
        return Some(format!("an admin would have to approve it: it {note}"));
    };
    let row = state.approvals.get(&of_job(id))?;
    (row.state == ApprovalState::Waiting).then(|| {
        format!(
            "waits since {} for an admin's approval: it {}",
            row.asked_at.to_second(),
            row.note
        )
    })
}
