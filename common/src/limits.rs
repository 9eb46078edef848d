//! The org's limits: bounds at one moment.

mod quantity;
mod resource;
pub mod written;

use serde::{Deserialize, Serialize};

pub use self::{
    quantity::Quantity,
    resource::{
        Amount, InvalidResource, MAX_LIMITED_RESOURCES, ResourceLimits, ResourceType,
        TooManyResources,
    },
};
use crate::{status::MinIsolation, time::Span, units::Bytes};

/// Bounds that an org's admins set. `None` is no bound.
///
/// All bounds that apply must allow a start; lowering one never ends what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub max_machines_per_user: Option<u32>,
    /// Tasks of a member that run at the same moment; every task of an array counts.
    pub max_concurrent_jobs_per_user: Option<u32>,
    /// Tasks of a member that wait.
    pub max_queued_jobs_per_user: Option<u32>,
    /// Longest run of one attempt. A job that asks for nothing gets this.
    pub max_job_runtime: Option<Span>,
    /// Most memory of one task.
    pub max_job_memory: Option<Bytes>,
    /// Least isolation of a machine that runs a job of another member than its owner.
    pub min_isolation: Option<MinIsolation>,
    /// What all tasks of the org hold together.
    pub concurrent: ResourceLimits,
    /// What the tasks of one member hold together, where nothing is set for that member alone.
    pub per_user: ResourceLimits,
    pub storage: StorageLimits,
}

/// Bounds on what the coordinator keeps for an org. The same content counts once within each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageLimits {
    /// All versions of all datasets.
    pub datasets: Option<Bytes>,
    /// What tasks left. A result is never thrown away for it: once it is met, nothing more is submitted or
    /// started.
    pub artifacts: Option<Bytes>,
}

impl Limits {
    /// Returns whether something could start under `after` that these do not let start. May say yes where
    /// nothing could, never no where something could.
    pub fn is_loosened_by(&self, after: &Self) -> bool {
        let kept = after.entries();
        let most = |key: &str| kept.iter().find(|(other, _)| other == key);
        self.entries().iter().any(|(key, before)| match most(key) {
            None => true,
            Some((_, Quantity::Isolation(after))) => *before != Quantity::Isolation(*after),
            Some((_, after)) => after > before,
        })
    }

    /// Returns every bound that is set, by its key in the limits file, in the order of the file.
    pub fn entries(&self) -> Vec<(String, Quantity)> {
        let count = |count: Option<u32>| count.map(|count| Quantity::Count(count.into()));
        let single = [
            ("max_machines_per_user", count(self.max_machines_per_user)),
            (
                "max_concurrent_jobs_per_user",
                count(self.max_concurrent_jobs_per_user),
            ),
            (
                "max_queued_jobs_per_user",
                count(self.max_queued_jobs_per_user),
            ),
            ("max_job_runtime", self.max_job_runtime.map(Quantity::Time)),
            ("max_job_memory", self.max_job_memory.map(Quantity::Size)),
            ("min_isolation", self.min_isolation.map(Quantity::Isolation)),
        ];
        let storage = [
            (
                "storage.datasets",
                self.storage.datasets.map(Quantity::Size),
            ),
            (
                "storage.artifacts",
                self.storage.artifacts.map(Quantity::Size),
            ),
        ];
        let resources = [
            ("concurrent", &self.concurrent),
            ("per_user", &self.per_user),
        ];
        let resources = resources.into_iter().flat_map(|(key, limits)| {
            limits
                .iter()
                .map(move |(resource, most)| (format!("{key}.{resource}"), resource.quantity(most)))
        });
        let set = |(key, value): (&str, Option<Quantity>)| Some((key.to_owned(), value?));
        single
            .into_iter()
            .filter_map(set)
            .chain(resources)
            .chain(storage.into_iter().filter_map(set))
            .collect()
    }
}

#[cfg(test)]
mod tests;
