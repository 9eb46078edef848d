//! The process that serves an attempt's lazy mounts: one per attempt that has such, started by its supervisor.
//!
//! On its standard input come the open devices of the mounts, one each, in their order; its one argument is a
//! [`ServeTask`]; what it has to say goes to standard output. Before it looks at any request of the job it becomes
//! the job's user and gives up everything but what is open and asking the agent. It ends with its supervisor, with
//! the sandbox, or when it is killed: the kernel then fails all reads that wait.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

use agent_core::sandbox_plan::Lazy;
use common::{id::TreeId, time::Span};
use fuser::{Config, Session, SessionACL};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetError, Scope,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    stdio::{stdin, stdout},
};
use serde::{Deserialize, Serialize};

use super::{
    asking::Asking,
    devices::{self, Received},
    files::Files,
    index::Index,
    reads::{Mounted, Reads},
    store::{DATA, INDEX},
    tell::Teller,
};
use crate::{
    rights::{Most, give_up},
    sandbox::install_filter,
};

const LANDLOCK: ABI = ABI::V6;
/// Threads that answer the kernel, of all mounts together, and of one.
const THREADS: usize = 16;
const MOUNT_THREADS: usize = 4;
/// How long the sandbox may take until it has mounted what is served, and how often that is looked at.
const MOUNT_PATIENCE: Duration = Duration::from_secs(60);
const MOUNT_PAUSE: Duration = Duration::from_millis(1);
/// Three for each mount, and some.
const OPEN_FILES: u64 = 512;
/// Of memory of its own: buffers for requests, which are hardly ever filled, take most of that.
const DATA_BYTES: u64 = 2 << 30;

/// What a server is started with, as its one argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServeTask {
    /// In the order of their devices.
    pub(crate) mounts: Vec<ServedTree>,
    /// The agent's folder.
    pub(crate) agent: PathBuf,
    /// The user to become, where the supervisor is root.
    pub(crate) uid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServedTree {
    name: String,
    tree: TreeId,
    store: PathBuf,
    patience: Span,
}

impl From<&Lazy> for ServedTree {
    fn from(lazy: &Lazy) -> Self {
        Self {
            name: lazy.name.clone(),
            tree: lazy.tree,
            store: lazy.store.clone(),
            patience: lazy.patience,
        }
    }
}

/// Is the server. `None` is that it could not begin.
pub(crate) fn main(task: &OsString) -> Option<i32> {
    let task: ServeTask = serde_json::from_str(task.to_str()?).ok()?;
    let Ok(Received::Devices(devices)) = devices::receive(stdin()) else {
        return None;
    };
    if devices.len() != task.mounts.len() {
        return None;
    }
    let teller = Teller::default();
    let opened: io::Result<Vec<Mounted>> = task.mounts.into_iter().map(open).collect();
    let mounts = opened
        .inspect_err(|error| teller.say(&format!("lazily mounted data cannot be served: {error}")))
        .ok()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let agent = rustix::fs::open(&task.agent, flags, Mode::empty()).ok()?;
    confine(task.uid).ok()?;
    if supervisor_is_gone() {
        return None;
    }
    let threads = (THREADS / mounts.len().max(1)).clamp(1, MOUNT_THREADS);
    let reads = Arc::new(Reads::new(mounts, Asking::new(agent), teller));
    let listening = Arc::clone(&reads);
    let (over, all_over) = channel();
    std::thread::spawn(move || listening.listen());
    for (mount, device) in devices.into_iter().enumerate() {
        let files = Files::new(Arc::clone(&reads), mount);
        let over: Sender<()> = over.clone();
        std::thread::spawn(move || {
            // Its end is the mount's, or a kernel that cannot be talked to: the job sees the latter by itself.
            let _ = serve(files, device, threads);
            drop(over);
        });
    }
    drop(over);
    // Nobody ever sends anything.
    let _ = all_over.recv();
    Some(0)
}

fn open(tree: ServedTree) -> io::Result<Mounted> {
    Ok(Mounted {
        index: Index::open(File::open(tree.store.join(INDEX))?)?,
        data: File::open(tree.store.join(DATA))?,
        name: tree.name,
        tree: tree.tree,
        patience: tree.patience.as_duration(),
        ways: Mutex::default(),
        touched: Mutex::default(),
    })
}

/// Serves one mount until it is gone.
fn serve(files: Files, device: OwnedFd, threads: usize) -> io::Result<()> {
    await_mount(&device)?;
    let mut config = Config::default();
    config.n_threads = Some(threads);
    // Whoever may is the kernel's to know: of other namespaces' users there is none in the sandbox.
    Session::from_fd(files, device, SessionACL::All, config)?.run()
}

/// Waits until the sandbox's first process has mounted the device: before, it has nothing to say, and no way to say so.
fn await_mount(device: &OwnedFd) -> io::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < MOUNT_PATIENCE {
        let mut waiting = [PollFd::new(device, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        match poll(&mut waiting, Some(&wait)) {
            Ok(_) if waiting[0].revents().contains(PollFlags::IN) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => std::thread::sleep(MOUNT_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Gives up what is not needed. `uid` is the user to become, for root.
fn confine(uid: Option<u32>) -> io::Result<()> {
    let most = Most {
        open_files: OPEN_FILES,
        data_bytes: DATA_BYTES,
    };
    give_up(uid, most)?;
    // Best effort: older kernels have none, and the user that it is owns nothing.
    let _ = no_paths();
    install_filter()
}

fn no_paths() -> Result<(), RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    rules.restrict_self().map(|_| ())
}

/// Returns whether nobody is there to be told, which ends this process otherwise only from then on.
fn supervisor_is_gone() -> bool {
    let out = stdout();
    let mut waiting = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut waiting, Some(&now)).is_ok_and(|ready| ready > 0)
}
