//! `top`: the pool, live. Asks once a second over one connection; `q` quits.

mod view;

use std::{io::IsTerminal, time::Duration};

use clap::Args;
use common::{
    api::{Answer, Request, job::ListJobs},
    code::Code,
    job::JobSummary,
    machine::MachineView,
    org::OrgOverview,
    problem::Problem,
    status::JobStatus,
};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::{
    Context,
    moments::now,
    session::{Session, ask},
};

/// How often everything is asked for again.
const REFRESH: Duration = Duration::from_secs(1);
/// Most jobs that are asked for; a screen shows fewer.
const MOST_JOBS: u32 = 200;
/// Key strokes that are kept while the screen is drawn.
const MAX_KEYS: usize = 16;

/// Watch machines, queue and running jobs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share top")]
pub(super) struct Top {}

/// What is shown at one moment.
#[derive(Debug)]
struct Snapshot {
    org: OrgOverview,
    machines: Vec<MachineView>,
    jobs: Vec<JobSummary>,
    at: common::time::Timestamp,
}

impl Top {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        if !std::io::stdout().is_terminal() {
            let why = "it draws on a terminal, and stdout is none";
            return Err(
                Problem::new(Code::BadRequest, "`top` cannot be shown here", why)
                    .help("Use `compute-share ps` and `compute-share machine list`."),
            );
        }
        let session = context.session().await?;
        let mut snapshot = ask_all(&session).await?;
        let mut keys = keys();
        let mut terminal = ratatui::try_init().map_err(|error| screen(&error))?;
        let watched = watch(&session, &mut terminal, &mut snapshot, &mut keys).await;
        ratatui::restore();
        session.end().await;
        watched
    }
}

async fn watch(
    session: &Session,
    terminal: &mut ratatui::DefaultTerminal,
    snapshot: &mut Snapshot,
    keys: &mut mpsc::Receiver<Event>,
) -> Result<(), Problem> {
    let mut refresh = tokio::time::interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal
            .draw(|frame| view::draw(frame, snapshot))
            .map_err(|error| screen(&error))?;
        tokio::select! {
            _ = refresh.tick() => *snapshot = ask_all(session).await?,
            key = keys.recv() => match key {
                Some(event) if quits(&event) => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

async fn ask_all(session: &Session) -> Result<Snapshot, Problem> {
    let org = session.org;
    let jobs = Request::ListJobs(ListJobs {
        org,
        status: vec![JobStatus::Queued, JobStatus::Running],
        owner: None,
        before: None,
        limit: MOST_JOBS,
    });
    let overview =
        async { ask!(session, Request::ShowOrg { org }, Answer::Org(overview) => overview) };
    let machines =
        async { ask!(session, Request::ListMachines { org }, Answer::Machines(list) => list) };
    let jobs = async { ask!(session, jobs, Answer::Jobs(jobs) => jobs) };
    let (org, machines, jobs) = tokio::try_join!(overview, machines, jobs)?;
    Ok(Snapshot {
        org,
        machines,
        jobs,
        at: now(),
    })
}

/// Reads the terminal on a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(MAX_KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

fn quits(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && (interrupt || [KeyCode::Char('q'), KeyCode::Esc].contains(&key.code))
}

fn screen(error: &std::io::Error) -> Problem {
    Problem::new(Code::Io, "cannot draw on this terminal", error.to_string())
}
