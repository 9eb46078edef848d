//! Finds out by trying how well this machine holds jobs in.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::{
    Access, Backend, Cgroup, Content, Folders, Host, Mount, PlanInput, ProxyRules, SandboxPlan,
    plan,
};
use common::{
    id::{AttemptId, JobId},
    job::JobNumber,
    logs,
    machine::Isolation,
    resources::Allocation,
    status::{IsolationLevel, LogStream, Network},
    time::Span,
    units::{Bytes, MilliCpu},
    wire::agent::{AttemptImage, AttemptSpec},
};

use super::check::{BROKEN, DATASET, HELD};
use crate::supervise::{CHECK, ROLE, SandboxResult, run_to_end};

/// Most lines about what did not hold that are reported; a report has room for no more.
const MAX_MISSING: usize = 24;
/// Longest of these lines.
const MAX_LINE_CHARS: usize = 200;

/// Tries to hold a job in, with this very program as the job, and says how well that went. Blocks for the
/// time of a small job. `scratch` is a folder of the agent's.
pub fn probe(scratch: &Path, host: &Host) -> Isolation {
    probe_with(Path::new("/proc/self/exe"), scratch, host)
}

/// Does the same with another program file, for agents that run inside one that is not `compute-share`.
pub fn probe_with(program: &Path, scratch: &Path, host: &Host) -> Isolation {
    let isolation = level(program, scratch, host);
    let strong = isolation.level < IsolationLevel::D && host.tools.runsc.is_some();
    Isolation {
        strong: strong && strong_works(program, scratch, host),
        ..isolation
    }
}

fn level(program: &Path, scratch: &Path, host: &Host) -> Isolation {
    match trial(program, scratch, host, Network::None) {
        Ok(broken) if broken.is_empty() => {
            let mut isolation = held(host);
            isolation.networks = networks(program, scratch, host, isolation.level);
            isolation
        }
        Ok(broken) => Isolation {
            strong: false,
            networks: vec![Network::None],
            level: IsolationLevel::D,
            missing: broken,
            remedy: None,
        },
        Err(why) => Isolation {
            strong: false,
            networks: vec![Network::None],
            level: IsolationLevel::D,
            missing: vec![short(&format!("no sandbox can be made: {why}"))],
            remedy: backend_remedy(host).or_else(user_namespaces_remedy),
        },
    }
}

/// Returns the level of a machine whose sandboxes hold.
fn held(host: &Host) -> Isolation {
    match (&host.cgroup, host.superuser) {
        (Cgroup::None, superuser) => Isolation {
            strong: false,
            networks: vec![Network::None],
            level: IsolationLevel::C,
            missing: vec![
                "memory is limited for each process, not for a whole job".to_owned(),
                "processor time is not limited".to_owned(),
                "what ran out of memory is not told from what failed".to_owned(),
            ],
            remedy: Some(if superuser {
                "mount -t cgroup2 none /sys/fs/cgroup".to_owned()
            } else {
                "sudo systemctl enable --now compute-share-agent".to_owned()
            }),
        },
        (_, true) => Isolation {
            strong: false,
            networks: vec![Network::None],
            level: IsolationLevel::A,
            missing: Vec::new(),
            remedy: None,
        },
        (_, false) => Isolation {
            strong: false,
            networks: vec![Network::None],
            level: IsolationLevel::B,
            missing: vec!["jobs have no user of their own on the host".to_owned()],
            remedy: Some("sudo systemctl enable --now compute-share-agent".to_owned()),
        },
    }
}

/// Returns what networks jobs can have on a machine that holds them. A full one is tried, and what a job reaches
/// in it as well.
fn networks(program: &Path, scratch: &Path, host: &Host, level: IsolationLevel) -> Vec<Network> {
    let mut networks = vec![Network::None, Network::Internet];
    let has_tools = host.tools.slirp4netns.is_some() && host.tools.nft.is_some();
    if has_tools && matches!(level, IsolationLevel::A | IsolationLevel::B) {
        match trial(program, scratch, host, Network::Full) {
            Ok(broken) if broken.is_empty() => networks.push(Network::Full),
            Ok(broken) => tracing::warn!(?broken, "a job with a full network is not held in"),
            Err(why) => tracing::info!(%why, "jobs can have no full network here"),
        }
    }
    networks
}

/// Returns the command that brings the program that the owner wants sandboxes to be made with, where it is missing.
fn backend_remedy(host: &Host) -> Option<String> {
    let Backend::Bubblewrap { program } = &host.backend else {
        return None;
    };
    (!program.is_file()).then(|| "sudo apt-get install bubblewrap".to_owned())
}

/// Returns whether a job that asks for a kernel of its own gets it.
fn strong_works(program: &Path, scratch: &Path, host: &Host) -> bool {
    let Ok(own_kernel) = fs::read_to_string("/proc/version") else {
        return false;
    };
    // The trial is told the machine's kernel, and succeeds where it sees another.
    let script = r#"test "$(cat /proc/version)" != "$0" && : > /output/held"#;
    let command = ["/bin/sh", "-c", script, own_kernel.trim_end()];
    let command = command.map(str::to_owned).to_vec();
    let tried = try_out(
        program,
        scratch,
        host,
        Trial {
            command,
            strong: true,
            network: Network::None,
        },
    );
    tried.is_ok_and(|(result, _)| result.outcome.succeeded())
}

/// Runs the trial job; returns what did not hold.
fn trial(
    program: &Path,
    scratch: &Path,
    host: &Host,
    network: Network,
) -> Result<Vec<String>, String> {
    let command = [INSIDE, ROLE, CHECK].map(str::to_owned).to_vec();
    let (result, out) = try_out(
        program,
        scratch,
        host,
        Trial {
            command,
            strong: false,
            network,
        },
    )?;
    if let Some(detail) = result.outcome.detail {
        return Err(detail);
    }
    let broken = out.lines().filter_map(|line| line.strip_prefix(BROKEN));
    let broken: Vec<String> = broken.map(short).take(MAX_MISSING).collect();
    let all = result.outcome.succeeded() && out.lines().any(|line| line.starts_with(HELD));
    match (all, broken.is_empty()) {
        (false, true) => Err(format!(
            "the trial ended with code {}",
            result.outcome.exit_code()
        )),
        _ => Ok(broken),
    }
}

/// Tries something out; returns its end and its output.
fn try_out(
    program: &Path,
    scratch: &Path,
    host: &Host,
    job: Trial,
) -> Result<(SandboxResult, String), String> {
    let text = |error: io::Error| error.to_string();
    let folder = tempfile::Builder::new()
        .prefix("probe-")
        .tempdir_in(scratch)
        .map_err(text)?;
    for name in ["work", "output", "dataset"] {
        fs::create_dir(folder.path().join(name)).map_err(text)?;
    }
    let program = fs::canonicalize(program).map_err(text)?;
    let plan = trial_plan(&program, folder.path(), host, job);
    let result = run_to_end(&program, folder.path(), &plan).map_err(text)?;
    let log = fs::read(folder.path().join("log")).map_err(text)?;
    Ok((result, text_of(&log)))
}

fn text_of(log: &[u8]) -> String {
    let (mut rest, mut out) = (log, Vec::new());
    while let Ok(Some((record, after))) = logs::split_record(rest) {
        if record.stream == LogStream::Stdout {
            out.extend_from_slice(record.bytes);
        }
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn short(line: &str) -> String {
    let plain = line.chars().filter(|c| !c.is_control());
    plain.take(MAX_LINE_CHARS).collect()
}

/// Where this program is seen in the trial's sandbox.
const INSIDE: &str = "/check";

/// A job that tries something out.
pub(crate) struct Trial {
    pub(crate) command: Vec<String>,
    pub(crate) strong: bool,
    pub(crate) network: Network,
}

pub(crate) fn trial_plan(program: &Path, folder: &Path, host: &Host, job: Trial) -> SandboxPlan {
    let spec = AttemptSpec {
        org: "probe".parse().expect("a plain name"),
        job_number: JobNumber(1),
        job_name: "probe".to_owned(),
        submitter: "probe".parse().expect("a plain name"),
        own_machine: true,
        task_count: 1,
        command: job.command,
        env: BTreeMap::new(),
        image: AttemptImage::Host,
        registry_login: false,
        secrets: Vec::new(),
        strong: job.strong,
        workdir: None,
        allocation: Allocation {
            cpu: MilliCpu::cpus(1),
            // Also what one process of it may map, where there are no cgroups.
            memory: Bytes::gib(1),
            disk: Bytes::mib(64),
            gpus: Vec::new(),
            gpu_shares: BTreeMap::new(),
        },
        datasets: Vec::new(),
        outputs: Vec::new(),
        network: job.network,
        max_runtime: Some(Span::from_secs(10)),
        grace: Span::from_secs(0),
        project: None,
        nodes: Vec::new(),
        checkpoint: None,
        restore: None,
        params: None,
        shares: false,
    };
    let mut made = plan(&PlanInput {
        attempt: AttemptId {
            job: JobId::from_bytes([0; 16]),
            task: 0,
            number: 1,
        },
        spec: &spec,
        machine: &"probe".parse().expect("a plain name"),
        host,
        image: None,
        folders: &Folders {
            work: folder.join("work"),
            output: folder.join("output"),
            datasets: Vec::new(),
        },
        rules: &ProxyRules::default(),
        params: None,
    });
    let bound = |target: &str, source: PathBuf| Mount {
        target: target.to_owned(),
        content: Content::Bind {
            source,
            access: Access::ReadOnly,
            optional: false,
        },
    };
    made.mounts.push(bound(INSIDE, program.to_owned()));
    made.mounts.push(bound(DATASET, folder.join("dataset")));
    made
}

/// Returns the command that lets ordinary users make sandboxes, where a setting of the kernel forbids it.
pub(crate) fn user_namespaces_remedy() -> Option<String> {
    let forbidden = [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "15000"),
    ];
    forbidden.iter().find_map(|(name, bad, good)| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let value = fs::read_to_string(path).ok()?;
        (value.trim() == *bad).then(|| format!("sudo sysctl -w {name}={good}"))
    })
}
