//! The owner's file on disk: read at the start, and again whenever it was changed.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use agent_core::owner::OwnerRules;
use common::{code::Code, problem::Problem};

/// Longest file.
const MAX_BYTES: u64 = 64 << 10;

/// The rules in force and the file that they came from.
#[derive(Debug)]
pub(crate) struct OwnerFile {
    path: PathBuf,
    seen: Option<Seen>,
    rules: Arc<OwnerRules>,
    problem: Option<Problem>,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruled {
    pub(crate) rules: Arc<OwnerRules>,
    /// What is wrong with the file since it was changed.
    pub(crate) problem: Option<Problem>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    changed_at: Option<SystemTime>,
    bytes: u64,
}

impl OwnerFile {
    /// Reads the file. Without one, nothing is kept back but what every owner needs.
    ///
    /// # Errors
    /// The file is there and cannot be used: an agent must not lend more than its owner meant.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Problem> {
        let mut file = Self {
            seen: look(&path),
            path,
            rules: Arc::default(),
            problem: None,
        };
        file.rules = Arc::new(read(&file.path)?);
        Ok(file)
    }

    pub(crate) fn ruled(&self) -> Ruled {
        Ruled {
            rules: Arc::clone(&self.rules),
            problem: self.problem.clone(),
        }
    }

    /// Reads the file again if it was changed. A file that cannot be used changes nothing but what is said.
    pub(crate) fn refresh(&mut self) -> Ruled {
        let seen = look(&self.path);
        if seen != self.seen {
            self.seen = seen;
            match read(&self.path) {
                Ok(rules) => {
                    tracing::info!("the owner's rules were read again");
                    self.rules = Arc::new(rules);
                    self.problem = None;
                }
                Err(problem) => {
                    tracing::warn!(%problem, "the owner's rules stay as they were");
                    self.problem = Some(problem);
                }
            }
        }
        self.ruled()
    }
}

fn look(path: &Path) -> Option<Seen> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Seen {
        changed_at: metadata.modified().ok(),
        bytes: metadata.len(),
    })
}

fn read(path: &Path) -> Result<OwnerRules, Problem> {
    let refuse = |why: String| {
        let what = format!("{} cannot be used", path.display());
        Problem::new(Code::Config, what, why)
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(OwnerRules::default()),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(refuse(format!("it is longer than {MAX_BYTES} bytes")));
        }
        _ => {}
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    if text
        .lines()
        .all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(OwnerRules::default());
    }
    serde_saphyr::from_str(&text).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use common::units::Bytes;

    use super::*;

    #[test]
    fn the_shipped_example_is_read_and_every_key_in_it_means_something() {
        let text = include_str!("../../../systemd/owner.yaml.example");
        let rules: OwnerRules = serde_saphyr::from_str(text).unwrap();
        assert_eq!(rules.cpu_limit.map(|percent| percent.value()), Some(80));
        let needs = rules.needs();
        assert!(needs.presence && needs.battery && needs.metered && needs.other_cpu);
        assert!(needs.temperature && needs.memory_pressure);
        assert_eq!(needs.programs, ["steam", "blender"]);
        assert_eq!(rules.labels.len(), 2);
        assert!(rules.when.hours.is_some() && rules.admits.max_runtime.is_some());
        // With what it only mentions, too.
        let all = text.replace("  # members", "  members");
        let rules: OwnerRules = serde_saphyr::from_str(&all).unwrap();
        assert_eq!(rules.admits.members.map(|members| members.len()), Some(2));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, expect) in [
            (
                "preset: idle\nwhen:\n  hours: [noon]\n",
                "line 3",
                "is not a day",
            ),
            ("when:\n  idel_for: 3s\n", "line 2", "\"idle_for\""),
            (
                "yield:\n\n  on_return: stop\n",
                "line 3",
                "continue, freeze, evict",
            ),
            (
                "what:\n  network: [all]\n",
                "line 2",
                "none, internet, full",
            ),
            ("when:\n  not_on_battery: perhaps\n", "line 2", "bool"),
            ("when: [\n", "line ", ""),
        ] {
            let error = serde_saphyr::from_str::<OwnerRules>(text)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(line) && error.contains(expect),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_changed_file_takes_effect_and_a_broken_one_only_complains() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("owner.yaml");
        let mut file = OwnerFile::open(path.clone()).unwrap();
        assert_eq!(*file.rules, OwnerRules::default());

        std::fs::write(&path, "resources:\n  memory_limit: 16384\n  gpus: none\n").unwrap();
        assert_eq!(file.refresh().problem, None);
        assert_eq!(file.rules.memory_limit, Some(Bytes::gib(16)));

        std::fs::write(&path, "resources:\n  memory_limt: 1\n").unwrap();
        let problem = file.refresh().problem.unwrap();
        assert!(
            problem
                .why
                .contains("nearest known key is \"memory_limit\""),
            "{problem}"
        );
        assert_eq!(file.rules.memory_limit, Some(Bytes::gib(16)));
        assert_eq!(
            OwnerFile::open(path.clone()).unwrap_err().code,
            Code::Config
        );

        std::fs::write(&path, "# nothing\n").unwrap();
        assert_eq!(file.refresh().problem, None);
        assert_eq!(*file.rules, OwnerRules::default());
    }
}
