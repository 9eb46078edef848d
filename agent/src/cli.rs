//! The command line of `compute-share`: arguments, who does what, exit codes. One file per noun below.
//!
//! Nothing is decided here that the coordinator decides: a command parses, asks, shows. `main` calls it.

mod account;
mod approval;
mod audit;
mod cache;
mod daemon;
mod dataset;
mod device;
mod doctor;
mod each;
mod follow;
mod graph_file;
mod image;
mod invite;
mod job;
mod job_file;
mod job_flags;
mod machine;
mod member;
mod org;
mod project;
mod run;
mod secret;
mod shell;
mod sign_in;
mod submit;
mod token;
mod top;
mod uninstall;
mod usage;
mod weight;

mod amounts;
mod confirm;
mod departure;
mod escape;
mod explain;
mod limits_file;
mod moments;
mod output;
mod pages;
mod pausing;
mod progress;
mod prompt;
mod screen;
mod sending;
mod session;
mod sparkline;
mod table;
mod yaml;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};
use common::{code::Code, name::Name, problem::Problem};

use self::{
    confirm::Consent,
    output::{Format, Output},
};
use crate::folders::Folders;

/// What a process returns that could not do its own part; what a job returned is passed on as it is.
const OUR_FAILURE: u8 = 125;

/// Pool computers, run each other's jobs.
#[derive(Debug, Parser)]
#[command(name = "compute-share", version, max_term_width = 100)]
#[command(after_help = "Example:\n  compute-share run --cpu 1 --memory 1GiB -- python3 train.py")]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// How results are printed
    #[arg(
        short = 'o',
        long,
        global = true,
        value_name = "human|json",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = "Everywhere"
    )]
    format: Format,
    /// Print ids only
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    quiet: bool,
    /// Act in this org instead of the active one
    #[arg(long, global = true, value_name = "NAME", help_heading = "Everywhere")]
    org: Option<Name>,
    /// Go ahead without being asked
    #[arg(long, global = true, help_heading = "Everywhere")]
    yes: bool,
    /// Folder of this machine's agent
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    SignIn(sign_in::SignIn),
    #[command(subcommand)]
    Account(account::Account),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Device(device::Device),
    #[command(subcommand)]
    Invite(invite::Invite),
    #[command(flatten)]
    Daemon(daemon::DaemonCommand),
    #[command(subcommand)]
    Machine(machine::Machine),
    #[command(subcommand)]
    Approval(approval::Approval),
    #[command(subcommand)]
    Member(member::Member),
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    #[command(subcommand)]
    Image(image::Image),
    #[command(subcommand)]
    Cache(cache::Cache),
    Submit(submit::Submit),
    Run(run::Run),
    Ps(job::List),
    #[command(subcommand)]
    Job(job::Job),
    Logs(job::Logs),
    #[command(subcommand)]
    Org(org::Org),
    #[command(subcommand)]
    Usage(usage::Usage),
    #[command(subcommand)]
    Project(project::Project),
    #[command(subcommand)]
    Secret(secret::Secret),
    Top(top::Top),
    Doctor(doctor::Doctor),
    Uninstall(uninstall::Uninstall),
    #[command(flatten)]
    Shell(shell::Shell),
}

/// What every command is given.
#[derive(Debug, Clone)]
struct Context {
    output: Output,
    consent: Consent,
    folders: Folders,
    org: Option<Name>,
}

/// Runs the command that the process' arguments name, and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    let format = arguments.global.format;
    let own_part_only = matches!(arguments.command, Command::Run(_));
    match start(arguments) {
        Ok(code) => code,
        Err(problem) => {
            output::report(&problem, format);
            let class = problem.code.exit_class() as u8;
            // `run` gives the job's own codes back, so that of its own failures must not be one of the job's;
            // what is refused before there is a job keeps its class.
            let lost_job = own_part_only && class == 1;
            ExitCode::from(if lost_job { OUR_FAILURE } else { class })
        }
    }
}

fn start(arguments: Arguments) -> Result<ExitCode, Problem> {
    let Arguments { global, command } = arguments;
    let context = Context {
        output: Output {
            format: global.format,
            quiet: global.quiet,
        },
        consent: if global.yes {
            Consent::Given
        } else {
            Consent::Ask
        },
        folders: Folders::from_env(global.data.as_deref())?,
        org: global.org,
    };
    match command {
        Command::Daemon(daemon::DaemonCommand::Agent(agent)) => daemon::agent(&context, &agent),
        Command::Shell(shell) => shell.run(Arguments::command()),
        other => {
            runtime(tokio::runtime::Builder::new_current_thread())?.block_on(act(context, other))
        }
    }
}

async fn act(context: Context, command: Command) -> Result<ExitCode, Problem> {
    let done = |(): ()| ExitCode::SUCCESS;
    match command {
        Command::SignIn(sign_in) => sign_in.run(&context).await.map(done),
        Command::Account(account) => account.run(&context).await.map(done),
        Command::Token(token) => token.run(&context).await.map(done),
        Command::Device(device) => device.run(&context).await.map(done),
        Command::Invite(invite) => invite.run(&context).await.map(done),
        Command::Daemon(daemon) => daemon.run(&context).await.map(done),
        Command::Machine(machine) => machine.run(&context).await.map(done),
        Command::Approval(approval) => approval.run(&context).await.map(done),
        Command::Member(member) => member.run(&context).await.map(done),
        Command::Dataset(dataset) => dataset.run(&context).await.map(done),
        Command::Image(image) => image.run(&context).await.map(done),
        Command::Cache(cache) => cache.run(&context).map(done),
        Command::Submit(submit) => submit.run(&context).await.map(done),
        Command::Run(run) => run.run(&context).await,
        Command::Ps(list) => list.run(&context).await.map(done),
        Command::Job(job) => job.run(&context).await,
        Command::Logs(logs) => logs.run(&context).await.map(done),
        Command::Org(org) => org.run(&context).await.map(done),
        Command::Usage(usage) => usage.run(&context).await.map(done),
        Command::Project(project) => project.run(&context).await.map(done),
        Command::Secret(secret) => secret.run(&context).await.map(done),
        Command::Uninstall(uninstall) => uninstall.run(&context).await.map(done),
        Command::Doctor(doctor) => doctor.run(&context).await,
        Command::Top(top) => top.run(&context).await.map(done),
        Command::Shell(shell) => shell.run(Arguments::command()),
    }
}

fn runtime(mut builder: tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Problem> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Io, "cannot begin", error.to_string()))
}

/// Shows help, or what is wrong with the arguments: as JSON where that was asked for as far as can be told.
fn not_understood(error: &clap::Error) -> ExitCode {
    let Some(problem) = link::arguments::problem(error) else {
        // Nobody reads a closed terminal.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    };
    let json = link::arguments::want_json(std::env::args(), "--format");
    output::report(&problem, if json { Format::Json } else { Format::Human });
    ExitCode::from(problem.code.exit_class() as u8)
}

#[cfg(test)]
mod tests;
