//! What opens a registry, as `docker login` and `podman login` left it on the submitter's computer. Only the
//! command line reads these files; nothing is written to them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{code::Code, image::DEFAULT_REGISTRY, problem::Problem, seal::RegistryLogin};
use serde::Deserialize;

const WHAT: &str = "the registry's login cannot be read";
/// Longest file; one login takes a few hundred bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Under which names Docker keeps the login of its own registry.
const DOCKER_HUB: [&str; 4] = [
    "https://index.docker.io/v1/",
    "index.docker.io",
    "registry-1.docker.io",
    "docker.io",
];

/// The part of both programs' files that is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
struct Entry {
    /// `user:password`, in base64.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// Returns the login of a registry (`HOST` or `HOST:PORT`) from the files of `docker` and `podman`; `None`
/// where there is none, which for most images is fine. Blocks.
///
/// # Errors
/// A file cannot be read, or keeps the login with a program that is not asked.
pub fn stored_login(registry: &str) -> Result<Option<RegistryLogin>, Problem> {
    stored_in(registry, |name| std::env::var_os(name).map(PathBuf::from))
}

fn stored_in(
    registry: &str,
    variable: impl Fn(&str) -> Option<PathBuf>,
) -> Result<Option<RegistryLogin>, Problem> {
    let below = |name: &str, rest: &str| {
        variable(name)
            .filter(|path| path.is_absolute())
            .map(|path| path.join(rest))
    };
    let docker =
        below("DOCKER_CONFIG", "config.json").or_else(|| below("HOME", ".docker/config.json"));
    let files = [
        variable("REGISTRY_AUTH_FILE"),
        below("XDG_RUNTIME_DIR", "containers/auth.json"),
        below("HOME", ".config/containers/auth.json"),
        docker,
    ];
    let mut elsewhere = None;
    for path in files.into_iter().flatten() {
        let Some(file) = read(&path)? else { continue };
        match file.login(registry, &path)? {
            Stored::Here(login) => return Ok(Some(login)),
            Stored::With(program) => elsewhere = elsewhere.or(Some((program, path))),
            Stored::Nowhere => {}
        }
    }
    elsewhere.map_or(Ok(None), |(program, path)| {
        let why = format!(
            "{} keeps the login of {registry} with docker-credential-{program}, which is not asked",
            path.display()
        );
        let help = "Sign in with `podman login`, or with another file: set REGISTRY_AUTH_FILE to its path.";
        Err(Problem::new(Code::RegistryRefused, WHAT, why).help(help))
    })
}

fn read(path: &Path) -> Result<Option<File>, Problem> {
    let failed = |why: String| {
        let why = format!("{}: {why}", path.display());
        Problem::new(Code::Config, WHAT, why)
    };
    let bytes = fs::metadata(path).and_then(|file| match file.len() {
        0..=MAX_FILE_BYTES => fs::read(path),
        _ => Err(io::Error::other("it is far too long")),
    });
    match bytes {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

enum Stored {
    Here(RegistryLogin),
    /// With a program of this name.
    With(String),
    Nowhere,
}

impl File {
    fn login(&self, registry: &str, path: &Path) -> Result<Stored, Problem> {
        let is = |name: &str| host_of(name) == registry;
        let is_hub = |name: &str| registry == DEFAULT_REGISTRY && DOCKER_HUB.contains(&name);
        let ours = |name: &str| is(name) || is_hub(name);
        let entry = self
            .auths
            .iter()
            .find(|(name, _)| ours(name))
            .map(|(_, entry)| entry);
        if let Some((user, password)) = entry.map(|entry| entry.pair(path)).transpose()?.flatten() {
            let registry = registry.to_owned();
            return Ok(Stored::Here(RegistryLogin {
                registry,
                user,
                password,
            }));
        }
        let helper = self
            .cred_helpers
            .iter()
            .find(|(name, _)| ours(name))
            .map(|(_, helper)| helper);
        // A store that keeps everything leaves an empty entry behind for what it keeps.
        let store = self.creds_store.as_ref().filter(|_| entry.is_some());
        Ok(helper
            .or(store)
            .map_or(Stored::Nowhere, |program| Stored::With(program.clone())))
    }
}

impl Entry {
    /// Returns user and password; `None` of an entry that has neither.
    fn pair(&self, path: &Path) -> Result<Option<(String, String)>, Problem> {
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Ok(Some((user.clone(), password.clone())));
        }
        let Some(auth) = self.auth.as_deref().filter(|auth| !auth.is_empty()) else {
            return Ok(None);
        };
        let text = STANDARD
            .decode(auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = text
            .as_deref()
            .and_then(|text| text.trim_end_matches('\0').split_once(':'));
        let (user, password) = pair.ok_or_else(|| {
            let why = format!(
                "{}: a login in it is not user:password in base64",
                path.display()
            );
            Problem::new(Code::Config, WHAT, why)
        })?;
        Ok(Some((user.to_owned(), password.to_owned())))
    }
}

/// Returns the host of a key, which may be an address with a path.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(files: &[(&str, &str)], registry: &str) -> Result<Option<RegistryLogin>, Problem> {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        stored_in(registry, |name| match name {
            "HOME" => Some(home.path().to_owned()),
            "XDG_RUNTIME_DIR" => Some(home.path().join("run")),
            _ => None,
        })
    }

    fn auths(key: &str, pair: &str) -> String {
        format!(
            r#"{{"auths":{{"{key}":{{"auth":"{}"}}}}}}"#,
            STANDARD.encode(pair)
        )
    }

    #[test]
    fn logins_of_both_programs_are_found() {
        let docker = ".docker/config.json";
        for (key, registry) in [
            ("ghcr.io", "ghcr.io"),
            ("https://r.example:5000/v2/", "r.example:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
        ] {
            let found = look(&[(docker, &auths(key, "alice:s:3cret"))], registry)
                .unwrap()
                .unwrap();
            assert_eq!(
                (&*found.user, &*found.password),
                ("alice", "s:3cret"),
                "{key}"
            );
            assert_eq!(found.registry, registry);
        }
        let both = [
            (docker, &*auths("r.example", "docker:1")),
            ("run/containers/auth.json", &*auths("r.example", "podman:1")),
        ];
        assert_eq!(look(&both, "r.example").unwrap().unwrap().user, "podman");
        assert_eq!(look(&both, "evil-r.example").unwrap(), None);
        assert_eq!(look(&[], "r.example").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_is_said_and_never_shown() {
        let file = ".docker/config.json";
        let refused = look(&[(file, "{")], "r.example").unwrap_err();
        assert_eq!(refused.code, Code::Config);
        let text = r#"{"auths":{"r.example":{"auth":"%%"}}}"#;
        assert_eq!(
            look(&[(file, text)], "r.example").unwrap_err().code,
            Code::Config
        );
        let text = r#"{"auths":{"r.example":{}},"credsStore":"pass"}"#;
        let refused = look(&[(file, text)], "r.example").unwrap_err();
        assert!(refused.why.contains("docker-credential-pass"), "{refused}");
        assert_eq!(look(&[(file, text)], "other.example").unwrap(), None);
        let login = look(&[(file, &auths("r.example", "a:hidden"))], "r.example").unwrap();
        assert!(!format!("{login:?}").contains("hidden"));
    }
}
