//! What reviewers forget: file length, dependency direction, banned words, forgotten test files.
//!
//! Reads the sources and manifests as text, with the standard library alone.

mod manifests;
mod sources;

use std::collections::BTreeSet;

use crate::sources::{
    Source, code_of, declared_module, holds_word, is_root, modules_of, read, sources,
};

/// Longest file that is fine without a reason.
const LINES: usize = 400;
/// Longest file at all.
const MAX_LINES: usize = 600;

/// Files between the two lengths, each with the reason why it is one subject.
const LONG: &[(&str, &str)] = &[
    (
        "coordinator/core/src/tests/following.rs",
        "one world, and every order of words in it",
    ),
    (
        "agent/src/sandbox/filter/calls.rs",
        "one table: every system call a job may make",
    ),
    (
        "common/src/job.rs",
        "one noun: what is asked for and what is seen of it",
    ),
    (
        "coordinator/core/src/tests/jobs.rs",
        "one way of a job after the other",
    ),
    (
        "coordinator/core/src/tests/world.rs",
        "the builders of every test of the core",
    ),
];

/// These files name the words that they ban.
const SELF: &str = "tests/tests/tidy/";

/// The only file that may name the codec's crate, so that changing it is a change of one file.
const CODEC: &str = "common/src/wire/codec.rs";

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: [&str; 8] = [
    "util",
    "utils",
    "helper",
    "helpers",
    "misc",
    "manager",
    "common_utils",
    "stuff",
];

const BANNED: [(&str, &str); 9] = [
    ("todo!(", "do it now, or leave it out and say so"),
    ("unimplemented!(", "do it now, or leave it out and say so"),
    ("#[ignore", "a test that never runs proves nothing"),
    ("allow(dead_code", "remove the code, or use it"),
    ("allow(unused", "remove the code, or use it"),
    ("dbg!(", "left over from a search"),
    ("TODO", "do it now, or write an issue"),
    ("FIXME", "do it now, or write an issue"),
    ("XXX", "do it now, or write an issue"),
];

#[test]
fn files_are_one_subject_long() {
    let mut complaints = Vec::new();
    let mut needless: BTreeSet<&str> = LONG.iter().map(|(path, _)| *path).collect();
    for source in sources() {
        let lines = source.text.lines().count();
        let allowed = LONG.iter().any(|(path, _)| *path == source.path);
        if lines > LINES {
            needless.remove(source.path.as_str());
        }
        if lines > MAX_LINES || (lines > LINES && !allowed) {
            complaints.push(format!("{} has {lines} lines: cut it by noun", source.path));
        }
    }
    let short = needless
        .iter()
        .map(|path| format!("{path} need not be in LONG any more"));
    complaints.extend(short);
    none_of(&complaints);
}

#[test]
fn no_banned_words() {
    let mut complaints = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.path.starts_with(SELF))
    {
        for (number, line) in (1..).zip(source.text.lines()) {
            let found = BANNED.iter().filter(|(word, _)| holds_word(line, word));
            complaints.extend(
                found.map(|(word, why)| format!("{}:{number}: {word}: {why}", source.path)),
            );
        }
    }
    none_of(&complaints);
}

#[test]
fn names_say_what_a_file_holds() {
    let empty = |source: &Source| {
        let mut parts = source.path.trim_end_matches(".rs").split('/');
        parts.any(|part| EMPTY_NAMES.contains(&part))
    };
    let sources = sources();
    let complaints = sources.iter().filter(|source| empty(source));
    none_of(
        &complaints
            .map(|source| source.path.clone())
            .collect::<Vec<_>>(),
    );
}

/// A crate's root and every module of it say in their first line what they are.
#[test]
fn files_begin_with_what_they_are() {
    let bare = |source: &Source| !source.text.starts_with("//!") && !source.is_tests_of_a_module();
    let sources = sources();
    let complaints = sources.iter().filter(|source| bare(source));
    none_of(
        &complaints
            .map(|source| format!("{} does not begin with //!", source.path))
            .collect::<Vec<_>>(),
    );
}

/// A file that no `mod` names is compiled by nobody, and a test in it never runs.
#[test]
fn every_file_is_reached_from_a_root() {
    let sources = sources();
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<String> = paths
        .iter()
        .filter(|path| is_root(path))
        .map(ToString::to_string)
        .collect();
    while let Some(path) = waiting.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(source) = sources.iter().find(|source| source.path == path) else {
            continue;
        };
        waiting.extend(
            modules_of(source)
                .into_iter()
                .filter(|path| paths.contains(path.as_str())),
        );
    }
    let forgotten = paths.iter().filter(|path| !reached.contains(**path));
    none_of(
        &forgotten
            .map(|path| format!("no module or target names {path}"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_codec_is_named_in_one_file() {
    let sources = sources();
    let named = |source: &&Source| {
        !source.path.starts_with(SELF)
            && source.path != CODEC
            && code_of(&source.text).contains("bincode")
    };
    none_of(
        &sources
            .iter()
            .filter(named)
            .map(|source| source.path.clone())
            .collect::<Vec<_>>(),
    );
    assert!(
        code_of(&read(CODEC)).contains("bincode"),
        "{CODEC} has moved"
    );
}

fn none_of(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_rules_can_be_broken() {
    assert!(holds_word("    todo!()", "todo!("));
    assert!(holds_word("// TODO: later", "TODO") && !holds_word("MASTODON_TODOS", "TODO"));
    assert!(holds_word("#[allow(dead_code)]", "allow(dead_code"));
    assert_eq!(declared_module("pub(crate) mod plan;"), Some("plan"));
    assert_eq!(declared_module("mod tests {"), None);
    assert_eq!(declared_module("use crate::mod_name;"), None);
    assert!(is_root("agent/src/main.rs") && is_root("tests/tests/tidy.rs"));
    assert!(is_root("tests/tests/scenarios/main.rs") && !is_root("tests/tests/scenarios/jobs.rs"));
    assert!(!is_root("agent/src/supervise/tests/fake.rs") && is_root("examples/x/src/bin/y.rs"));
    let source = Source {
        path: "a/src/job.rs".to_owned(),
        text: "mod state;\n#[path = \"x.rs\"]\nmod y;".to_owned(),
    };
    assert_eq!(
        modules_of(&source),
        ["a/src/job/state.rs", "a/src/job/state/mod.rs", "a/src/x.rs"]
    );
}
