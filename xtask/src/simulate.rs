//! `cargo xtask simulate`: the real schedule beside two rivals. The program says its help and its problems itself.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::workspace::{cargo, target};

const PACKAGE: &str = "compute-share-simulate";

/// Builds the program and runs it with these arguments, in the folder that the command was given in.
///
/// # Errors
/// It cannot be built.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let build = ["build", "--locked", "--quiet", "--release", "-p", PACKAGE];
    let built = cargo(&build).status().context("cannot start cargo")?;
    ensure!(built.success(), "{PACKAGE} was not built");
    let program = target()?.join("release").join(PACKAGE);
    let status = Command::new(&program).args(arguments).status();
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
