use std::{fs, os::unix::fs::PermissionsExt, time::SystemTime};

use common::{name::Name, tree::TreePath};
use rustix::fs::{Timespec, Timestamps, utimensat};

use super::*;
use crate::transfer::{WalkOptions, walk};

const ORG: OrgId = OrgId::from_bytes([1; 16]);

struct Site {
    place: tempfile::TempDir,
    memory: Memory,
}

impl Site {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("data")).unwrap();
        let (cache, folder) = (place.path().join("cache"), place.path().join("data"));
        let memory = Memory::of(&cache, ORG, &name("digits"), &folder).unwrap();
        Self { place, memory }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("data")
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.folder().join(path), content).unwrap();
    }

    /// Notes the folder as it is, as if it had been looked at so much later.
    fn note(&self, later: Duration) -> Manifest {
        let walked = walk(&self.folder(), &WalkOptions::default()).unwrap();
        let manifest = walked.manifest().unwrap();
        let walked = walked.seen_at(SystemTime::now() + later);
        let note = self.memory.describe(&walked, &manifest).unwrap();
        self.memory.note(&note).unwrap();
        manifest
    }

    /// Returns whether a file need not be read.
    fn knows(&self, path: &str) -> bool {
        let remembered = self.memory.recall().unwrap();
        let walked = walk(&self.folder(), &WalkOptions::default()).unwrap();
        let sizes = Sizes::of_folder(walked.announced().bytes);
        let path: TreePath = path.parse().unwrap();
        let (_, found) = walked.found();
        let Some((_, Found::File(listed))) = found.iter().find(|(at, _)| *at == path) else {
            panic!("{path:?} is no file");
        };
        remembered.chunks(&path, &listed.mark, sizes).is_some()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

const LATER: Duration = Duration::from_secs(100);

#[test]
fn what_nobody_has_touched_is_known_and_anything_else_is_not() {
    let site = Site::new();
    for path in ["same", "longer", "other", "run", "replaced"] {
        site.write(path, b"0123456789");
    }
    assert!(site.memory.recall().is_none());
    let manifest = site.note(LATER);
    assert!(site.knows("same") && site.knows("other") && site.knows("run"));
    let remembered = site.memory.recall().unwrap();
    assert_eq!(remembered.manifest().id(), manifest.id());
    site.write("longer", b"0123456789a");
    // Of the same length and with its old time: only the kernel's time tells.
    let before = fs::metadata(site.folder().join("other")).unwrap();
    site.write("other", b"9876543210");
    let modified = before.modified().unwrap();
    let file = fs::File::options()
        .write(true)
        .open(site.folder().join("other"));
    file.unwrap().set_modified(modified).unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(site.folder().join("run"), mode).unwrap();
    site.write("new", b"0123456789");
    fs::rename(site.folder().join("new"), site.folder().join("replaced")).unwrap();
    assert!(site.knows("same"));
    for path in ["longer", "other", "run", "replaced"] {
        assert!(!site.knows(path), "{path}");
    }
}

#[test]
fn a_file_that_may_change_unseen_is_not_trusted() {
    let site = Site::new();
    site.write("just", b"now");
    site.note(Duration::ZERO);
    assert!(!site.knows("just"));
    site.note(LATER);
    assert!(site.knows("just"));
}

#[test]
fn another_folder_dataset_or_org_is_another_memory() {
    let site = Site::new();
    let (cache, folder) = (site.place.path().join("cache"), site.folder());
    let of = |org, dataset: &str, folder: &Path| {
        Memory::of(&cache, org, &name(dataset), folder)
            .unwrap()
            .path
    };
    let same = of(ORG, "digits", &folder.join("."));
    assert_eq!(same, site.memory.path);
    assert_ne!(same, of(OrgId::from_bytes([2; 16]), "digits", &folder));
    assert_ne!(same, of(ORG, "letters", &folder));
    assert_ne!(same, of(ORG, "digits", site.place.path()));
}

#[test]
fn what_is_damaged_is_forgotten() {
    let site = Site::new();
    site.write("a", b"some bytes");
    site.note(LATER);
    let whole = fs::read(&site.memory.path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&site.memory.path, &bytes).unwrap();
        assert!(site.memory.recall().is_none(), "{at}");
        assert!(!site.memory.path.exists());
        fs::write(&site.memory.path, &whole[..at]).unwrap();
        assert!(site.memory.recall().is_none(), "cut at {at}");
    }
}

#[test]
fn no_more_than_some_folders_are_remembered() {
    let site = Site::new();
    let cache = site.place.path().join("cache");
    let walked = walk(&site.folder(), &WalkOptions::default()).unwrap();
    let manifest = walked.manifest().unwrap();
    for number in 0..MAX_FOLDERS + 5 {
        let dataset = name(&format!("d{number}"));
        let memory = Memory::of(&cache, ORG, &dataset, &site.folder()).unwrap();
        let note = memory.describe(&walked, &manifest).unwrap();
        memory.note(&note).unwrap();
        // One after the other, whatever the clock says.
        let at = Timespec {
            tv_sec: i64::try_from(number).unwrap(),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: at,
            last_modification: at,
        };
        utimensat(
            rustix::fs::CWD,
            &memory.path,
            &times,
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
    }
    let of = |number| Memory::of(&cache, ORG, &name(&format!("d{number}")), &site.folder());
    assert_eq!(
        fs::read_dir(cache.join("sent")).unwrap().count(),
        MAX_FOLDERS
    );
    assert!(of(4).unwrap().recall().is_none());
    assert!(of(5).unwrap().recall().is_some());
}
