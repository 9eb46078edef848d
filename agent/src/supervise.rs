//! One small process per attempt, which outlives the daemon that started it.
//!
//! The supervisor makes the sandbox, copies the job's output into the attempt's log, watches its limits, ends
//! it when told to, and leaves `result.json`. It knows nothing of coordinators. The daemon holds a
//! [`Supervisor`] for each; after a restart it finds them again with [`Supervisor::adopt`].
//!
//! In the attempt's folder: `plan.json`, `lock` (held as long as the supervisor lives), `control.sock`,
//! `started`, `log`, `result.json`.

mod folder;
mod handover;
mod mask;
mod protocol;
mod title;

mod ahead;
mod handle;

mod role;

mod companion;
mod disk;
mod ending;
mod feeder;
mod frozen;
mod gateway;
mod gauge;
mod measure;
mod run;
mod secrets;
mod spool;
mod streams;
mod survey;
mod visitors;

pub use ahead::{Staying, Supervisors};
pub(crate) use folder::keep_result;
pub use handle::{AdoptError, Adopted, LaunchError, Supervisor, SupervisorEvent};
pub(crate) use handle::{clear, run_to_end};
pub use handover::Given;
pub use protocol::SandboxResult;
pub use role::main;
pub(crate) use role::{CHECK, INSIDE, LAZY, PROXY, TRY_LAZY};
pub use secrets::Secrets;
pub(crate) use secrets::in_memory;

/// First argument of the process that is a supervisor.
pub const ROLE: &str = "supervise";
