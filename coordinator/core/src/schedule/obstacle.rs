//! What can be in the way of a task on a machine.

use common::{api::explain::BlockerCode, resources::Shortage};

/// One thing in the way on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    Offline,
    Paused,
    /// Job after job failed there.
    SetAside,
    Isolation,
    /// The machine cannot give the network.
    NoNetwork,
    /// A kernel in user space has no way to a GPU.
    StrongGpu,
    /// It lacks a label, or has one that is not wanted.
    Label,
    /// Its owner lets neither the member nor the project in.
    KeptOut,
    /// Its owner does not allow the network.
    NetworkForbidden,
    /// Its owner does not allow images.
    ImageForbidden,
    /// Its owner allows shorter runs only.
    RunTooLong,
    /// Keeps less data at once.
    CacheTooSmall,
    /// It has the GPUs, and no more of their model may be held.
    ModelLimit,
    /// Lends less, even when idle.
    TooSmall(Shortage),
    /// Others hold it now.
    Busy(Shortage),
    /// Something runs there, and the task would be alone.
    InUse,
    /// What runs there is to be alone.
    Exclusive,
    /// Limits let nobody hold all of it.
    WholeLimit,
    /// As many attempts as a machine can be told of.
    Full,
    /// It is kept free for a job that comes first.
    Reserved,
}

impl Obstacle {
    /// Returns what people meet it as.
    pub(crate) const fn code(self) -> BlockerCode {
        match self {
            Self::Offline => BlockerCode::MachineOffline,
            Self::Paused => BlockerCode::MachinePaused,
            Self::SetAside => BlockerCode::MachineSetAside,
            Self::Isolation => BlockerCode::IsolationTooLow,
            Self::NoNetwork | Self::StrongGpu => BlockerCode::NotSupported,
            Self::Label => BlockerCode::LabelMissing,
            Self::KeptOut => BlockerCode::OwnerKeepsOut,
            Self::NetworkForbidden => BlockerCode::OwnerForbidsNetwork,
            Self::ImageForbidden => BlockerCode::OwnerForbidsImages,
            Self::RunTooLong => BlockerCode::OwnerLimitsRuntime,
            Self::CacheTooSmall => BlockerCode::TooSmallCache,
            Self::ModelLimit => BlockerCode::GpuModelLimit,
            Self::TooSmall(Shortage::Cpu) => BlockerCode::TooSmallCpu,
            Self::TooSmall(Shortage::Memory) => BlockerCode::TooSmallMemory,
            Self::TooSmall(Shortage::Disk) => BlockerCode::TooSmallDisk,
            Self::TooSmall(Shortage::Gpu) => BlockerCode::NoSuchGpu,
            Self::Busy(Shortage::Cpu) | Self::Full => BlockerCode::BusyCpu,
            Self::Busy(Shortage::Memory) => BlockerCode::BusyMemory,
            Self::Busy(Shortage::Disk) => BlockerCode::BusyDisk,
            Self::Busy(Shortage::Gpu) => BlockerCode::BusyGpu,
            Self::InUse => BlockerCode::MachineInUse,
            Self::Exclusive => BlockerCode::HeldExclusively,
            Self::WholeLimit | Self::TooSmall(Shortage::Whole) | Self::Busy(Shortage::Whole) => {
                BlockerCode::WholeMachineLimit
            }
            Self::Reserved => BlockerCode::MachineReserved,
        }
    }
}
