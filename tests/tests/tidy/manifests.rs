//! Which crate may use which: read from the manifests.

use std::collections::BTreeSet;

use crate::{none_of, sources::read};

/// What only a shell may use: input, output, clocks, randomness, threads.
const SHELL_ONLY: [&str; 12] = [
    "axum",
    "libc",
    "link",
    "nvml-wrapper",
    "quinn",
    "rand",
    "redb",
    "rustix",
    "rustls",
    "sysinfo",
    "tempfile",
    "tokio",
];

/// A crate of ours, and which other crates of ours its program may use.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("common", &[]),
    ("common/link", &["common", "certs"]),
    ("certs", &["common"]),
    ("coordinator/core", &["common"]),
    (
        "coordinator",
        &["common", "link", "certs", "coordinator-core"],
    ),
    ("coordinator/simulate", &["common", "coordinator-core"]),
    ("agent/core", &["common"]),
    ("agent", &["common", "link", "certs", "agent-core"]),
    (
        "tests",
        &[
            "common",
            "link",
            "certs",
            "coordinator-core",
            "coordinator",
            "agent-core",
            "agent",
        ],
    ),
    ("tests/mock-nvml", &[]),
    ("tests/rig", &["common", "link", "certs"]),
    ("xtask", &[]),
];

/// The crates without input and output.
const PURE: [&str; 3] = ["common", "coordinator/core", "agent/core"];

const OURS: [&str; 9] = [
    "common",
    "link",
    "certs",
    "coordinator-core",
    "coordinator",
    "agent-core",
    "agent",
    "mock-nvml",
    "xtask",
];

#[test]
fn dependencies_point_one_way() {
    let mut complaints = Vec::new();
    for (folder, allowed) in MAY_USE {
        let used = dependencies(&read(&format!("{folder}/Cargo.toml")), "[dependencies]");
        assert!(
            !used.is_empty() || folder == "tests/mock-nvml",
            "{folder} seems to use nothing"
        );
        for name in &used {
            let ours = OURS.contains(&name.as_str());
            if ours && !allowed.contains(&name.as_str()) {
                complaints.push(format!("{folder} must not use {name}"));
            }
            if PURE.contains(&folder) && SHELL_ONLY.contains(&name.as_str()) {
                complaints.push(format!("{folder} is pure and must not use {name}"));
            }
        }
    }
    none_of(&complaints);
}

#[test]
fn every_crate_is_in_the_table_of_directions() {
    let manifest = read("Cargo.toml");
    let members = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let members: BTreeSet<&str> = members
        .map(|(members, _)| members.split('"').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(members, known);
}

/// Returns the names under a heading of a manifest.
fn dependencies(manifest: &str, heading: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            // Also what only one platform uses.
            let of_a_target =
                line.starts_with("[target.") && line.ends_with(&heading.replace('[', "."));
            inside = line == heading || of_a_target;
        } else if inside && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or("");
            names.extend((!name.is_empty()).then(|| name.to_owned()));
        }
    }
    names
}

#[test]
fn manifests_are_read_heading_by_heading() {
    let manifest = "[dependencies]\n# why\nagent-core.workspace = true\nuuid = { workspace = true }\n\n[dev-dependencies]\ntokio.workspace = true\n";
    let names: Vec<String> = dependencies(manifest, "[dependencies]")
        .into_iter()
        .collect();
    assert_eq!(names, ["agent-core", "uuid"]);
}
