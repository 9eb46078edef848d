//! `compute-share`: chooses who this process is. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // A supervisor is small and starts with every attempt: it neither reads a command line nor has a runtime.
    if arguments
        .next()
        .is_some_and(|role| role == agent::supervise::ROLE)
    {
        agent::supervise::main(arguments)
    }
    agent::cli::main()
}
