//! Machines: let in again what was set aside.

use serde::{Deserialize, Serialize};

use crate::{id::OrgId, name::Name};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineRequest {
    /// Lets jobs onto it at once. Answered by [`super::Answer::Done`], also where it is not set aside.
    Readmit { org: OrgId, name: Name },
}
