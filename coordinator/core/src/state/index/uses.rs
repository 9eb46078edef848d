//! What tasks hold and wait for, of a member and on a machine.

use std::collections::BTreeSet;

use common::{id::AttemptId, resources::Allocation};

use crate::state::{held::Held, standing::Borrowed};

/// What a member's tasks hold and wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberUse {
    pub(crate) running: u32,
    pub(crate) queued: u64,
    pub(crate) held: Held,
    /// Of it, what is on other members' machines.
    pub(crate) borrowed: Borrowed,
}

/// What is on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MachineUse {
    pub(crate) live: BTreeSet<AttemptId>,
    /// The live ones and those of which something is still wanted.
    pub(crate) desired: BTreeSet<AttemptId>,
    pub(crate) held: Allocation,
}
