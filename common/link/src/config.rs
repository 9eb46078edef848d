//! Configuration files: TOML, read once into a type.
//!
//! The type says what is known (`#[serde(deny_unknown_fields)]`) and keeps its defaults beside its fields; here is
//! only how a mistake is shown.

use std::{fs, path::Path};

use common::{code::Code, problem::Problem};
use serde::de::DeserializeOwned;

/// Longest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Names less alike than this are not offered as what was meant.
const LEAST_ALIKE: f64 = 0.7;

/// Reads a configuration file.
///
/// # Errors
/// A [`Code::Config`] problem that shows the line, and for an unknown key the nearest known one.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Problem> {
    let what = format!("cannot use the configuration file {}", path.display());
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length > MAX_FILE_BYTES {
        let why = format!("it has {length} bytes; at most {MAX_FILE_BYTES} are read");
        return Err(Problem::new(Code::Config, what, why));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| Problem::new(Code::Config, what.clone(), error.to_string()))?;
    parse(&text).map_err(|error| problem(what, &error))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, toml::de::Error> {
    toml::from_str(text)
}

fn problem(what: String, error: &toml::de::Error) -> Problem {
    let problem = Problem::new(Code::Config, what, error.to_string().trim_end());
    match nearest_known(error.message()) {
        Some(known) => problem.help(format!("Did you mean `{known}`?")),
        None => problem,
    }
}

/// Returns the known key that is most like the unknown one.
///
/// serde says ``unknown field `x`, expected one of `a`, `b` `` and offers no other way to learn the names.
fn nearest_known(message: &str) -> Option<&str> {
    let mut names = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let unknown = names.next()?;
    names
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(alike, _)| *alike >= LEAST_ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Settings {
        listen: String,
        lease_seconds: u32,
        store: Store,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Store {
        cache_bytes: u64,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                listen: "[::]:7443".to_owned(),
                lease_seconds: 300,
                store: Store::default(),
            }
        }
    }

    fn load_text(text: &str) -> Result<Settings, Problem> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let settings = load_text("lease_seconds = 60\n[store]\ncache_bytes = 8\n").unwrap();
        assert_eq!(settings.lease_seconds, 60);
        assert_eq!(settings.store.cache_bytes, 8);
        assert_eq!(settings.listen, "[::]:7443");
        assert_eq!(load_text("").unwrap(), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
        let problem = load_text("listen = \"x\"\nlease_second = 60\n").unwrap_err();
        assert_eq!(problem.code, Code::Config);
        assert_eq!(problem.help, "Did you mean `lease_seconds`?");
        assert!(problem.why.contains("line 2"), "{}", problem.why);

        let nested = load_text("[store]\ncache_byte = 1\n").unwrap_err();
        assert_eq!(nested.help, "Did you mean `cache_bytes`?");
        let far = load_text("zzz = 1\n").unwrap_err();
        assert_eq!(far.help, Code::Config.help());
    }

    #[test]
    fn a_wrong_type_a_broken_file_and_no_file_are_configuration_problems() {
        for text in [
            "lease_seconds = \"soon\"",
            "lease_seconds = -1",
            "= = =",
            "\0",
        ] {
            assert_eq!(load_text(text).unwrap_err().code, Code::Config, "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let missing = load::<Settings>(&dir.path().join("none.toml")).unwrap_err();
        assert!(missing.what.contains("none.toml"));
        let long = dir.path().join("long.toml");
        fs::write(&long, "#".repeat((1 << 20) + 1)).unwrap();
        assert!(load::<Settings>(&long).unwrap_err().why.contains("at most"));
    }
}
