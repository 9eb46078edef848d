//! What lists of processes show of a supervisor: its role and its attempt's folder, by which it is found where
//! nothing else tells of it. One that was started ahead learns its folder later, and takes the name then.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStringExt as _, fs::FileExt as _},
    path::Path,
};

/// Words before the folder: the program and its role.
const BEFORE: usize = 2;
/// Longest name of an attempt's folder: three numbers and what is between them.
const NAME_BYTES: usize = 64;
/// What there is instead of the name, until there is one.
const UNNAMED: u8 = b'-';
/// Where a line of `stat` tells the first byte of the arguments, counted from after the program's name.
const ARGUMENTS: usize = 45;

/// Returns what stands in the place of a folder in `attempts` that is not known yet.
pub(super) fn unnamed(attempts: &Path) -> OsString {
    let name = OsString::from_vec(vec![UNNAMED; NAME_BYTES]);
    attempts.join(name).into_os_string()
}

/// Shows `folder` in the place of what this process was started with.
///
/// # Errors
/// There is no room for it, or the kernel does not let a process write to its own arguments.
pub(super) fn show(folder: &Path) -> io::Result<()> {
    let shown = fs::read("/proc/self/cmdline")?;
    let begin = shown.split_inclusive(|byte| *byte == 0).take(BEFORE);
    let begin: usize = begin.map(<[u8]>::len).sum();
    let room = shown.len().saturating_sub(begin + 1);
    let mut name = folder.as_os_str().as_encoded_bytes().to_vec();
    if name.len() > room {
        return Err(io::ErrorKind::StorageFull.into());
    }
    name.resize(room, 0);
    let stat = fs::read_to_string("/proc/self/stat")?;
    let numbers = stat.rsplit_once(") ").map(|(_, numbers)| numbers);
    let first = numbers.and_then(|numbers| numbers.split(' ').nth(ARGUMENTS)?.parse::<u64>().ok());
    let first = first.ok_or(io::ErrorKind::InvalidData)?;
    let memory = File::options().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&name, first + begin as u64)
}
