//! The backend that puts a kernel of its own under the job: gVisor, for jobs that ask for strong isolation.
//!
//! In namespaces of its own this process builds the root that the native backend would build, writes down a
//! bundle around it, and stays as the first process, with `runsc` as its only child: that one makes the sandbox
//! in further namespaces and ends with the job's code. What ends this process ends all of it, limits are the
//! attempt's cgroup, and there is no network.
//!
//! Inside, the job is user 0 without a single capability, because that is whom an ordinary user's gVisor shows as
//! the owner of the job's folders. A job that a signal ended is told as its code 128 and above.

use std::{fs, io, os::fd::OwnedFd, path::Path};

use agent_core::sandbox_plan::{Content, NetworkPlan, SandboxPlan, WORK};
use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};

use super::{
    init::{self, Ends, Failed, at},
    root::put,
    stage, system,
};

const ROOT: &str = "/run/root";
const BUNDLE: &str = "/run/bundle";
/// What `runsc` is told before the bundle. The platform needs no rights and no hardware.
const TOLD: [&str; 6] = [
    "--rootless",
    "--network=none",
    "--ignore-cgroups",
    "--platform=ptrace",
    "--root=/run/state",
    "run",
];

/// Is the first process, from the moment it exists to its end.
pub(super) fn run(plan: &SandboxPlan, program: &Path, ends: Ends<'_>) -> ! {
    let built = build(plan, &ends.control);
    let mut command = vec![program.to_string_lossy().into_owned()];
    command.extend(TOLD.map(str::to_owned));
    // Seen in lists of processes, so that people can tell whose it is.
    let name = ends.folder.file_name().unwrap_or_default();
    let name = format!("attempt-{}", name.to_string_lossy());
    command.extend(["--bundle".to_owned(), BUNDLE.to_owned(), name]);
    let outer = SandboxPlan {
        command,
        env: std::collections::BTreeMap::new(),
        ..plan.clone()
    };
    init::attend(&outer, built, &ends.control, [ends.stdout, ends.stderr])
}

fn build(plan: &SandboxPlan, control: &OwnedFd) -> Result<OwnedFd, Failed> {
    if plan.network != NetworkPlan::None {
        let unsupported = io::Error::from(io::ErrorKind::Unsupported);
        return Err(at("give a job in gVisor a network")(unsupported));
    }
    let sources = stage::begin(plan, control)?;
    stage::clear().map_err(at("make room for the root"))?;
    let made = || {
        fs::create_dir(ROOT)?;
        rustix::process::chdir(ROOT)?;
        for (wanted, source) in plan.mounts.iter().zip(sources.0) {
            let target = Path::new(wanted.target.trim_start_matches('/'));
            match wanted.content {
                // gVisor has devices and memory of its own.
                _ if target.starts_with("dev") => {}
                Content::Scratch { .. } => fs::create_dir_all(target)?,
                _ => put(target, &wanted.content, source)?,
            }
        }
        ["dev", "proc", "sys"]
            .iter()
            .try_for_each(fs::create_dir_all)?;
        rustix::process::chdir("/")?;
        fs::create_dir("/run/state")?;
        fs::create_dir(BUNDLE)?;
        let bundle = serde_json::to_vec(&bundle(plan))?;
        fs::write(Path::new(BUNDLE).join("config.json"), bundle)?;
        // The numbers of processes have to be those of this namespace.
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        Ok::<(), io::Error>(mount("proc", "/proc", "proc", flags, None)?)
    };
    made().map_err(at("lay out the root"))?;
    let signals = system::child_signals().map_err(at("watch for children"))?;
    system::close_on_exec_from(3).map_err(at("keep descriptors from the job"))?;
    Ok(signals)
}

/// Returns the description of the container, as the Open Container Initiative's runtime specification has it.
fn bundle(plan: &SandboxPlan) -> Value {
    let env: Vec<String> = plan
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let limit = |kind: &str, most: u64| json!({"type": kind, "soft": most, "hard": most});
    let scratch = plan.mounts.iter().filter_map(|mount| match mount.content {
        Content::Scratch { size } => Some(json!({
            "destination": mount.target, "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777", format!("size={}", size.0.max(1 << 12))],
        })),
        _ => None,
    });
    let proc = json!({"destination": "/proc", "type": "proc", "source": "proc"});
    let mounts: Vec<Value> = std::iter::once(proc).chain(scratch).collect();
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "hostname": plan.hostname,
        "root": {"path": ROOT, "readonly": false},
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": plan.command,
            "env": env,
            "cwd": WORK,
            "noNewPrivileges": true,
            "capabilities": {},
            "rlimits": [
                limit("RLIMIT_NOFILE", plan.limits.open_files),
                limit("RLIMIT_FSIZE", plan.limits.disk.0.max(1)),
                limit("RLIMIT_CORE", 0),
            ],
        },
        "mounts": mounts,
        "linux": {"namespaces": namespaces},
    })
}
