//! The project's sources as text, and how they name one another.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders with sources; everything else at the root is not Rust.
const FOLDERS: [&str; 7] = [
    "agent",
    "certs",
    "common",
    "coordinator",
    "examples",
    "tests",
    "xtask",
];

/// A Rust file, its path relative to the project.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Whether it is the `tests.rs` beside a module, whose own header says what is tested.
    pub(crate) fn is_tests_of_a_module(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.contains("/src/") && self.path.contains("/tests/")
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the project")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&project().join(folder), &mut paths);
    }
    assert!(paths.len() > 50, "the sources have moved: {paths:?}");
    let source = |path: PathBuf| {
        let path = path
            .strip_prefix(project())
            .expect("found below the project");
        let path = path
            .to_str()
            .expect("names of sources are plain")
            .to_owned();
        Source {
            text: read(&path),
            path,
        }
    };
    paths.into_iter().map(source).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether cargo itself finds the file: a library, a program, a test or a benchmark.
pub(crate) fn is_root(path: &str) -> bool {
    let ends = ["/src/lib.rs", "/src/main.rs", "/build.rs"];
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let targets = ["/tests", "/src/bin", "/benches", "/examples"];
    let is_target = |folder: &str| targets.iter().any(|target| folder.ends_with(target));
    let (above, _) = folder.rsplit_once('/').unwrap_or(("", folder));
    ends.iter().any(|end| path.ends_with(end))
        || (is_target(folder) && !folder.contains("/src/") || folder.ends_with("/src/bin"))
        || (name == "main.rs" && is_target(above))
}

/// Returns where each module that a file declares may lie.
pub(crate) fn modules_of(source: &Source) -> Vec<String> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.trim_end_matches(".rs");
    let below = if is_root(&source.path) || stem == "mod" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let mut found = Vec::new();
    let mut given_path = None;
    for line in source.text.lines().map(str::trim) {
        if let Some(path) = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
        {
            given_path = Some(path.to_owned());
        } else if let Some(module) = declared_module(line) {
            match given_path.take() {
                Some(path) => found.push(format!("{folder}/{path}")),
                None => {
                    found.push(format!("{below}/{module}.rs"));
                    found.push(format!("{below}/{module}/mod.rs"));
                }
            }
        }
    }
    found
}

/// Returns the name in `mod name;`, with any visibility before it.
pub(crate) fn declared_module(line: &str) -> Option<&str> {
    let declaration = line.split("//").next()?.trim().strip_suffix(';')?;
    let (before, name) = declaration.rsplit_once("mod ")?;
    let visibility = before.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_visibility = visibility.is_empty() || visibility.starts_with("pub");
    (is_visibility && name.chars().all(plain)).then_some(name)
}

/// Returns a file without its comments.
pub(crate) fn code_of(text: &str) -> String {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// Whether a line holds the word as a whole, not as a part of another one.
pub(crate) fn holds_word(line: &str, word: &str) -> bool {
    let edge = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        let open_ended = word.ends_with(|c: char| !c.is_ascii_uppercase());
        edge(line[..at].chars().next_back()) && (open_ended || edge(after))
    })
}
