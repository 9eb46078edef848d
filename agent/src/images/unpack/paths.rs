//! Names in a layer: which are taken, and which mean that something goes.

use common::problem::Problem;

use crate::images::{bad_image, tarball::MAX_PATH_BYTES};

/// Longest name of one file, in bytes; file systems allow no more.
const MAX_NAME_BYTES: usize = 255;
/// Most folders in one another.
const MAX_DEPTH: usize = 128;
/// What a name begins with that takes another away.
const WHITEOUT: &[u8] = b".wh.";
/// Names of the file system that these marks come from; only one of them says something.
const MARKS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Add,
    /// What lower layers have at this name goes.
    Remove {
        folder: &'a [u8],
        name: &'a [u8],
    },
    /// Everything that lower layers have in this folder goes.
    Clear {
        folder: &'a [u8],
    },
    Ignore,
}

/// Returns a path without empty and `.` parts; the empty path is the root.
pub(super) fn clean(path: &[u8]) -> Result<Vec<u8>, Problem> {
    let refused = |why: &str| bad_image(format!("it has the path {}, {why}", shown(path)));
    if path.first() == Some(&b'/') {
        return Err(refused("which is absolute"));
    }
    if path.is_empty() || path.contains(&0) || path.len() > MAX_PATH_BYTES {
        return Err(refused("which is no path"));
    }
    let mut clean = Vec::with_capacity(path.len());
    let mut depth = 0;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(refused("which leads upwards")),
            part if part.len() > MAX_NAME_BYTES => {
                return Err(refused("which has too long a name"));
            }
            part => {
                if depth > 0 {
                    clean.push(b'/');
                }
                clean.extend_from_slice(part);
                depth += 1;
            }
        }
    }
    if depth > MAX_DEPTH {
        return Err(refused("which is too deep"));
    }
    Ok(clean)
}

/// Returns what an entry at a clean path does.
pub(super) fn change(path: &[u8]) -> Result<Change<'_>, Problem> {
    let cut = path.iter().rposition(|byte| *byte == b'/');
    let (folder, last) = cut.map_or((&path[..0], path), |cut| (&path[..cut], &path[cut + 1..]));
    if last == OPAQUE {
        return Ok(Change::Clear { folder });
    }
    if last.starts_with(MARKS) {
        return Ok(Change::Ignore);
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(Change::Add),
        Some(b"" | b"." | b"..") => Err(bad_image(format!(
            "it takes away {}, which is no file",
            shown(path)
        ))),
        Some(name) => Ok(Change::Remove { folder, name }),
    }
}

/// Returns a path as a person can read it.
pub(super) fn shown(path: &[u8]) -> String {
    let path = &path[..path.len().min(200)];
    format!("{:?}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain_or_refused() {
        for (path, expect) in [("./", ""), ("a//b/./c/", "a/b/c"), (".a/..b", ".a/..b")] {
            assert_eq!(clean(path.as_bytes()).unwrap(), expect.as_bytes());
        }
        let (long, deep) = ("x".repeat(256), "d/".repeat(129));
        for path in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "../x",
            "a\0b",
            &*long,
            &*deep,
        ] {
            clean(path.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn whiteouts_name_one_file_of_their_folder() {
        let is = |path: &'static str, expect| assert_eq!(change(path.as_bytes()).unwrap(), expect);
        is("a/b", Change::Add);
        is(
            "a/.wh.b",
            Change::Remove {
                folder: b"a",
                name: b"b",
            },
        );
        is(
            ".wh.b",
            Change::Remove {
                folder: b"",
                name: b"b",
            },
        );
        is("a/.wh..wh..opq", Change::Clear { folder: b"a" });
        is(".wh..wh.plnk", Change::Ignore);
        is(".why", Change::Add);
        for path in ["a/.wh.", "a/.wh..", "a/.wh...", ".wh..."] {
            change(path.as_bytes()).unwrap_err();
        }
    }
}
