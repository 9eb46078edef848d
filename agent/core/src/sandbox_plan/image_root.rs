//! An image as the root of a sandbox: bound entry by entry wherever something of ours stands beside it, so that
//! whatever is mounted later stands in folders of our own, and no link of an image is ever followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{Access, Mount, TopEntry, mounts};

/// What is the sandbox's own whatever an image has there.
const OURS: [&str; 6] = ["/dev", "/proc", "/sys", "/tmp", "/work", "/output"];
/// The outermost folder.
const ROOT: &str = "/";

/// An unpacked image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRoot {
    /// Where its files are on the machine; absolute. Nobody writes there.
    pub folder: PathBuf,
    /// What stands in each of [`super::folders_to_list`] that the image has, by path and name.
    pub folders: BTreeMap<String, BTreeMap<String, TopEntry>>,
    /// What the image sets; the job's own wins.
    pub env: BTreeMap<String, String>,
}

/// Returns the folders, the outermost included, into which things of the sandbox's own are put: what an image
/// has there has to be listed.
pub(super) fn shared_folders<'a>(targets: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut shared = BTreeSet::from([ROOT.to_owned()]);
    for target in targets {
        if OURS.iter().any(|ours| is_within(target, ours)) {
            continue;
        }
        let above = target.match_indices('/').map(|(end, _)| &target[..end]);
        shared.extend(above.filter(|path| !path.is_empty()).map(str::to_owned));
    }
    shared
}

/// Returns what of an image is where, around `own`, which comes after it.
pub(super) fn around(image: &ImageRoot, own: &[Mount]) -> Vec<Mount> {
    let targets: BTreeSet<&str> = own.iter().map(|mount| mount.target.as_str()).collect();
    let shared = shared_folders(targets.iter().copied());
    let mut mounts = Vec::new();
    for (folder, entries) in &image.folders {
        // A folder that is not shared comes as a whole with the one around it.
        if !shared.contains(folder) || OURS.iter().any(|ours| is_within(folder, ours)) {
            continue;
        }
        for (name, entry) in entries {
            let target = match folder.as_str() {
                ROOT => format!("/{name}"),
                folder => format!("{folder}/{name}"),
            };
            let ours = OURS.contains(&&*target) || targets.contains(&*target);
            if ours || shared.contains(&target) || is_hidden(&target, &targets) {
                continue;
            }
            mounts.push(match entry {
                TopEntry::Link(to) => mounts::link(&target, to),
                TopEntry::Folder | TopEntry::File => {
                    let source = image.folder.join(target.trim_start_matches('/'));
                    mounts::bind(&target, &source, Access::ReadOnly, false)
                }
            });
        }
    }
    mounts
}

/// Returns whether a path is inside of something that is ours as a whole.
fn is_hidden(target: &str, own: &BTreeSet<&str>) -> bool {
    Path::new(target)
        .ancestors()
        .skip(1)
        .any(|above| above.to_str().is_some_and(|above| own.contains(above)))
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox_plan::Content;

    fn image(folders: &[(&str, &[(&str, TopEntry)])]) -> ImageRoot {
        let entries = |entries: &[(&str, TopEntry)]| {
            entries
                .iter()
                .map(|(name, entry)| ((*name).to_owned(), entry.clone()))
                .collect()
        };
        ImageRoot {
            folder: "/cache/image".into(),
            folders: folders
                .iter()
                .map(|(path, list)| ((*path).to_owned(), entries(list)))
                .collect(),
            env: BTreeMap::new(),
        }
    }

    fn told(mounts: &[Mount]) -> Vec<String> {
        let one = |mount: &Mount| match &mount.content {
            Content::Bind { source, .. } => format!("{} = {}", mount.target, source.display()),
            Content::Link { to } => format!("{} -> {to}", mount.target),
            other => format!("{} {other:?}", mount.target),
        };
        mounts.iter().map(one).collect()
    }

    #[test]
    fn an_image_is_bound_around_what_is_ours() {
        let link = |to: &str| TopEntry::Link(to.to_owned());
        let image = image(&[
            (
                "/",
                &[
                    ("bin", link("usr/bin")),
                    ("usr", TopEntry::Folder),
                    ("etc", TopEntry::Folder),
                    ("init", TopEntry::File),
                    ("data", TopEntry::Folder),
                    ("dev", link("/host")),
                    ("proc", TopEntry::Folder),
                    ("tmp", link("/etc")),
                    ("work", TopEntry::File),
                ],
            ),
            (
                "/etc",
                &[
                    ("passwd", link("/etc/shadow")),
                    ("ssl", TopEntry::Folder),
                    ("mtab", link("x")),
                ],
            ),
            (
                "/data",
                &[("mine", TopEntry::Folder), ("theirs", link("/mine"))],
            ),
            (
                "/data/mine",
                &[("kept", TopEntry::File), ("set", TopEntry::File)],
            ),
            ("/dev", &[("null", TopEntry::File)]),
        ]);
        let own = [
            "/dev/null",
            "/etc/passwd",
            "/etc/mtab",
            "/tmp",
            "/data/mine/set",
        ];
        let own: Vec<Mount> = own
            .iter()
            .map(|target| mounts::link(target, "ours"))
            .collect();
        let expect = [
            "/bin -> usr/bin",
            "/init = /cache/image/init",
            "/usr = /cache/image/usr",
            "/data/theirs -> /mine",
            "/data/mine/kept = /cache/image/data/mine/kept",
            "/etc/ssl = /cache/image/etc/ssl",
        ];
        let told: BTreeSet<String> = told(&around(&image, &own)).into_iter().collect();
        assert_eq!(told, expect.iter().map(|&line| line.to_owned()).collect());
    }

    /// Whatever an image has, nothing of ours is put into a folder that is not our own.
    #[test]
    fn no_parent_of_ours_is_the_images() {
        let evil = TopEntry::Link("/cache".to_owned());
        for entry in [evil, TopEntry::File, TopEntry::Folder] {
            let image = image(&[(
                "/",
                &[
                    ("etc", entry.clone()),
                    ("data", entry.clone()),
                    ("dev", entry),
                ],
            )]);
            let own = [
                "/etc/passwd",
                "/data/deep/set",
                "/dev/null",
                "/data/deep/other",
            ];
            let own: Vec<Mount> = own
                .iter()
                .map(|target| mounts::link(target, "ours"))
                .collect();
            assert!(around(&image, &own).is_empty());
        }
    }

    #[test]
    fn shared_folders_are_all_above_what_is_ours() {
        let shared = shared_folders([
            "/dev/null",
            "/etc/passwd",
            "/a/b/c",
            "/work",
            "/tmp/x/y",
            "/tmpx/y",
        ]);
        let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
        assert_eq!(shared, ["/", "/a", "/a/b", "/etc", "/tmpx"]);
    }
}
