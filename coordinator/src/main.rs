//! `compute-share-coordinator`: a thin program around the library. It reads arguments, prints answers, and turns
//! problems into lines and exit codes.

mod arguments;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use common::{code::Code, problem::Problem};
use coordinator::{Config, InitOptions, Running, Whom};

use self::{
    arguments::{AddOrg, Arguments, Command, DataFolder, Format, Init, LoginLink, Run},
    output::Output,
};

/// Threads for connections. The engine has its own.
const WORKERS: usize = 2;
/// Threads for what waits for a disk, at most.
const BLOCKING_THREADS: usize = 64;

fn main() -> ExitCode {
    link::memory::few_arenas();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(arguments.output);
    match perform(arguments.command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => output.problem(&problem),
    }
}

/// Shows help, or what is wrong with the arguments.
fn not_understood(error: &clap::Error) -> ExitCode {
    let Some(problem) = link::arguments::problem(error) else {
        error.exit();
    };
    let json = link::arguments::want_json(std::env::args(), "--output");
    Output::new(json.then_some(Format::Json)).problem(&problem)
}

fn perform(command: Command, output: &Output) -> Result<(), Problem> {
    match command {
        Command::Init(init) => initialise(init, output),
        Command::Run(run) => serve(run),
        Command::Check(DataFolder { data }) => {
            let checked = coordinator::check(&arguments::data_folder(data)?)?;
            output.checked(&checked)
        }
        Command::AddOrg(AddOrg { data, org, owner }) => {
            let config = Config::load(&arguments::data_folder(data.data)?)?;
            let outcome = coordinator::add_org(&config, &org, &owner)?;
            output.added_org(&org, &owner, &outcome)
        }
        Command::LoginLink(LoginLink {
            data,
            org,
            user,
            reset,
        }) => {
            let config = Config::load(&arguments::data_folder(data.data)?)?;
            let whom = Whom { org, user, reset };
            output.link(&coordinator::login_link(&config, &whom)?)
        }
        Command::Completions { shell } => {
            let mut program = Arguments::command();
            let name = program.get_name().to_owned();
            clap_complete::generate(shell, &mut program, name, &mut std::io::stdout());
            Ok(())
        }
        Command::Man { to } => {
            let pages = std::fs::create_dir_all(&to)
                .and_then(|()| clap_mangen::generate_to(Arguments::command(), &to));
            pages.map_err(|error| {
                let why = format!("{}: {error}", to.display());
                Problem::new(Code::Io, "The manual pages were not written", why)
            })
        }
    }
}

fn initialise(init: Init, output: &Output) -> Result<(), Problem> {
    let address = match init.address {
        Some(address) => address,
        None => arguments::announced_address(init.listen),
    };
    let outcome = coordinator::init(&InitOptions {
        data: arguments::data_folder(init.data.data)?,
        org: init.org,
        owner: init.owner,
        listen: init.listen,
        address,
    })?;
    output.link(&outcome.link)
}

fn serve(run: Run) -> Result<(), Problem> {
    link::telemetry::init(if run.log_json {
        link::telemetry::Format::Json
    } else {
        link::telemetry::Format::Text
    });
    let mut config = Config::load(&arguments::data_folder(run.data.data)?)?;
    config.listen = run.listen.unwrap_or(config.listen);
    config.clock_is_right = run.clock_is_right;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| not_started(&error))?;
    runtime.block_on(async {
        let stop = link::shutdown::signals().map_err(|error| not_started(&error))?;
        let mut running = coordinator::run(config).await?;
        announce(&running);
        tokio::select! {
            () = stop.cancelled() => {
                tell_systemd(sd_notify::NotifyState::Stopping);
                running.stop().await;
                Ok(())
            }
            problem = running.failed() => {
                // Nothing that is in memory may be told to anybody any more: no orderly end.
                let _ = Output::new(None).problem(&problem);
                std::process::exit(problem.code.exit_class() as i32);
            }
        }
    })
}

fn announce(running: &Running) {
    tell_systemd(sd_notify::NotifyState::Ready);
    let address = running.address();
    eprintln!("The coordinator listens on {address} (UDP). Ctrl-C stops it; jobs go on meanwhile.");
}

fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd was not told");
    }
}

fn not_started(error: &std::io::Error) -> Problem {
    Problem::new(
        Code::Io,
        "The coordinator was not started",
        error.to_string(),
    )
}
