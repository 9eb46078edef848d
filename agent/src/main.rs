//! `compute-share`: chooses who this process is. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::cli::main()
}
