//! The agent daemon: takes its folder, starts the parts, and ends them. Called by the command line
//! (`compute-share agent`) and by scenario tests, which run several in one process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use agent_core::sandbox_plan::Host;
use common::{
    code::Code, machine::Isolation, problem::Problem, resources::Allocation,
    status::IsolationLevel, units::Bytes,
};
use link::endpoint::Dialer;
use rustix::fs::{FlockOperation, flock};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    connect::Connector,
    control::{self, ConnectionState},
    journal::{Journal, Kept},
    keeper::{Keeper, KeeperParts, Word},
    lazy::{self, Coordinator, Store},
    machine::{Machine, Parts, Standing, local_problem},
    peers::Door,
    probe::{OwnerFile, Probe, surroundings},
    registration::{AgentFolder, Registration},
    sandbox,
    scratch::Disks,
    transfer::Cache,
    uplink::uplink,
    warmer::Warmer,
};

pub use crate::probe::surroundings::Roots;

/// Questions of the owner that wait.
const QUESTIONS: usize = 8;

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Where everything of it lies; see [`crate::registration::AgentFolder`].
    pub folder: PathBuf,
    /// Where it looks who is at the keyboard and the like.
    pub surroundings: Roots,
    /// The device by which datasets are mounted lazily, where it is there and works.
    pub fuse: PathBuf,
}

/// The kernel's.
const FUSE: &str = "/dev/fuse";

impl AgentConfig {
    /// Returns what an agent is started with whose folder this is.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            surroundings: Roots::default(),
            fuse: FUSE.into(),
        }
    }
}

/// A running agent. Dropping it lets the agent run on.
#[derive(Debug)]
pub struct Running {
    stopping: CancellationToken,
    connection: watch::Receiver<ConnectionState>,
    ended: JoinHandle<Result<(), Problem>>,
}

impl Running {
    /// Asks the agent to end. Jobs go on under their supervisors.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Returns how the agent stands with its coordinator, now and as it changes; closed when the agent ends.
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// Waits for the agent's end.
    ///
    /// # Errors
    /// Why it ended by itself: rejected, removed, or an own failure.
    pub async fn wait(self) -> Result<(), Problem> {
        match self.ended.await {
            Ok(ended) => ended,
            Err(error) => Err(Problem::new(
                Code::Internal,
                "the agent ended",
                error.to_string(),
            )),
        }
    }
}

/// Starts the agent of a registered machine, with this very program as the supervisor of its attempts.
///
/// # Errors
/// [`Code::AgentRunning`], [`Code::NotRegistered`], [`Code::Config`] for the owner's file, and whatever the
/// folder's files do not allow.
pub async fn run(config: AgentConfig) -> Result<Running, Problem> {
    start(config, None).await
}

/// Does the same with another program as supervisor, for agents that run inside one that is not
/// `compute-share`.
///
/// # Errors
/// As for [`run`].
pub async fn run_with(config: AgentConfig, supervisor: PathBuf) -> Result<Running, Problem> {
    start(config, Some(supervisor)).await
}

async fn start(config: AgentConfig, supervisor: Option<PathBuf>) -> Result<Running, Problem> {
    certs::install_crypto();
    let folder = AgentFolder::new(config.folder);
    let fuse = config.fuse;
    let opened = tokio::task::spawn_blocking(move || open(folder, supervisor, &fuse)).await;
    let Opened {
        lock,
        machine,
        journal,
        kept,
    } = opened.map_err(|error| local_problem("the agent cannot start", &error))??;
    let machine = Arc::new(machine);
    let dialer = Dialer::new()
        .map_err(|error| local_problem("no socket for the coordinator can be had", &error))?;

    let stopping = CancellationToken::new();
    let (connection, watched) = watch::channel(ConnectionState::Connecting {
        since: clock::now(),
        problem: None,
    });
    let (asking, asked) = mpsc::channel(QUESTIONS);
    control::serve(machine.folder.path(), asking, stopping.clone())
        .map_err(|error| local_problem("the owner's socket cannot be made", &error))?;
    tokio::spawn(machine.gpus.clone().watch(stopping.clone()));
    let ahead = Arc::clone(&machine);
    tokio::task::spawn_blocking(move || ahead.supervisors.refill());
    let door = Door {
        peers: machine.peers.clone(),
        cache: machine.cache.clone(),
        rules: machine.rules(),
        stopping: stopping.clone(),
    };
    tokio::spawn(door.keep());
    let (source, uplink) = uplink();
    lazy::listen(
        &machine.folder.lazy_door(),
        machine.lazy.clone(),
        Coordinator(uplink.clone()),
        stopping.clone(),
    )
    .map_err(|error| local_problem("the socket of lazy mounts cannot be made", &error))?;
    let (standing, watching) = watch::channel(Standing::default());
    let (wanted, wanting) = watch::channel(Vec::new());
    let lookout = surroundings::watch(
        Arc::clone(&machine),
        config.surroundings,
        watching,
        stopping.clone(),
    )
    .await;
    let (keeper, handle) = Keeper::new(KeeperParts {
        machine: Arc::clone(&machine),
        uplink: uplink.clone(),
        wanted,
        journal,
        kept,
        asked,
        connection: watched.clone(),
        standing,
        lookout,
        stopping: stopping.clone(),
    });
    let warmer = Warmer {
        machine: Arc::clone(&machine),
        keeper: handle.clone(),
        uplink,
        wanted: wanting,
    };
    tokio::spawn(warmer.run(stopping.clone()));
    let last_word = handle.clone();
    let connector = Connector::new(machine, handle, dialer, source, connection);
    let token = stopping.clone();
    let ended = tokio::spawn(async move {
        let over = token.clone();
        let keeping = tokio::spawn(async move {
            let kept = keeper.run().await;
            // Without its keeper an agent can do nothing.
            over.cancel();
            kept
        });
        let ended = connector.run(token).await;
        if ended.is_err() {
            last_word.tell(Word::Expelled).await;
        }
        let kept = keeping.await.unwrap_or_else(|error| {
            Err(Problem::new(
                Code::Internal,
                "the agent ended",
                error.to_string(),
            ))
        });
        // Until here nobody else may use the folder.
        drop(lock);
        ended.and(kept)
    });
    Ok(Running {
        stopping,
        connection: watched,
        ended,
    })
}

/// A folder that is ours.
struct Opened {
    lock: File,
    machine: Machine,
    journal: Journal,
    kept: Kept,
}

/// Opens everything in the folder and looks at the machine. Blocks.
fn open(folder: AgentFolder, supervisor: Option<PathBuf>, fuse: &Path) -> Result<Opened, Problem> {
    let Some(registration) = Registration::load(&folder)? else {
        return Err(Problem::new(
            Code::NotRegistered,
            "the agent cannot start",
            format!("there is no registration in {}", folder.path().display()),
        ));
    };
    let lock = lock(&folder)?;
    let journal_path = folder.journal();
    let (journal, kept) =
        Journal::open(&journal_path).map_err(|error| error.into_problem(&journal_path))?;
    make_folder(&folder.attempts())?;
    let owner_file = OwnerFile::open(folder.owner_rules())?;
    let mut probe = Probe::new(&folder)?;
    let cache = Cache::open(&folder.cache(), Bytes::ZERO)?;
    let lazy = Store::open(&folder.lazy(), cache.clone());
    let lazy = lazy.map_err(|error| {
        let what = format!("{} cannot be used", folder.lazy().display());
        Problem::new(Code::Io, what, error.to_string())
    })?;
    cache.make_way_for(lazy.clone());
    let first = probe.sample(
        &Allocation::default(),
        cache.used(),
        &owner_file.ruled().rules,
    );
    cache.set_limit(first.cache_limit);
    lazy.settle();
    let mut host = sandbox::host(probe.gpus().files());
    host.fuse = sandbox::lazy::usable(supervisor.as_deref(), fuse);
    if host.fuse.is_none() {
        tracing::info!(device = %fuse.display(), "datasets cannot be mounted lazily");
    }
    let mut isolation = isolation(&folder, supervisor.as_deref(), &host);
    let disks = disks(&folder, &mut isolation);
    let machine = Machine::new(Parts {
        folder,
        registration,
        host,
        isolation,
        cache,
        lazy,
        disks,
        supervisor,
        probe,
        first,
        owner_file,
    });
    Ok(Opened {
        lock,
        machine,
        journal,
        kept,
    })
}

fn isolation(folder: &AgentFolder, supervisor: Option<&Path>, host: &Host) -> Isolation {
    let isolation = match supervisor {
        None => sandbox::probe(folder.path(), host),
        Some(program) => sandbox::probe_with(program, folder.path(), host),
    };
    tracing::info!(level = %isolation.level, missing = ?isolation.missing, "isolation");
    isolation
}

/// Returns what gives every attempt a disk of its own; where there cannot be such a thing, people are told.
fn disks(folder: &AgentFolder, isolation: &mut Isolation) -> Option<Disks> {
    let opened = match isolation.level {
        IsolationLevel::A => Disks::open(&folder.scratch()),
        _ => Err(std::io::ErrorKind::PermissionDenied.into()),
    };
    opened
        .inspect_err(|error| {
            tracing::info!(%error, "attempts have no disks of their own");
            let missing = "disk use is counted every second, not exact";
            isolation.missing.push(missing.to_owned());
        })
        .ok()
}

fn make_folder(path: &Path) -> Result<(), Problem> {
    link::files::create_private_dir(path).map_err(|error| {
        let what = format!("{} cannot be made", path.display());
        Problem::new(Code::Io, what, error.to_string())
    })
}

fn lock(folder: &AgentFolder) -> Result<File, Problem> {
    let path = folder.lock();
    let what = "the agent cannot start";
    let mut options = File::options();
    let opened = options.create(true).truncate(false).write(true).open(&path);
    let file = opened
        .map_err(|error| Problem::new(Code::Io, what, format!("{}: {error}", path.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Problem::new(
            Code::AgentRunning,
            what,
            format!("another agent uses {}", folder.path().display()),
        )),
        Err(error) => Err(Problem::new(Code::Io, what, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(folder: &Path) -> Code {
        run(AgentConfig::new(folder)).await.unwrap_err().code
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_folder_serves_one_registered_agent() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(refused(temp.path()).await, Code::NotRegistered);
        let folder = AgentFolder::new(temp.path());
        let registration = Registration {
            machine: common::id::MachineId::from_bytes([1; 16]),
            name: "bob".parse().unwrap(),
            org: "lab".parse().unwrap(),
            address: "127.0.0.1:9".to_owned(),
            fingerprint: common::id::Fingerprint::new([2; 32]),
        };
        registration.save(&folder).unwrap();
        std::fs::write(folder.owner_rules(), "resources: {cpu_limits: 3}").unwrap();
        assert_eq!(refused(temp.path()).await, Code::Config);
        std::fs::remove_file(folder.owner_rules()).unwrap();
        let held = lock(&folder).unwrap();
        assert_eq!(refused(temp.path()).await, Code::AgentRunning);
        drop(held);
    }
}
