//! `cargo xtask test`: everything that has to hold.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{
    escape_table, packages,
    steps::{Outcome, Steps},
    workspace::{self, EXAMPLE, cargo, is_there, root, target},
};

/// Most exposure that `systemd-analyze security` may find in a unit, in tenths.
const UNIT_EXPOSURE: [(&str, u32); 2] = [
    ("compute-share-coordinator.service", 20),
    ("compute-share-agent.service", 50),
];

/// Runs every step and prints the summary.
///
/// # Errors
/// A step failed.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.step("packages", || passed(packages::ensure()));
    steps.step("nextest", || passed(ensure_nextest()));
    steps.step("fmt", || {
        workspace::run(&mut cargo(&["fmt", "--all", "--check"]))?;
        passed(workspace::run(&mut cargo(&[
            "fmt",
            "--check",
            "--manifest-path",
            EXAMPLE,
        ])))
    });
    steps.step("clippy", || {
        let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
        clippy.args(["--features", "compute-share-coordinator/measure"]);
        passed(workspace::run(clippy.args(["--", "-D", "warnings"])))
    });
    // Tests included: the same choice of features as the next step's, so that nothing is built twice.
    steps.step("build", || {
        let build = ["build", "--workspace", "--all-targets", "--locked"];
        passed(workspace::run(&mut cargo(&build)))
    });
    steps.step("tests", || {
        let mut tests = cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-fail-fast",
        ]);
        // The step before built them; the harness need not ask cargo once for every test.
        tests.env("COMPUTE_SHARE_TEST_BINARIES_ARE_FRESH", "1");
        tests.env(escape_table::NOTES, escape_table::fresh_notes()?);
        passed(workspace::run(&mut tests))
    });
    steps.step("escape table", escape_table::check);
    steps.step("doc tests", || {
        passed(workspace::run(&mut cargo(&[
            "test",
            "--workspace",
            "--doc",
            "--locked",
            "--quiet",
        ])))
    });
    steps.step("doc", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
        passed(workspace::run(doc.env("RUSTDOCFLAGS", "-D warnings")))
    });
    steps.step("example", || passed(check_example()));
    steps.step("deny", check_dependencies);
    steps.step("units", check_units);
    steps.finish()
}

fn passed(done: Result<()>) -> Result<Outcome> {
    done.map(|()| Outcome::Passed)
}

fn ensure_nextest() -> Result<()> {
    if cargo(&["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("cargo-nextest is there");
        return Ok(());
    }
    workspace::run(&mut cargo(&["install", "cargo-nextest", "--locked"]))
}

/// The demo's program is a workspace of its own, which `--workspace` does not reach.
fn check_example() -> Result<()> {
    let folder = target()?.join("examples");
    let mut clippy = cargo(&[
        "clippy",
        "--all-targets",
        "--locked",
        "--release",
        "--quiet",
    ]);
    clippy.args(["--manifest-path", EXAMPLE, "--target-dir"]);
    workspace::run(clippy.arg(&folder).args(["--", "-D", "warnings"]))?;
    let mut tests = cargo(&["nextest", "run", "--locked", "--release"]);
    tests.args(["--manifest-path", EXAMPLE, "--target-dir"]);
    workspace::run(tests.arg(&folder))
}

/// Advisories are left out: their database comes over the network.
fn check_dependencies() -> Result<Outcome> {
    if !cargo(&["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        let how = "cargo-deny is not here, so bans, licenses and sources were not checked; \
                   `cargo install cargo-deny --locked` brings it";
        return Ok(Outcome::Skipped(how.to_owned()));
    }
    // The checks look at the packages of every platform, also those that a build here never needs.
    workspace::run(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
    let deny = ["deny", "--offline", "--log-level", "error", "check"];
    passed(workspace::run(
        cargo(&deny).args(["bans", "licenses", "sources"]),
    ))
}

fn check_units() -> Result<Outcome> {
    if !is_there("systemd-analyze", &["--version"]) {
        let why = "systemd-analyze is not here, so the units' exposure was not checked";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    for (unit, most) in UNIT_EXPOSURE {
        let path = root().join("systemd").join(unit);
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager"]);
        let analyze = analyze.arg(format!("--threshold={most}")).arg(&path);
        let output = analyze.output().context("cannot start systemd-analyze")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let verdict = text.lines().rfind(|line| line.contains("exposure level"));
        println!(
            "{} (at most {}.{})",
            verdict.unwrap_or(unit),
            most / 10,
            most % 10
        );
        ensure!(
            output.status.success() && verdict.is_some(),
            "{unit} is too exposed, or cannot be read: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Outcome::Passed)
}
