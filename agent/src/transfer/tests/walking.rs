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
fn a_folder_that_is_none_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), &[("a", "12345"), ("b", "12345")]);
    let bad = |path: &Path, options: &WalkOptions| {
        let problem = walk(path, options).unwrap_err();
        assert_eq!(problem.code, Code::BadFolder);
        problem.why
    };
    bad(&folder.path().join("missing"), &everything());
    bad(&folder.path().join("a"), &everything());
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
