//! Which task goes where: view -> feasible -> rank -> plan. Pure, and bounded in work per pass.
//!
//! Tasks are taken by priority, then from the member who holds the smallest share of what the org lends,
//! then by age. `explain` asks the same stages why a job waits.

mod candidates;
mod choose;
pub(crate) mod data;
pub(crate) mod explain;
mod feasible;
pub(crate) mod plan;
mod rank;
mod turns;
pub(crate) mod view;
