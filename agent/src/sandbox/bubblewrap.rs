//! The backend that has bubblewrap build the sandbox from the very same plan: a second opinion.
//!
//! In namespaces of its own, this process lays out what the plan binds (see `stage`) and becomes `bwrap`, which
//! builds the root inside further namespaces and runs this program in there as the sandbox's first process
//! ([`inside`]). That one gives up the rest and then does what the native backend's does: start the job, reap,
//! and tell the supervisor in the same words. It ends with its outer process and the other way round.

use std::{
    convert::Infallible,
    ffi::{CString, OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::{Access, Content, Mount, NetworkPlan, SandboxPlan};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{SendFlags, send},
};

use super::{
    init::{self, Ends, Failed, at},
    note::Note,
    root::{FIXED_FOLDERS, MASKED_FILES, MASKED_FOLDERS},
    stage::{self, Staged, TERMINALS},
    system,
};
use crate::supervise::{INSIDE, ROLE, in_memory};

/// Where this program and what it is linked with are seen inside. It stays in sight: to remove it would take
/// rights that the first process should not have.
const OURS: &str = "/.compute-share";
const OUR_PROGRAM: &str = "/.compute-share/compute-share";
/// Tells the loader what else to load into every program. An image's own is not for ours.
const PRELOAD: &str = "/etc/ld.so.preload";
/// Largest plan that is read, in bytes.
const MAX_PLAN_BYTES: u64 = 16 << 20;

/// Is the process that becomes `bwrap`, from the moment it exists.
pub(super) fn run(plan: &SandboxPlan, program: &Path, ends: &Ends<'_>) -> ! {
    let Err(failed) = turn_into(plan, program, ends);
    let note = Note::Failed(failed.to_string());
    // Nobody there to be told is noticed by the end of this process.
    let _ = send(&ends.control, &note.encode(), SendFlags::NOSIGNAL);
    system::exit_now(0)
}

/// Turns this process into `bwrap`; returns only why it could not.
fn turn_into(plan: &SandboxPlan, program: &Path, ends: &Ends<'_>) -> Result<Infallible, Failed> {
    let (whole, loader) = with_ours(plan)?;
    // Not the one in the attempt's folder, which is without the job's secrets.
    let file = serde_json::to_vec(plan).map_err(io::Error::from);
    let file = file
        .and_then(|json| in_memory("plan", &json))
        .map_err(at("hand on the plan"))?;
    let staged = stage::prepare(&whole, &ends.control)?;
    let descriptors = [
        ends.control.as_fd(),
        ends.stdout.as_fd(),
        ends.stderr.as_fd(),
        file.as_fd(),
    ];
    let mut command = arguments(&whole, &staged, Masks::of_host());
    command.push("--".to_owned());
    command.extend(loader);
    command.extend([OUR_PROGRAM, ROLE, INSIDE].map(str::to_owned));
    command.extend(descriptors.map(|fd| fd.as_raw_fd().to_string()));
    for handed_on in descriptors.into_iter().chain([ends.lock]) {
        fcntl_setfd(handed_on, FdFlags::empty()).map_err(at("hand on a descriptor"))?;
    }
    // What it has to say about itself is best seen in the job's log.
    rustix::stdio::dup2_stderr(&ends.stderr).map_err(at("hand on a descriptor"))?;
    let error = execute(program, &command);
    Err(Failed::new(&format!("run {}", program.display()), &error))
}

/// Runs the program with these arguments and an empty environment; returns only why it could not.
pub(super) fn execute(program: &Path, arguments: &[String]) -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput);
    let program = program.as_os_str().as_bytes();
    let all: Result<Vec<CString>, _> = std::iter::once(program)
        .chain(arguments.iter().map(String::as_bytes))
        .map(text)
        .collect();
    match (text(program), all) {
        (Ok(program), Ok(all)) => system::execute(&program, &all, &[]),
        (Err(kind), _) | (_, Err(kind)) => kind.into(),
    }
}

/// Adds this program and its libraries to the plan, and returns how to run it with them: the sandbox may be an
/// image that has neither.
fn with_ours(plan: &SandboxPlan) -> Result<(SandboxPlan, Vec<String>), Failed> {
    let mut whole = plan.clone();
    whole.mounts.retain(|mount| mount.target != PRELOAD);
    let own = fs::read_link("/proc/self/exe").map_err(at("find this program"))?;
    let mut loader = None;
    for library in libraries().map_err(at("find this program's libraries"))? {
        let Some(name) = library.file_name().and_then(OsStr::to_str) else {
            continue;
        };
        let target = format!("{OURS}/{name}");
        if name.starts_with("ld-") {
            loader = Some(target.clone());
        }
        whole.mounts.push(ours(target, library));
    }
    whole.mounts.push(ours(OUR_PROGRAM.to_owned(), own));
    let loader = loader.map(|loader| vec![loader, "--library-path".to_owned(), OURS.to_owned()]);
    Ok((whole, loader.unwrap_or_default()))
}

fn ours(target: String, source: PathBuf) -> Mount {
    Mount {
        target,
        content: Content::Bind {
            source,
            access: Access::ReadOnly,
            optional: false,
        },
    }
}

/// Returns the libraries that this process has loaded, each once.
fn libraries() -> io::Result<Vec<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let paths = maps.lines().filter_map(|line| {
        let path = line.split_once('/')?.1;
        path.contains(".so").then(|| Path::new("/").join(path))
    });
    let mut libraries: Vec<PathBuf> = paths.collect();
    libraries.dedup();
    Ok(libraries)
}

/// Which of the things to mask this machine's `/proc` has.
struct Masks {
    files: Vec<&'static str>,
    folders: Vec<&'static str>,
}

impl Masks {
    fn of_host() -> Self {
        let there = |name: &&str| Path::new("/proc").join(name).exists();
        // `fs` is fixed by nobody else; bubblewrap fixes the other folders itself.
        let unfixed = FIXED_FOLDERS.into_iter().filter(|name| *name == "fs");
        Self {
            files: MASKED_FILES.into_iter().filter(there).collect(),
            folders: MASKED_FOLDERS
                .into_iter()
                .chain(unfixed)
                .filter(there)
                .collect(),
        }
    }
}

/// Returns what bubblewrap is told, without the command.
fn arguments(plan: &SandboxPlan, staged: &Staged, masks: Masks) -> Vec<String> {
    let user = plan.uid.to_string();
    let mut told: Vec<String> = [
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--clearenv",
    ]
    .map(str::to_owned)
    .to_vec();
    if !matches!(plan.network, NetworkPlan::Full { .. }) {
        // A full one is this process's own already.
        told.push("--unshare-net".to_owned());
    }
    let mut tell = |words: &[&str]| told.extend(words.iter().map(|&word| word.to_owned()));
    tell(&["--cap-drop", "ALL"]);
    tell(&["--uid", &user, "--gid", &user]);
    tell(&["--hostname", &plan.hostname]);
    for (mount, source) in plan.mounts.iter().zip(staged) {
        let target = mount.target.as_str();
        match (&mount.content, source) {
            (Content::Link { to }, _) => tell(&["--symlink", to, target]),
            (Content::Scratch { size }, _) => {
                let size = size.0.max(1 << 12).to_string();
                tell(&["--perms", "1777", "--size", &size, "--tmpfs", target]);
            }
            (Content::Bind { access, .. }, Some(source)) => {
                let how = match access {
                    Access::ReadOnly | Access::Data => "--ro-bind",
                    Access::Writable => "--bind",
                    Access::Device => "--dev-bind",
                };
                tell(&[how, source, target]);
            }
            (Content::Text { .. } | Content::Lazy(_), Some(source)) => {
                tell(&["--ro-bind", source, target]);
            }
            (_, None) => {}
        }
    }
    tell(&["--dev-bind", TERMINALS, "/dev/pts"]);
    tell(&["--proc", "/proc"]);
    for name in masks.files {
        tell(&["--ro-bind", "/dev/null", &format!("/proc/{name}")]);
    }
    for name in masks.folders {
        let target = format!("/proc/{name}");
        tell(&[
            "--size",
            "4096",
            "--tmpfs",
            &target,
            "--remount-ro",
            &target,
        ]);
    }
    tell(&["--remount-ro", "/", "--chdir", "/"]);
    told
}

/// Is the sandbox's first process, once bubblewrap has built it. `given` are the descriptors' numbers: control,
/// the job's output and errors, the plan.
pub(crate) fn inside(given: &[OsString]) -> ! {
    let taken: Option<Vec<OwnedFd>> = given.iter().map(|text| system::inherited(text)).collect();
    let Some(Ok([control, stdout, stderr, plan])) = taken.map(<[OwnedFd; 4]>::try_from) else {
        system::exit_now(2)
    };
    let plan = io::Read::take(fs::File::from(plan), MAX_PLAN_BYTES);
    match serde_json::from_reader::<_, SandboxPlan>(io::BufReader::new(plan)) {
        Ok(plan) => init::run_inside(&plan, &control, stdout, stderr),
        Err(error) => {
            let note = Note::Failed(format!("cannot read the plan inside: {error}"));
            let _ = send(&control, &note.encode(), SendFlags::NOSIGNAL);
            system::exit_now(1)
        }
    }
}
