use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, net::UnixListener},
    process::Command,
};

use super::{
    super::{Walked, walk},
    *,
};

fn paths(walked: &Walked) -> Vec<String> {
    let manifest = walked.manifest().unwrap();
    let entries = manifest.tree().entries();
    entries.iter().map(|entry| entry.path.to_string()).collect()
}

fn fill(folder: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub(super) fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn ignore_files_count_outside_git_and_git_itself_is_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    fill(
        folder.path(),
        &[
            (".gitignore", "target/\n*.log\n"),
            (".computeshareignore", "private\n"),
            ("a.log", ""),
            ("src/main.rs", ""),
            ("src/.gitignore", "made.rs\n!keep.log\n"),
            ("src/made.rs", ""),
            ("src/keep.log", ""),
            ("target/debug/x", ""),
            ("private/key", ""),
            (".git/config", ""),
            ("module/.git", "gitdir: elsewhere"),
        ],
    );
    let walked = walk(folder.path(), &WalkOptions::default()).unwrap();
    let expect = [
        ".computeshareignore",
        ".gitignore",
        "module",
        "src",
        "src/.gitignore",
        "src/keep.log",
        "src/main.rs",
    ];
    assert_eq!(paths(&walked), expect);
    let exclude = vec!["src/*.rs".to_owned(), "module".to_owned()];
    let walked = walk(
        folder.path(),
        &WalkOptions {
            exclude,
            ..everything()
        },
    )
    .unwrap();
    let expect = [
        ".computeshareignore",
        ".gitignore",
        "a.log",
        "src",
        "src/.gitignore",
        "src/keep.log",
        "target",
        "target/debug",
        "target/debug/x",
    ];
    assert_eq!(paths(&walked), expect);
}

#[test]
fn ignore_files_above_count_only_in_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    fill(
        folder.path(),
        &[
            (".gitignore", "*.bin\n"),
            ("work/a.bin", ""),
            ("work/b", ""),
        ],
    );
    let work = folder.path().join("work");
    assert_eq!(
        paths(&walk(&work, &WalkOptions::default()).unwrap()),
        ["a.bin", "b"]
    );
    fs::create_dir(folder.path().join(".git")).unwrap();
    assert_eq!(paths(&walk(&work, &WalkOptions::default()).unwrap()), ["b"]);
}

/// Walks a folder that `spoil` was done to and returns the refusal.
#[track_caller]
fn refused(spoil: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), &[("fine", "")]);
    spoil(folder.path());
    let problem = walk(folder.path(), &everything()).unwrap_err();
    assert_eq!(problem.code, Code::BadFolder);
    problem.why
}

#[test]
fn what_cannot_travel_is_named() {
    let why = refused(|folder| fifo(&folder.join("pipe")));
    assert!(why.contains("\"pipe\" is a FIFO"), "{why}");
    let why = refused(|folder| drop(UnixListener::bind(folder.join("sock")).unwrap()));
    assert!(why.contains("\"sock\" is a socket"), "{why}");
    let why = refused(|folder| {
        fs::create_dir(folder.join("in")).unwrap();
        symlink("../../secret", folder.join("in/out")).unwrap();
    });
    assert!(
        why.contains("\"in/out\"") && why.contains("../../secret"),
        "{why}"
    );
    let why = refused(|folder| symlink("/etc/passwd", folder.join("abs")).unwrap());
    assert!(
        why.contains("\"abs\"") && why.contains("/etc/passwd"),
        "{why}"
    );
    let why = refused(|folder| {
        // Longer than what the system takes at once, so step by step.
        let mut path = folder.to_owned();
        for _ in 0..35 {
            path.push("d".repeat(60));
            fs::create_dir(&path).unwrap();
        }
    });
    assert!(why.contains("longer than 2048 bytes"), "{why}");
    assert!(why.len() < 2000, "{why}");
    let why = refused(|folder| {
        (0..30).for_each(|number| symlink("/x", folder.join(number.to_string())).unwrap());
    });
    assert!(why.ends_with("and 20 more"), "{why}");
}

#[test]
fn a_device_is_refused_by_name() {
    let test = "transfer::tests::walking::a_device_is_refused_by_name";
    if !disk_full::as_root(test) {
        return;
    }
    disk_full::own_mounts();
    let why = refused(|folder| {
        let place = folder.join("null");
        fs::write(&place, "").unwrap();
        rustix::mount::mount_bind("/dev/null", &place).unwrap();
    });
    assert!(why.contains("\"null\" is a device"), "{why}");
}

/// Makes a folder in a folder in a folder, so many in all, with a file in the last: deeper than a path can say.
fn make_deep(folder: &Path, name: &[u8], count: usize) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let (flags, private) = (OFlags::PATH | OFlags::CLOEXEC, Mode::RWXU);
    let mut inside = openat(CWD, folder, flags, Mode::empty()).unwrap();
    for _ in 0..count {
        mkdirat(&inside, name, private).unwrap();
        inside = openat(&inside, name, flags, Mode::empty()).unwrap();
    }
    openat(&inside, "f", OFlags::CREATE | OFlags::WRONLY, private).unwrap();
}

#[test]
fn paths_of_4096_bytes_are_refused_in_few_words_that_no_terminal_obeys() {
    let name = [b"\x1b[31m\n", &[b'd'; 243][..]].concat();
    let count = 4096 / name.len() + 1;
    let why = refused(|folder| make_deep(folder, &name, count));
    let lines: Vec<&str> = why.lines().collect();
    assert!(lines[0].starts_with("\"\\x1b[31m\\x0addd"), "{why}");
    assert!(lines[0].contains("longer than 2048 bytes"), "{why}");
    assert!(lines.len() < 11 && why.len() < 4000, "{why}");
    let plain = |letter: char| letter == '\n' || !letter.is_control();
    assert!(why.chars().all(plain), "{why}");
}

#[test]
fn a_hundred_thousand_empty_files_are_a_folder_like_any() {
    const FILES: usize = 100_000;
    let test = "transfer::tests::walking::a_hundred_thousand_empty_files_are_a_folder_like_any";
    if !disk_full::as_root(test) {
        return;
    }
    // In memory: making them takes longer than anything else here.
    let folder = tempfile::tempdir().unwrap();
    disk_full::small_disk(folder.path(), 1 << 30);
    for part in 0..100 {
        let part = folder.path().join(part.to_string());
        fs::create_dir(&part).unwrap();
        for number in 0..FILES / 100 {
            fs::File::create(part.join(number.to_string())).unwrap();
        }
    }
    let walked = walk(folder.path(), &everything()).unwrap();
    let announced = walked.announced();
    assert_eq!((announced.files, announced.bytes), (FILES as u64, Bytes(0)));
    let manifest = walked.manifest().unwrap();
    assert_eq!(manifest.tree().entries().len(), FILES + 100);
    assert_eq!(manifest.tree().file_count(), FILES as u64);
    assert!(manifest.chunks().is_empty());
    let kept = Manifest::decode(&manifest.encode().unwrap()).unwrap();
    assert_eq!(kept.id(), manifest.id());
}

#[test]
fn a_folder_that_is_none_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), &[("a", "12345"), ("b", "12345")]);
    let bad = |path: &Path, options: &WalkOptions| {
        let problem = walk(path, options).unwrap_err();
        assert_eq!(problem.code, Code::BadFolder);
        problem.why
    };
    let missing = bad(&folder.path().join("missing"), &everything());
    assert_eq!(missing, "there is no such folder");
    let file = bad(&folder.path().join("a"), &everything());
    assert_eq!(file, "it is not a folder");
    let few = WalkOptions {
        max_entries: 1,
        ..everything()
    };
    assert!(bad(folder.path(), &few).contains("more than 1 entries"));
    let small = WalkOptions {
        max_bytes: Bytes(9),
        ..everything()
    };
    assert!(bad(folder.path(), &small).contains("more than 9 B"));
    let exact = WalkOptions {
        max_bytes: Bytes(10),
        max_entries: 2,
        ..everything()
    };
    walk(folder.path(), &exact).unwrap();
    let glob = WalkOptions {
        exclude: vec!["{".to_owned()],
        ..everything()
    };
    bad(folder.path(), &glob);
}

#[test]
fn a_tree_says_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    let tree = tree_of(folder.path());
    assert_eq!(tree.file_count(), 6);
    assert_eq!(tree.bytes(), Bytes(2 * (3 << 20) + 5 + 5 + 18));
    let announced = walk(folder.path(), &everything()).unwrap().announced();
    assert_eq!((announced.files, announced.bytes), (6, tree.bytes()));
    let shared: usize = tree.files().map(|(_, chunks)| chunks.len()).sum();
    assert!(tree.chunks().len() < shared / 2 + 3);
    assert_eq!(tree_of(folder.path()).id(), tree.id());
    fs::set_permissions(
        folder.path().join("run.sh"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    assert_ne!(tree_of(folder.path()).id(), tree.id());
}

#[test]
fn names_are_kept_whatever_their_bytes_and_case() {
    let folder = tempfile::tempdir().unwrap();
    let names: [&[u8]; 6] = [b"README", b"Readme", b"b\xffd", b"new\nline", b"-o", b"~"];
    for name in names {
        fs::write(folder.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    symlink(OsStr::from_bytes(b"b\xffd"), folder.path().join("link")).unwrap();
    let walked = walk(folder.path(), &everything()).unwrap();
    let expect = [
        "-o",
        "README",
        "Readme",
        "b\\xffd",
        "link",
        "new\\x0aline",
        "~",
    ];
    assert_eq!(paths(&walked), expect);
}
