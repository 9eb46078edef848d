//! `completions man`: what shells and packages take from the program itself.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use common::{code::Code, problem::Problem};

use super::output::written;

#[derive(Debug, Subcommand)]
pub(super) enum Shell {
    Completions(Completions),
    Man(Man),
}

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  compute-share completions bash > ~/.local/share/bash-completion/completions/compute-share"
)]
pub(super) struct Completions {
    shell: clap_complete::Shell,
}

/// Print the manual page, or write those of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share man --to /usr/share/man/man1")]
pub(super) struct Man {
    /// Folder for one page a command
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Shell {
    pub(super) fn run(self, mut command: clap::Command) -> Result<ExitCode, Problem> {
        let mut text = Vec::new();
        match self {
            Self::Completions(completions) => {
                clap_complete::generate(
                    completions.shell,
                    &mut command,
                    "compute-share",
                    &mut text,
                );
            }
            Self::Man(Man { to: Some(folder) }) => write_pages(command, &folder)?,
            Self::Man(Man { to: None }) => {
                let rendered = clap_mangen::Man::new(command).render(&mut text);
                rendered.map_err(|error| {
                    Problem::new(Code::Internal, "cannot make the page", error.to_string())
                })?;
            }
        }
        written(std::io::stdout().write_all(&text))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write_pages(command: clap::Command, folder: &Path) -> Result<(), Problem> {
    let pages =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    pages.map_err(|error| {
        let why = format!("{}: {error}", folder.display());
        Problem::new(Code::Io, "cannot write the manual pages", why)
    })
}
