//! Which task goes where. Pure, and bounded in work per pass: what may have room at all (`candidates`), whose turn it is
//! (`turns`), where the task goes (`choose`, by `feasible` and `rank`), and what a pass makes of it (`plan`).
//!
//! Tasks are taken by priority, which rises with waiting, then from the member who has and had the smallest part of what the
//! org lends (`order`), then by age; a member's own machines are the member's first. `explain` asks the same stages why a job waits.

mod candidates;
mod choose;
pub(crate) mod data;
pub(crate) mod explain;
mod feasible;
mod history;
mod obstacle;
pub(crate) mod order;
pub(crate) mod plan;
pub(crate) mod preempt;
mod rank;
mod reserve;
mod turns;
pub(crate) mod view;
