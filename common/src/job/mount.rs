//! What a job reads and where it finds it: `digits@3:/data`, `job:42:/data/prev`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{InvalidJobRef, JobRef};
use crate::{
    dataset::{DatasetRef, InvalidDatasetRef},
    tree::TreePath,
};

/// A dataset and where in the sandbox it appears, always read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetMount {
    pub dataset: DatasetRef,
    /// Absolute path.
    pub path: String,
    /// Whether its files are to come when they are read, instead of all of them before the start.
    #[serde(default)]
    pub lazy: bool,
}

/// What a mount ends with that is lazy.
const LAZY: &str = ":lazy";

impl FromStr for DatasetMount {
    type Err = InvalidMount;

    fn from_str(text: &str) -> Result<Self, InvalidMount> {
        let (text, lazy) = match text.strip_suffix(LAZY) {
            Some(mount) => (mount, true),
            None => (text, false),
        };
        let (dataset, path) = text.split_once(':').ok_or(InvalidMount::NoPath)?;
        check_mount_path(path)?;
        let dataset = dataset.parse().map_err(InvalidMount::Dataset)?;
        Ok(Self {
            dataset,
            path: path.trim_end_matches('/').to_owned(),
            lazy,
        })
    }
}

/// What a job left, or one task of it, and where in the sandbox it appears, always read-only. Of an array as a whole
/// each task's is in a folder of the task's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactMount {
    pub job: JobRef,
    /// Absolute path.
    pub path: String,
}

/// Before the number of a job whose artifacts are meant.
const JOB_PREFIX: &str = "job:";

/// Something that a job reads, as people write it: `digits@3:/data`, `job:42:/data/prev` or `job:42.7:/data/prev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    Dataset(DatasetMount),
    Artifacts(ArtifactMount),
}

impl Mount {
    /// Returns where in the sandbox it appears.
    pub fn path(&self) -> &str {
        match self {
            Self::Dataset(mount) => &mount.path,
            Self::Artifacts(mount) => &mount.path,
        }
    }
}

impl FromStr for Mount {
    type Err = InvalidMount;

    fn from_str(text: &str) -> Result<Self, InvalidMount> {
        // A dataset may be called job: what comes after is its path then.
        match text.strip_prefix(JOB_PREFIX) {
            Some(rest) if !rest.starts_with('/') => {
                let (job, path) = rest.split_once(':').ok_or(InvalidMount::NoJobPath)?;
                if path.ends_with(LAZY) {
                    return Err(InvalidMount::LazyArtifacts);
                }
                check_mount_path(path)?;
                Ok(Self::Artifacts(ArtifactMount {
                    job: job.parse()?,
                    path: path.trim_end_matches('/').to_owned(),
                }))
            }
            _ => text.parse().map(Self::Dataset),
        }
    }
}

/// Folders of the sandbox that a dataset cannot cover.
const RESERVED_PATHS: [&str; 12] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev", "/etc", "/tmp", "/output",
    "/work",
];

/// Returns whether a dataset may appear at `path`: absolute, plain, and not where the sandbox has its own.
///
/// # Errors
/// Why not.
pub fn check_mount_path(path: &str) -> Result<(), InvalidMount> {
    let relative = path.strip_prefix('/').ok_or(InvalidMount::NotAbsolute)?;
    let plain = relative.trim_end_matches('/');
    if plain.parse::<TreePath>().is_err() {
        return Err(InvalidMount::NotPlain);
    }
    let top = format!("/{}", plain.split('/').next().unwrap_or(plain));
    if RESERVED_PATHS.contains(&top.as_str()) {
        return Err(InvalidMount::Reserved(top));
    }
    Ok(())
}

/// Why a text is not a [`DatasetMount`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMount {
    #[error("a mount looks like NAME[@VERSION]:/PATH; the path is missing")]
    NoPath,
    #[error(transparent)]
    Dataset(InvalidDatasetRef),
    #[error("a dataset's path in the job is absolute, as in digits:/data")]
    NotAbsolute,
    #[error("a dataset's path in the job is made of plain names, without '.', '..' or empty ones")]
    NotPlain,
    #[error("a dataset cannot be put under {0}, which the sandbox itself uses")]
    Reserved(String),
    #[error("what a job left is mounted as in job:42:/data/prev; the path is missing")]
    NoJobPath,
    #[error("what a job left is mounted as a whole; leave :lazy out")]
    LazyArtifacts,
    #[error(transparent)]
    Job(#[from] InvalidJobRef),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_says_whether_it_is_lazy() {
        let mount: DatasetMount = "digits@3:/data/:lazy".parse().unwrap();
        assert!(mount.lazy && mount.path == "/data" && mount.dataset.version == Some(3));
        assert!(!"digits:/lazy".parse::<DatasetMount>().unwrap().lazy);
        let left = "job:42:/data/prev:lazy".parse::<Mount>();
        assert_eq!(left, Err(InvalidMount::LazyArtifacts));
    }

    #[test]
    fn mounts_keep_clear_of_the_sandbox() {
        #[track_caller]
        fn check(text: &str, expect: Result<&str, &str>) {
            let got = text
                .parse::<DatasetMount>()
                .map(|mount| mount.path)
                .map_err(|e| e.to_string());
            assert_eq!(
                got.as_deref()
                    .map_err(|e| e.contains(expect.err().unwrap_or("-"))),
                expect.map_err(|_| true)
            );
        }
        check("digits@3:/data/digits/", Ok("/data/digits"));
        check("digits", Err("path is missing"));
        check("digits:lazy", Err("path is missing"));
        check("digits:/data:lazy", Ok("/data"));
        check("digits:data", Err("absolute"));
        check("digits:/data/../usr", Err("plain"));
        check("digits:/", Err("plain"));
        check("digits:/usr/lib", Err("/usr"));
        check("digits:/output", Err("/output"));
    }

    #[test]
    fn mounts_are_of_datasets_or_of_what_jobs_left() {
        let parse = |text: &str| text.parse::<Mount>();
        let artifacts = |text: &str| match parse(text) {
            Ok(Mount::Artifacts(mount)) => (mount.job.to_string(), mount.path),
            other => panic!("{text}: {other:?}"),
        };
        let (one, path) = (artifacts("job:42.7:/data/prev/"), "/data/prev".to_owned());
        assert_eq!(one, ("42.7".to_owned(), path.clone()));
        assert_eq!(artifacts("job:42:/data/prev"), ("42".to_owned(), path));
        for dataset in ["digits@3:/data", "job:/data", "job@2:/data"] {
            assert!(matches!(parse(dataset), Ok(Mount::Dataset(_))), "{dataset}");
        }
        for (bad, why) in [
            ("job:42", "the path is missing"),
            ("job:x:/data", "\"x\" is not a job"),
            ("job:42.x:/data", "is not a job"),
            ("job:0:/data", "is not a job"),
            ("job:42:data", "absolute"),
            ("job:42:/usr", "/usr"),
            ("job:42:/a/../b", "plain"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
