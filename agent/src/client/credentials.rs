//! What a member keeps on one computer: whom they are towards which coordinator, the key, the certificate.
//!
//! All in the config folder, which only they can read: `credentials.json`, `member-key.pem`, `member.pem`.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use certs::{Identity, PrivateKey};
use common::{
    code::Code,
    id::{Fingerprint, OrgId, UserId},
    name::Name,
    problem::Problem,
};
use link::files;
use serde::{Deserialize, Serialize};

/// Rights of everything here: the member alone.
const PRIVATE: u32 = 0o600;

/// Whom the member is, and towards whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Of the coordinator's root certificate.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) user: UserId,
    pub(crate) handle: Name,
    /// The active org.
    pub(crate) org: OrgId,
    pub(crate) org_name: Name,
}

/// The folder of a member's credentials.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Returns whom the member is.
    ///
    /// # Errors
    /// They never signed in here.
    pub(crate) fn load(&self) -> Result<Credentials, Problem> {
        self.find()?.ok_or_else(|| {
            let why = format!("there are no credentials in {}", self.folder.display());
            Problem::new(Code::NotSignedIn, "you are not signed in", why)
        })
    }

    /// Returns whom the member is, if they ever signed in.
    pub(crate) fn find(&self) -> Result<Option<Credentials>, Problem> {
        let path = self.credentials_path();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| unreadable(&path, &error.to_string()))?,
        };
        let read = serde_json::from_str(&text);
        read.map(Some)
            .map_err(|error| unreadable(&path, &error.to_string()))
    }

    pub(crate) fn identity(&self) -> Result<Identity, Problem> {
        let path = self.identity_path();
        Identity::load(&path).map_err(|error| unreadable(&path, &error.to_string()))
    }

    /// Returns the key, if one was made.
    pub(crate) fn key(&self) -> Result<PrivateKey, Problem> {
        let path = self.key_path();
        PrivateKey::load(&path).map_err(|error| unreadable(&path, &error.to_string()))
    }

    pub(crate) fn has_key(&self) -> bool {
        self.key_path().exists()
    }

    /// Keeps a new key. Saved before it is used, so that an enrolment that was cut can be repeated with it.
    pub(crate) fn save_key(&self, key: &PrivateKey) -> Result<(), Problem> {
        files::create_private_dir(&self.folder)
            .map_err(|error| unwritable(&self.folder, &error.to_string()))?;
        let path = self.key_path();
        key.save(&path)
            .map_err(|error| unwritable(&path, &error.to_string()))
    }

    pub(crate) fn save_identity(
        &self,
        chain: Vec<Vec<u8>>,
        key: &PrivateKey,
    ) -> Result<(), Problem> {
        let identity = Identity::new(chain, key).map_err(|error| {
            Problem::new(
                Code::Protocol,
                "the coordinator's certificate cannot be used",
                error.to_string(),
            )
        })?;
        let path = self.identity_path();
        identity
            .save(&path)
            .map_err(|error| unwritable(&path, &error.to_string()))
    }

    pub(crate) fn save(&self, credentials: &Credentials) -> Result<(), Problem> {
        let path = self.credentials_path();
        let text = serde_json::to_vec_pretty(credentials)
            .map_err(|error| unwritable(&path, &error.to_string()))?;
        files::write_atomic(&path, &text, PRIVATE)
            .map_err(|error| unwritable(&path, &error.to_string()))
    }

    /// Forgets everything; what is not there is forgotten already.
    pub(crate) fn remove(&self) -> Result<(), Problem> {
        for path in [
            self.credentials_path(),
            self.identity_path(),
            self.key_path(),
        ] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(unwritable(&path, &error.to_string()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn credentials_path(&self) -> PathBuf {
        self.folder.join("credentials.json")
    }

    fn identity_path(&self) -> PathBuf {
        self.folder.join("member.pem")
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("member-key.pem")
    }
}

fn unreadable(path: &Path, why: &str) -> Problem {
    let why = format!("{}: {why}", path.display());
    Problem::new(Code::NotSignedIn, "your credentials cannot be read", why)
        .help("Check the file's rights; if it is damaged, sign in again with a new link.")
}

fn unwritable(path: &Path, why: &str) -> Problem {
    let why = format!("{}: {why}", path.display());
    Problem::new(Code::Io, "your credentials cannot be kept", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_back_and_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(store.load().unwrap_err().code, Code::NotSignedIn);
        let credentials = Credentials {
            address: "lab.example:7443".to_owned(),
            fingerprint: Fingerprint::new([7; 32]),
            user: UserId::from_bytes([1; 16]),
            handle: "bob".parse().unwrap(),
            org: OrgId::from_bytes([2; 16]),
            org_name: "lab".parse().unwrap(),
        };
        store.save(&credentials).unwrap();
        assert_eq!(store.load().unwrap(), credentials);
        store.remove().unwrap();
        assert!(store.find().unwrap().is_none());
        store.remove().unwrap();
    }

    #[test]
    fn damaged_credentials_say_which_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("credentials.json"), "{}").unwrap();
        let problem = Store::new(folder.path()).load().unwrap_err();
        assert_eq!(problem.code, Code::NotSignedIn);
        assert!(problem.why.contains("credentials.json"), "{problem}");
    }
}
