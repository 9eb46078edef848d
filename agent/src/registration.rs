//! What an agent knows of its registration, and where everything of an agent lies in its folder.

use std::path::{Path, PathBuf};

use common::{
    code::Code,
    id::{AttemptId, Fingerprint, MachineId},
    name::Name,
    problem::Problem,
};
use serde::{Deserialize, Serialize};

/// Longest registration file; a real one has a few hundred bytes.
const MAX_REGISTRATION_BYTES: u64 = 64 << 10;
const PRIVATE: u32 = 0o600;

/// Which machine of which org this is, and how to reach its coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    pub machine: MachineId,
    pub name: Name,
    pub org: Name,
    /// `HOST:PORT` of the coordinator.
    pub address: String,
    /// Of the org's root certificate.
    pub fingerprint: Fingerprint,
}

impl Registration {
    /// Reads the registration in an agent's folder; `None` where the machine is not registered.
    ///
    /// # Errors
    /// The file cannot be read or is not a registration.
    pub fn load(folder: &AgentFolder) -> Result<Option<Self>, Problem> {
        let path = folder.registration();
        let what = || format!("{} cannot be used", path.display());
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Problem::new(Code::Io, what(), error.to_string())),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Problem::new(Code::Config, what(), error.to_string())
                .help("Remove the file and run `compute-share register` again.")
        })
    }

    /// Writes the registration, durably and at once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, folder: &AgentFolder) -> Result<(), Problem> {
        let path = folder.registration();
        let json = serde_json::to_vec_pretty(self).expect("a registration is plain data");
        link::files::write_atomic(&path, &json, PRIVATE).map_err(|error| {
            let what = format!("{} cannot be written", path.display());
            Problem::new(Code::Io, what, error.to_string())
        })
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > MAX_REGISTRATION_BYTES {
        return Err(std::io::Error::other("it is far too long"));
    }
    std::fs::read(path)
}

/// The folder of one agent, and the name of everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFolder(PathBuf);

impl AgentFolder {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn registration(&self) -> PathBuf {
        self.0.join("registration.json")
    }

    /// The key that was registered; it never leaves the machine.
    pub fn machine_key(&self) -> PathBuf {
        self.0.join("machine-key.pem")
    }

    /// The certificate in force, with its own key.
    pub fn identity(&self) -> PathBuf {
        self.0.join("machine.pem")
    }

    /// The owner's rules.
    pub fn owner_rules(&self) -> PathBuf {
        self.0.join("owner.yaml")
    }

    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// Where what serves lazy mounts reaches the agent.
    pub(crate) fn lazy_door(&self) -> PathBuf {
        self.0.join("lazy-door")
    }

    /// What there is of lazily mounted trees.
    pub(crate) fn lazy(&self) -> PathBuf {
        self.0.join("lazy")
    }

    pub fn attempt(&self, attempt: AttemptId) -> PathBuf {
        self.attempts().join(attempt.to_string())
    }

    /// Disks that no attempt has now.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    /// Sandboxes' folders that no attempt has now.
    pub(crate) fn rooms(&self) -> PathBuf {
        self.0.join("rooms")
    }

    pub(crate) fn attempts(&self) -> PathBuf {
        self.0.join("attempts")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal.redb")
    }

    pub(crate) fn lease(&self) -> PathBuf {
        self.0.join("lease")
    }

    pub(crate) fn frozen(&self) -> PathBuf {
        self.0.join("frozen")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_comes_back_and_a_damaged_one_says_so() {
        let temp = tempfile::tempdir().unwrap();
        let folder = AgentFolder::new(temp.path());
        assert_eq!(Registration::load(&folder), Ok(None));
        let registration = Registration {
            machine: MachineId::from_bytes([3; 16]),
            name: "bob-workstation".parse().unwrap(),
            org: "lab".parse().unwrap(),
            address: "127.0.0.1:7443".to_owned(),
            fingerprint: Fingerprint::new([9; 32]),
        };
        registration.save(&folder).unwrap();
        assert_eq!(Registration::load(&folder), Ok(Some(registration)));
        std::fs::write(folder.registration(), b"{").unwrap();
        let problem = Registration::load(&folder).unwrap_err();
        assert_eq!(problem.code, Code::Config);
    }
}
