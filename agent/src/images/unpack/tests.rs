use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use harness::oci::Layer;
use tempfile::TempDir;

use super::*;

/// An image's root, beside something that belongs to the host.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::create_dir(folder.path().join("host")).unwrap();
        fs::write(folder.path().join("host/canary"), "alive").unwrap();
        Self { folder }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    fn unpack(&self, layers: &[Layer]) -> Result<Bytes, Problem> {
        let layers: Vec<Vec<u8>> = layers.iter().map(Layer::bytes).collect();
        self.unpack_within(&layers, u64::MAX)
    }

    fn unpack_within(&self, layers: &[Vec<u8>], most: u64) -> Result<Bytes, Problem> {
        let mut room = |bytes: Bytes| {
            if bytes.0 <= most {
                Ok(())
            } else {
                Err(Problem::new(Code::DiskFull, "", "no room"))
            }
        };
        let given_up = AtomicBool::new(false);
        let mut unpacking = Unpacking::new(&self.root(), &mut room, &given_up)?;
        for layer in layers {
            unpacking.add(layer.as_slice())?;
        }
        let footprint = unpacking.footprint();
        self.host_is_unharmed();
        Ok(footprint)
    }

    fn refused(&self, layers: &[Layer]) -> Problem {
        let problem = self.unpack(layers).unwrap_err();
        self.host_is_unharmed();
        problem
    }

    fn host_is_unharmed(&self) {
        let host = self.folder.path().join("host");
        assert_eq!(fs::read_dir(&host).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(host.join("canary")).unwrap(), "alive");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 2);
    }

    /// Everything in the root: path, and content, target or `/`.
    fn found(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.root()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                let shown = if kind.is_dir() {
                    waiting.push(path.clone());
                    "/".to_owned()
                } else if kind.is_symlink() {
                    format!("-> {}", fs::read_link(&path).unwrap().display())
                } else {
                    assert!(kind.is_file(), "{}", path.display());
                    fs::read_to_string(&path).unwrap()
                };
                let name = path.strip_prefix(self.root()).unwrap();
                found.insert(name.to_str().unwrap().to_owned(), shown);
            }
        }
        found
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.root().join(path)).unwrap().mode() & 0o7777
    }
}

fn new() -> Layer {
    Layer::default()
}

fn listed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(path, shown)| ((*path).to_owned(), (*shown).to_owned()))
        .collect()
}

#[test]
fn layers_add_replace_and_take_away() {
    let place = Place::new();
    let first = new()
        .folder("./", 0o755)
        .folder("etc/", 0o700)
        .file("etc/kept", 0o644, b"1")
        .file("etc/changed", 0o644, b"1")
        .file("etc/gone", 0o644, b"1")
        .file("cache/deep/a", 0o644, b"1")
        .file("cache/deep/b", 0o644, b"1")
        .file("becomes-folder", 0o644, b"1")
        .file("becomes-file/x", 0o644, b"1")
        .symlink("link", "/etc")
        .hard_link("same", "etc/kept");
    // The marks come after what the layer itself has there, and take away none of it.
    let second = new()
        .file("etc/changed", 0o644, b"2")
        .file("etc/.wh.gone", 0o644, b"")
        .file("etc/.wh.never-there", 0o644, b"")
        .file("cache/deep/c", 0o644, b"2")
        .file("cache/.wh..wh..opq", 0o644, b"")
        .folder("becomes-folder", 0o755)
        .file("becomes-folder/y", 0o644, b"2")
        .file("becomes-file", 0o644, b"2")
        .file(".wh..wh.plnk", 0o644, b"")
        .symlink("link", "etc/kept");
    place.unpack(&[first, second]).unwrap();
    let expect = listed(&[
        ("etc", "/"),
        ("etc/kept", "1"),
        ("etc/changed", "2"),
        ("cache", "/"),
        ("cache/deep", "/"),
        ("cache/deep/c", "2"),
        ("becomes-folder", "/"),
        ("becomes-folder/y", "2"),
        ("becomes-file", "2"),
        ("link", "-> etc/kept"),
        ("same", "1"),
    ]);
    assert_eq!(place.found(), expect);
}

#[test]
fn a_layer_takes_away_and_puts_anew_in_any_order() {
    let below = || {
        new()
            .file("d/old", 0o644, b"1")
            .file("d/sub/old", 0o644, b"1")
    };
    let marks = || new().file(".wh.d", 0o644, b"");
    let anew = |layer: Layer| layer.folder("d", 0o755).file("d/new", 0o644, b"2");
    let before = anew(marks());
    let after = anew(new()).file(".wh.d", 0o644, b"");
    for layer in [before, after] {
        let place = Place::new();
        place.unpack(&[below(), layer]).unwrap();
        assert_eq!(place.found(), listed(&[("d", "/"), ("d/new", "2")]));
    }
}

#[test]
fn modes_become_what_one_user_needs() {
    let place = Place::new();
    let layer = new()
        .file("su", 0o6755, b"")
        .file("secret", 0o600, b"")
        .file("group", 0o040, b"")
        .file("none", 0o000, b"")
        .file("tool", 0o700, b"")
        .file("writable", 0o666, b"")
        .folder("folder", 0o1700)
        .folder("closed", 0o000);
    place.unpack(&[layer]).unwrap();
    for (path, mode) in [
        ("su", 0o555),
        ("secret", 0o444),
        ("group", 0o000),
        ("none", 0o000),
        ("tool", 0o555),
        ("writable", 0o444),
        ("folder", 0o755),
        ("closed", 0o755),
    ] {
        assert_eq!(place.mode(path), mode, "{path}");
    }
    let modified = fs::metadata(place.root().join("tool")).unwrap().mtime();
    assert_eq!(modified, 0o14000000000);
}

#[test]
fn nothing_is_written_through_links_or_outside() {
    let out = "../host";
    for (layers, word) in [
        (vec![new().file("../host/new", 0o644, b"x")], "upwards"),
        (vec![new().file("a/../../host/new", 0o644, b"x")], "upwards"),
        (vec![new().file("/etc/new", 0o644, b"x")], "absolute"),
        (
            vec![new().symlink("l", out).file("l/new", 0o644, b"x")],
            "below",
        ),
        (
            vec![new().symlink("l", out), new().folder("l/sub", 0o755)],
            "below",
        ),
        (
            vec![new().symlink("l", "/").file("l/tmp/x", 0o644, b"x")],
            "below",
        ),
        (
            vec![new().file("f", 0o644, b"").file("f/x", 0o644, b"x")],
            "below",
        ),
        (
            vec![
                new().symlink("l", out),
                new().file("l/.wh.canary", 0o644, b""),
            ],
            "below",
        ),
        (
            vec![
                new().symlink("l", out),
                new().file("l/.wh..wh..opq", 0o644, b""),
            ],
            "below",
        ),
        (
            vec![new().symlink("l", out).hard_link("got", "l/canary")],
            "below",
        ),
        (vec![new().hard_link("got", "../host/canary")], "upwards"),
        (vec![new().hard_link("got", "/etc/passwd")], "absolute"),
        (vec![new().hard_link("got", "nothing")], "not there"),
        (
            vec![new().folder("d", 0o755).hard_link("got", "d")],
            "not there",
        ),
        (vec![new().file(".wh...", 0o644, b"")], "takes away"),
        (vec![new().file("a/.wh..", 0o644, b"")], "takes away"),
        (vec![new().file(".wh.", 0o644, b"")], "takes away"),
        (vec![new().symlink("empty", "")], "nowhere"),
        (vec![new().entry(b'S', "sparse", "", 0o644, b"")], "holes"),
    ] {
        let problem = Place::new().refused(&layers);
        assert_eq!(problem.code, Code::BadImage, "{problem}");
        assert!(problem.why.contains(word), "{word}: {problem}");
    }
}

#[test]
fn links_are_kept_as_they_are_and_replaced_not_followed() {
    let place = Place::new();
    let host = place.folder.path().join("host");
    let layers = [
        new()
            .symlink("dev", host.to_str().unwrap())
            .symlink("proc", "../host")
            .symlink("file", "../host/canary")
            .hard_link("again", "file"),
        new().folder("dev", 0o755).file("file", 0o644, b"mine"),
    ];
    place.unpack(&layers).unwrap();
    let expect = [
        ("dev", "/"),
        ("proc", "-> ../host"),
        ("file", "mine"),
        ("again", "-> ../host/canary"),
    ];
    assert_eq!(place.found(), listed(&expect));
}

/// Also where somebody else prepared the folder: what is found there is no reason to leave it.
#[test]
fn a_link_in_the_folder_is_not_followed_either() {
    let place = Place::new();
    symlink("../host", place.root().join("etc")).unwrap();
    let problem = place.refused(&[new().file("etc/passwd", 0o644, b"x")]);
    assert!(problem.why.contains("below"), "{problem}");
}

#[test]
fn devices_and_pipes_are_left_out() {
    let place = Place::new();
    let layer = new()
        .entry(b'3', "dev/null", "", 0o666, b"")
        .entry(b'4', "dev/sda", "", 0o666, b"")
        .entry(b'6', "pipe", "", 0o666, b"")
        .entry(b'3', ".wh.x", "", 0o666, b"");
    place.unpack(&[layer]).unwrap();
    assert_eq!(place.found(), listed(&[("dev", "/")]));
}

#[test]
fn an_image_takes_no_more_room_than_it_is_given() {
    let place = Place::new();
    let large = new().file("large", 0o644, &vec![b'x'; 3 << 20]);
    let footprint = place.unpack(std::slice::from_ref(&large)).unwrap();
    assert_eq!(footprint, Bytes((3 << 20) + ENTRY_BYTES));
    let problem = Place::new()
        .unpack_within(&[large.bytes()], 1 << 20)
        .unwrap_err();
    assert_eq!(problem.code, Code::DiskFull);
    let claims = new().claiming(5 << 20, b'0', "short", "", 0o644, b"x");
    let problem = Place::new().refused(&[claims]);
    assert!(
        problem.why.contains("middle") || problem.why.contains("cannot be read"),
        "{problem}"
    );
}

/// Ten million entries, made while they are read: given up at the bound, which earlier layers have almost
/// reached.
#[test]
fn too_many_entries_are_given_up() {
    struct Endless {
        entry: Vec<u8>,
        at: usize,
        left: u64,
    }
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.left == 0 {
                return Ok(0);
            }
            let count = buffer.len().min(self.entry.len() - self.at);
            buffer[..count].copy_from_slice(&self.entry[self.at..self.at + count]);
            self.at += count;
            if self.at == self.entry.len() {
                (self.at, self.left) = (0, self.left - 1);
            }
            Ok(count)
        }
    }
    let place = Place::new();
    let mut entry = new().entry(b'3', "dev/null", "", 0o666, b"").bytes();
    entry.truncate(512);
    let mut room = |_| Ok(());
    let given_up = AtomicBool::new(false);
    let mut unpacking = Unpacking::new(&place.root(), &mut room, &given_up).unwrap();
    unpacking.entries = MAX_ENTRIES - 1000;
    let problem = unpacking
        .add(Endless {
            entry,
            at: 0,
            left: 10_000_000,
        })
        .unwrap_err();
    assert!(problem.why.contains("more than 1000000"), "{problem}");
}

#[test]
fn what_nobody_waits_for_ends() {
    let place = Place::new();
    let mut room = |_| Ok(());
    let given_up = AtomicBool::new(true);
    let mut unpacking = Unpacking::new(&place.root(), &mut room, &given_up).unwrap();
    let layer = new().file("a", 0o644, b"x").bytes();
    assert_eq!(
        unpacking.add(layer.as_slice()).unwrap_err().code,
        Code::Cancelled
    );
}

/// What stands there is readable to whoever a job is, whatever the process's own mask.
#[test]
fn folders_are_open_whatever_the_mask() {
    let place = Place::new();
    fs::set_permissions(place.root(), fs::Permissions::from_mode(0o700)).unwrap();
    let old = rustix::process::umask(Mode::from_raw_mode(0o077));
    let unpacked = place.unpack(&[new().file("a/b/c", 0o644, b"x").folder("d", 0o700)]);
    rustix::process::umask(old);
    unpacked.unwrap();
    assert_eq!(
        ["", "a", "a/b", "d"].map(|path| place.mode(path)),
        [0o755; 4]
    );
}
