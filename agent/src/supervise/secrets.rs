//! The job's secrets on their way from the daemon into the job's environment: in a file that is nowhere but in
//! memory, and wiped once the job has them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::OwnedFd,
};

use agent_core::sandbox_plan::SandboxPlan;
use common::secret::{LEAST_MASKED_BYTES, SecretValue};
use rustix::fs::{MemfdFlags, memfd_create};
use zeroize::{Zeroize as _, Zeroizing};

/// Most bytes that are read: more than a job's secrets can have.
const MAX_BYTES: u64 = 4 << 20;
/// Most lines of one value that are looked for on their own.
const MAX_LINES: usize = 64;

/// What a job finds as variables, besides those of its plan.
#[derive(Debug, Default)]
pub struct Secrets(Vec<SecretValue>);

impl Secrets {
    pub const fn new(secrets: Vec<SecretValue>) -> Self {
        Self(secrets)
    }

    /// Packs them up for the supervisor.
    ///
    /// # Errors
    /// The machine has no memory for it.
    pub fn pack(&self) -> io::Result<OwnedFd> {
        let json = Zeroizing::new(serde_json::to_vec(&self.0)?);
        in_memory("secrets", &json)
    }

    /// Unpacks what the daemon packed.
    pub(super) fn unpack(file: OwnedFd) -> io::Result<Self> {
        let mut json = Zeroizing::new(Vec::new());
        File::from(file).take(MAX_BYTES).read_to_end(&mut json)?;
        Ok(Self(serde_json::from_slice(&json)?))
    }

    /// Does something with the plan as the job is to have it. The one beside the attempt stays without them.
    pub(super) fn with<T>(&self, plan: &SandboxPlan, act: impl FnOnce(&SandboxPlan) -> T) -> T {
        if self.0.is_empty() {
            return act(plan);
        }
        let mut whole = plan.clone();
        let own = self.0.iter();
        let own = own.map(|secret| (secret.name.to_string(), secret.value.clone()));
        whole.env.extend(own);
        let done = act(&whole);
        wipe(&mut whole.env);
        done
    }

    /// Returns what is to be looked for in the job's log: the values, and the lines of those that have several.
    pub(super) fn patterns(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let lines = |value: &'_ str| {
            let lines = value.lines().take(MAX_LINES);
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let all = self.0.iter().flat_map(|secret| {
            let whole = secret.value.clone();
            std::iter::once(whole).chain(lines(&secret.value))
        });
        let mut all: Vec<_> = all
            .filter(|text| text.len() >= LEAST_MASKED_BYTES)
            .map(|text| Zeroizing::new(text.into_bytes()))
            .collect();
        all.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
        all.dedup();
        all
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|secret| secret.value.zeroize());
    }
}

fn wipe(env: &mut BTreeMap<String, String>) {
    env.values_mut().for_each(|value| value.zeroize());
}

/// Returns a file that no folder has, open at its beginning.
pub(crate) fn in_memory(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
