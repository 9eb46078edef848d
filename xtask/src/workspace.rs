//! Where the project's folders are, and how cargo and other programs are called in them.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The program that the demo submits, a workspace of its own.
pub(crate) const EXAMPLE: &str = "examples/train-depth/Cargo.toml";

/// How the programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// Returns the project's root folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Returns cargo's target folder, which is where this program itself lies.
pub(crate) fn target() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    let folder = own.ancestors().nth(2);
    Ok(folder
        .context("cargo builds into target/PROFILE")?
        .to_owned())
}

/// Returns a call of the cargo that runs this program, in the project's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end, after printing it.
///
/// # Errors
/// It cannot be started, or it does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Returns whether a program is on the search path and can be asked for its version.
pub(crate) fn is_there(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Builds the two programs, and returns the folder that they are in.
pub(crate) fn build_programs(profile: Profile) -> Result<PathBuf> {
    let mut build = cargo(&["build", "--locked", "--bins"]);
    build.args(["-p", "compute-share", "-p", "compute-share-coordinator"]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            build.arg("--release");
            "release"
        }
    };
    run(&mut build)?;
    Ok(target()?.join(folder))
}

/// Builds the demo's own programs, and returns the folder that they are in.
pub(crate) fn build_example() -> Result<PathBuf> {
    let folder = target()?.join("examples");
    let mut build = cargo(&["build", "--locked", "--release", "--manifest-path", EXAMPLE]);
    run(build.arg("--target-dir").arg(&folder))?;
    Ok(folder.join("release"))
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let pair = format!("{}={}", name.to_string_lossy(), value.to_string_lossy());
            words.insert(words.len() - 1, quote(&pair));
        }
    }
    words.extend(
        command
            .get_args()
            .map(|word| quote(&word.to_string_lossy())),
    );
    words.join(" ")
}

/// Returns a word as one would type it in a shell.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_can_be_pasted() {
        let mut command = Command::new("/usr/bin/cargo");
        command
            .args(["doc", "a b", "it's"])
            .env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            line_of(&command),
            r"'RUSTDOCFLAGS=-D warnings' cargo doc 'a b' 'it'\''s'"
        );
    }
}
