//! The owner's rules: the file in which a machine's owner says what of it is lent, to whom, for what, when, and
//! how jobs yield. The coordinator never sees it, only the [`crate::offer`], the pause and the
//! [`Admits`] that follow from it.
//!
//! ```yaml
//! preset: desktop          # always | night | idle | desktop | laptop; every key below wins over it
//! resources: {cpu_limit: 80, memory_limit: 16GiB, disk_limit: 200GiB, gpus: [0]}
//! who: {not: [mallory]}
//! what: {network: [none, internet], images: true, registries: [registry.lab:5000], max_runtime: 8h}
//! when: {hours: [mon-fri 18:00-08:00, sat-sun], idle_for: 15m, not_while: [steam]}
//! yield: {on_return: freeze, freeze_at_most: 10m, grace: 30s}
//! gpus: {while_present: withhold, while_used_by_others: evict}
//! data: {cache_limit: 100GiB, peers: on, peer_rate: 50Mbit}
//! labels: [ssd, zone=a]
//! ```
//!
//! Everything may be left out; an unknown key is an error that names the nearest known one. The shipped
//! `systemd/owner.yaml.example` explains every key.

mod causes;
mod circumstances;
mod data;
mod decision;
mod file;
mod hours;
mod keys;
mod presets;
mod registry_host;
mod resources;
mod when;

use common::{label::Label, machine::Admits, units::Bytes};

pub use self::{
    circumstances::{Battery, Circumstances, GpuSeen, Measured, Metered, Presence, PresenceSource},
    data::PeerRules,
    decision::{Decision, Lend, Running},
    hours::{Hours, LocalTime, Weekday},
    presets::Preset,
    registry_host::{InvalidRegistry, RegistryHost},
    resources::{GpuChoice, GpuRule, Percent},
    when::{GpuUse, Needs, OnReturn, OtherUse, OwnJobs, PresentUse, When, Yield},
};

/// What an owner's file says, the preset's part filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerRules {
    pub preset: Preset,
    pub cpu_limit: Option<Percent>,
    pub memory_limit: Option<Bytes>,
    pub disk_limit: Option<Bytes>,
    /// Of what is lent, for data that jobs read; `None` is a quarter.
    pub cache_limit: Option<Bytes>,
    pub gpus: GpuRule,
    /// Who and what may run.
    pub admits: Admits,
    /// Registries of images that may be asked although they are in the owner's own network.
    pub registries: Vec<RegistryHost>,
    pub when: When,
    pub yielding: Yield,
    pub gpu_use: GpuUse,
    /// What other machines of the org may fetch from this one.
    pub peers: PeerRules,
    /// What jobs may ask of the machine by name.
    pub labels: Vec<Label>,
}

#[cfg(test)]
mod tests;
