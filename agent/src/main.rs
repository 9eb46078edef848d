//! `compute-share`: chooses who this process is. Everything else is in the library.

use std::process::ExitCode;

use agent::supervise;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything starts a thread: a supervisor makes namespaces, which only a single thread can.
    if args.next().is_some_and(|role| role == supervise::ROLE) {
        supervise::main(args);
    }
    link::memory::few_arenas();
    agent::cli::main()
}
