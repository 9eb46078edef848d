//! What admins say of machines, besides what their owners do.

use common::{
    api::machine::LabelMachine,
    id::UserId,
    label::{Label, MAX_LABELS},
    time::Timestamp,
};

use super::find_machine;
use crate::{
    event::Event,
    policy::{Action, permit},
    rejection::{OrgRejection, Rejection},
    state::State,
};

pub(super) fn label(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &LabelMachine,
) -> Result<Vec<Event>, Rejection> {
    permit(state, request.org, user, Action::LabelMachine)?;
    let (machine, row) = find_machine(state, request.org, &request.name)?;
    let unset = |label: &&Label| request.unset.iter().any(|gone| gone.key() == label.key());
    let kept = row.labels.iter().filter(|label| !unset(label));
    let labels = Label::by_key(kept.chain(&request.set).cloned());
    if labels.len() > MAX_LABELS {
        return Err(OrgRejection::TooManyLabels.into());
    }
    if labels == row.labels {
        return Ok(Vec::new());
    }
    Ok(vec![Event::MachineLabelled {
        machine,
        org: request.org,
        labels,
        at,
    }])
}
