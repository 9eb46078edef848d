//! The driver's libraries and programs, where no CDI file names them: through the cache that the system's own
//! loader uses, and in the folders where distributions put them.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::files::Places;

/// What the driver's libraries begin with. Those of its container tools are not the driver's.
const BEGINNINGS: [&str; 6] = [
    "libcuda.so.",
    "libcudadebugger.so.",
    "libnvcuvid.so.",
    "libnvidia-",
    "libnvoptix.so.",
    "libnvidia-ml.so.",
];
const NOT_THE_DRIVERS: &str = "libnvidia-container";
const PROGRAMS: [&str; 1] = ["nvidia-smi"];
/// Where programs and libraries are besides what the cache knows.
const PROGRAM_FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/nvidia/bin", "/usr/lib/wsl/lib"];
const LIBRARY_FOLDERS: [&str; 6] = [
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/wsl/lib",
];
/// Most libraries of one driver; more is no driver.
const MAX_LIBRARIES: usize = 128;
/// Largest cache that is read, in bytes, and most entries in a folder that are looked at.
const MAX_CACHE_BYTES: u64 = 16 << 20;
const MAX_ENTRIES: usize = 1 << 16;

/// What the loader's cache begins with, and the size of its head and of one entry.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEAD_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// How the cache marks libraries of this processor.
#[cfg(target_arch = "x86_64")]
const OURS: u32 = 0x0303;
#[cfg(target_arch = "aarch64")]
const OURS: u32 = 0x0a03;

/// Returns the driver's libraries, by the name that programs load.
pub(super) fn libraries(places: &Places) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let cached = cache(&places.real("/etc/ld.so.cache")).unwrap_or_default();
    for (name, path) in parse(&cached).unwrap_or_default() {
        add(&mut found, &name, &places.real(&path));
    }
    for folder in LIBRARY_FOLDERS {
        let Ok(entries) = fs::read_dir(places.real(folder)) else {
            continue;
        };
        for entry in entries.flatten().take(MAX_ENTRIES) {
            if let Some(name) = entry.file_name().to_str() {
                add(&mut found, name, &entry.path());
            }
        }
    }
    found
}

/// Returns the driver's programs, by name.
pub(super) fn programs(places: &Places) -> BTreeMap<String, PathBuf> {
    let find = |name: &str| {
        let mut folders = PROGRAM_FOLDERS.iter();
        let path = |folder: &&str| trusted(&places.real(folder).join(name));
        Some((name.to_owned(), folders.find_map(path)?))
    };
    PROGRAMS.iter().filter_map(|name| find(name)).collect()
}

fn add(found: &mut BTreeMap<String, PathBuf>, name: &str, path: &Path) {
    let driver = BEGINNINGS.iter().any(|begin| name.starts_with(begin))
        && !name.starts_with(NOT_THE_DRIVERS);
    if driver && name.contains(".so.") && found.len() < MAX_LIBRARIES && !found.contains_key(name) {
        found.extend(trusted(path).map(|path| (name.to_owned(), path)));
    }
}

/// Returns the file itself, behind every link, where only the system or this agent's user can change it.
pub(super) fn trusted(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let meta = fs::symlink_metadata(&path).ok()?;
    let owners = [0, rustix::process::geteuid().as_raw()];
    let ours = owners.contains(&meta.uid()) && meta.mode() & 0o002 == 0;
    (meta.is_file() && ours).then_some(path)
}

fn cache(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(MAX_CACHE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the loader's cache: pairs of name and path, for this processor. `None` where it is none.
fn parse(cache: &[u8]) -> Option<Vec<(String, String)>> {
    // An older form may stand before it.
    let start = cache.windows(MAGIC.len()).position(|here| here == MAGIC)?;
    let cache = &cache[start..];
    let number = |at: usize| {
        let bytes = cache.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let text = |at: u32| {
        let rest = cache.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok().map(str::to_owned)
    };
    let count = usize::try_from(number(MAGIC.len())?).ok()?;
    let mut found = Vec::new();
    for entry in 0..count.min(MAX_ENTRIES) {
        let at = HEAD_BYTES + entry * ENTRY_BYTES;
        if number(at)? == OURS {
            found.push((text(number(at + 4)?)?, text(number(at + 8)?)?));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machines_own_cache_can_be_read_and_garbage_is_no_cache() {
        let own = cache(Path::new("/etc/ld.so.cache")).unwrap();
        let found = parse(&own).unwrap();
        let libc = found.iter().find(|(name, _)| name == "libc.so.6").unwrap();
        assert!(Path::new(&libc.1).exists(), "{libc:?}");
        for cut in [0, 10, 30, 60, 100, own.len() / 2] {
            parse(&own[..cut]);
        }
        let mut lies = own;
        lies[20..24].copy_from_slice(&u32::MAX.to_ne_bytes());
        lies[52..60].copy_from_slice(&[0xff; 8]);
        assert_eq!(parse(&lies), None);
    }

    #[test]
    fn libraries_are_found_by_the_name_that_programs_load_behind_their_links() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/lib64");
        fs::create_dir_all(&folder).unwrap();
        let root_of = fs::canonicalize(root.path()).unwrap();
        for name in ["libcuda.so.550.1", "libnvidia-container.so.1", "libz.so.1"] {
            fs::write(folder.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("libcuda.so.550.1", folder.join("libcuda.so.1")).unwrap();
        let everybodys = folder.join("libnvidia-ml.so.1");
        fs::write(&everybodys, "").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(&everybodys, open).unwrap();
        let found = libraries(&Places::under(root.path()));
        let file = root_of.join("usr/lib64/libcuda.so.550.1");
        let expect =
            ["libcuda.so.1", "libcuda.so.550.1"].map(|name| (name.to_owned(), file.clone()));
        assert_eq!(found, expect.into());
    }
}
