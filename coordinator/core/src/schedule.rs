//! Which task goes where. Pure, and bounded in work per pass: what may have room at all (`candidates`), whose turn it is
//! (`turns`), where the task goes (`choose`, by `feasible` and `rank`), and what a pass makes of it (`plan`).
//!
//! Tasks are taken by priority, then from the member who holds the smallest share of what the org lends,
//! then by age. `explain` asks the same stages why a job waits.

mod candidates;
mod choose;
pub(crate) mod data;
pub(crate) mod explain;
mod feasible;
mod history;
pub(crate) mod plan;
mod rank;
mod turns;
pub(crate) mod view;
