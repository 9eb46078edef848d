//! The kernel's small files: one value each, or lines of `KEY NUMBER`.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// More than any of them has.
const MAX_BYTES: usize = 16 << 10;

pub(in crate::sandbox) fn write(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = folder.join(file);
    let open = fs::OpenOptions::new().write(true).open(&path);
    open.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|error| named(&path, &error))
}

/// Returns whether the file is there.
pub(super) fn write_if_there(folder: &Path, file: &str, text: &str) -> io::Result<bool> {
    match write(folder, file, text) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn number(folder: &Path, file: &str) -> Option<u64> {
    let text = read(&folder.join(file))?;
    text.trim().parse().ok()
}

/// Reads a file that the kernel writes in one go; without asking for its size first, which it does not have.
fn read(path: &Path) -> Option<String> {
    let mut text = vec![0; MAX_BYTES];
    let length = fs::File::open(path)
        .and_then(|mut file| file.read(&mut text))
        .ok()?;
    text.truncate(length);
    String::from_utf8(text).ok()
}

/// Returns the number after `key` in a file of `KEY NUMBER` lines.
pub(super) fn keyed(folder: &Path, file: &str, key: &str) -> Option<u64> {
    let text = read(&folder.join(file))?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

pub(in crate::sandbox) fn made(folder: PathBuf) -> io::Result<PathBuf> {
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(folder),
    }
}

pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        fs::write(folder.path().join("memory.oom_control"), text).unwrap();
        assert_eq!(
            keyed(folder.path(), "memory.oom_control", "oom_kill"),
            Some(3)
        );
        assert_eq!(keyed(folder.path(), "memory.oom_control", "oom"), None);
    }
}
