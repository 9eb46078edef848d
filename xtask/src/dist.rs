//! `cargo xtask dist`: the two .deb packages, with units, man pages and completions.
//!
//! What goes where stands beside each program, under `[package.metadata.deb]` in its Cargo.toml; the pages and
//! completions are written by the programs themselves, so they cannot be out of date.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::workspace::{self, Profile, build_programs, cargo, root, target};

/// The packages, by the name of crate and program.
const PROGRAMS: [&str; 2] = ["compute-share", "compute-share-coordinator"];

/// Shells, and the file that each looks for.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "", ".bash"),
    ("zsh", "_", ""),
    ("fish", "", ".fish"),
];

/// Runs the command.
///
/// # Errors
/// The build fails, or cargo-deb cannot be installed or run.
pub(crate) fn run() -> Result<()> {
    ensure_cargo_deb()?;
    let programs = build_programs(Profile::Release)?;
    for program in PROGRAMS {
        write_pages(&programs.join(program), program)?;
    }
    let mut packages = Vec::new();
    for program in PROGRAMS {
        packages.push(pack(program)?);
    }
    println!();
    for package in packages {
        let bytes = fs::metadata(&package)
            .context("cargo-deb made no package")?
            .len();
        println!("{} ({} KiB)", package.display(), bytes / 1024);
    }
    Ok(())
}

fn ensure_cargo_deb() -> Result<()> {
    let version = cargo(&["deb", "--version"]).stderr(Stdio::null()).output();
    if version.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    workspace::run(&mut cargo(&["install", "cargo-deb", "--locked"]))
}

/// Lets a program write its man pages and completions to where its Cargo.toml looks for them.
fn write_pages(program: &Path, name: &str) -> Result<()> {
    let folder = root().join("target/dist").join(name);
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for made_anew in [&man, &completions] {
        let _was_not_there = fs::remove_dir_all(made_anew);
        fs::create_dir_all(made_anew)
            .with_context(|| format!("cannot make the folder {}", made_anew.display()))?;
    }
    workspace::run(Command::new(program).args(["man", "--to"]).arg(&man))?;
    for (shell, before, after) in SHELLS {
        let output = Command::new(program).args(["completions", shell]).output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        ensure!(
            output.status.success() && !output.stdout.is_empty(),
            "`{name} completions {shell}` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let file = completions.join(format!("{before}{name}{after}"));
        fs::write(file, output.stdout).context("cannot write the completions")?;
    }
    Ok(())
}

/// Returns the package's path.
fn pack(name: &str) -> Result<PathBuf> {
    let folder = target()?.join("debian");
    let mut deb = cargo(&[
        "deb",
        "--no-build",
        "--locked",
        "--package",
        name,
        "--output",
    ]);
    deb.arg(&folder).current_dir(root());
    let output = deb.stderr(Stdio::inherit()).output();
    let output = output.context("cannot start cargo-deb")?;
    ensure!(
        output.status.success(),
        "cargo-deb ended with {}",
        output.status
    );
    let printed = String::from_utf8_lossy(&output.stdout);
    let path = printed
        .lines()
        .last()
        .context("cargo-deb named no package")?;
    Ok(PathBuf::from(path))
}
