//! What this machine has for sandboxes: looked up once, when the agent starts.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::{Backend, Cgroup, GpuFiles, Host, Tools, TopEntry};

use super::cgroup::{made, sweep, write};

/// Folder of ours in a tree of cgroups that belongs to the whole machine.
const OURS: &str = "compute-share";
/// What programs expect beside `/usr`.
const TOP: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What limits are made of.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// Weight of all jobs together beside everything else on the machine, whose weight is 25 times that: the owner's work
/// keeps 96 % of a processor that both want. Less would hold up the end of jobs, too: what is killed has to run
/// once more for that.
const JOBS_WEIGHT: &str = "4";
const JOBS_SHARES: &str = "40";
/// The same at the disks, where the kernel weighs there: the least of both ways it has. Where it does not, the
/// class of each process counts; see `politeness`.
const DISK_WEIGHTS: [&str; 2] = ["io.weight", "io.bfq.weight"];
const JOBS_DISK_WEIGHT: &str = "default 1";

/// Where other programs are looked for: nowhere that ordinary users write to, whatever the agent's own `PATH`.
const FOLDERS: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/bin",
    "/sbin",
];
/// Set for the agent by an owner who wants another program to build the sandboxes.
const SANDBOX: &str = "COMPUTE_SHARE_SANDBOX";
const BUBBLEWRAP: &str = "bubblewrap";

/// Looks at what the machine has for sandboxes, makes the cgroup that attempts get theirs in, and removes
/// what earlier ones left there.
///
/// `gpus` is what there is of the GPUs that may be lent.
pub fn host(gpus: BTreeMap<String, GpuFiles>) -> Host {
    let superuser = rustix::process::geteuid().is_root();
    let cgroup = cgroup(superuser);
    sweep(&cgroup);
    let tools = tools();
    Host {
        superuser,
        cgroup,
        top: top(),
        gpus,
        backend: backend(&tools),
        tools,
        fuse: None,
    }
}

fn tools() -> Tools {
    let find = |name: &str| {
        let mut places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
        places.find(|path| path.is_file())
    };
    Tools {
        bwrap: find("bwrap"),
        runsc: find("runsc"),
        slirp4netns: find("slirp4netns"),
        nft: find("nft"),
    }
}

/// Returns what the owner wants sandboxes to be made with. A program that is not there makes none, which the
/// agent's own trial finds out.
fn backend(tools: &Tools) -> Backend {
    match std::env::var(SANDBOX) {
        Ok(name) if name == BUBBLEWRAP => Backend::Bubblewrap {
            program: tools.bwrap.clone().unwrap_or_else(|| "bwrap".into()),
        },
        _ => Backend::Native,
    }
}

fn top() -> BTreeMap<String, TopEntry> {
    let entry = |name: &&str| {
        let path = Path::new("/").join(name);
        let meta = fs::symlink_metadata(&path).ok()?;
        let entry = if meta.is_symlink() {
            TopEntry::Link(fs::read_link(&path).ok()?.to_str()?.to_owned())
        } else {
            TopEntry::Folder
        };
        Some(((*name).to_owned(), entry))
    };
    TOP.iter().filter_map(entry).collect()
}

/// A mounted tree of cgroups.
struct Tree {
    folder: PathBuf,
    v2: bool,
    controllers: Vec<String>,
}

fn cgroup(superuser: bool) -> Cgroup {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else {
        return Cgroup::None;
    };
    let trees: Vec<Tree> = mounts.lines().filter_map(tree).collect();
    let v2 = trees.iter().find(|tree| tree.v2);
    if let Some(base) = v2.and_then(|tree| v2_base(&tree.folder, superuser)) {
        return Cgroup::V2 { base };
    }
    let v1 = |controller: &str| {
        let tree = trees
            .iter()
            .find(|tree| !tree.v2 && tree.controllers.iter().any(|named| named == controller))?;
        v1_base(&tree.folder).ok()
    };
    match (v1("memory"), v1("cpu"), v1("cpuacct"), v1("pids")) {
        (Some(memory), Some(cpu), Some(cpuacct), Some(pids)) if superuser => {
            // Where it is refused, jobs are just not lighter than other work.
            let _ = write(&cpu, "cpu.shares", JOBS_SHARES);
            Cgroup::V1 {
                memory,
                cpu,
                cpuacct,
                pids,
                unified: v2.and_then(|tree| made(tree.folder.join(OURS)).ok()),
            }
        }
        _ => Cgroup::None,
    }
}

/// Reads a line of `mountinfo`: `ID PARENT DEVICE ROOT FOLDER OPTIONS … - TYPE SOURCE OPTIONS`.
fn tree(line: &str) -> Option<Tree> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let v2 = match after.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let controllers = after.nth(1)?.split(',').map(str::to_owned).collect();
    Some(Tree {
        folder: before.split(' ').nth(4)?.into(),
        v2,
        controllers,
    })
}

/// Returns the folders of ours that are there in trees of cgroups, for whoever removes them.
pub(crate) fn cgroups_of_ours() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours = mounts
        .lines()
        .filter_map(tree)
        .map(|tree| tree.folder.join(OURS));
    let mut ours: Vec<PathBuf> = ours.filter(|folder| folder.is_dir()).collect();
    ours.sort();
    ours.dedup();
    ours
}

fn v1_base(tree: &Path) -> io::Result<PathBuf> {
    made(tree.join(OURS))
}

/// Finds a place in the one tree where limits can be set: the part that was delegated to this service, or for
/// root a folder at the top.
fn v2_base(tree: &Path, superuser: bool) -> Option<PathBuf> {
    let own = own_v2_path()?;
    let delegated = delegated(tree, &own).and_then(|top| ready(&top, "jobs").ok());
    let base = delegated.or_else(|| superuser.then(|| ready(tree, OURS).ok())?)?;
    make_light(&base);
    Some(base)
}

/// Gives all jobs together the least weight. What is refused, or not there, jobs just have like other work.
fn make_light(base: &Path) {
    let _ = write(base, "cpu.weight", JOBS_WEIGHT);
    if let Some(top) = base.parent() {
        // Not among those that are needed: many kernels and most sessions do without.
        let _ = write(top, "cgroup.subtree_control", "+io");
    }
    for file in DISK_WEIGHTS {
        let _ = write(base, file, JOBS_DISK_WEIGHT);
    }
}

fn own_v2_path() -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut lines = own.lines();
    lines.find_map(|line| line.strip_prefix("0::/").map(str::to_owned))
}

/// Returns this process's own cgroup once it may have others in it. A cgroup with limits below it holds no
/// processes, so this one moves to a folder of its own; the supervisors that it starts are there, too.
fn delegated(tree: &Path, own: &str) -> Option<PathBuf> {
    if own.is_empty() {
        return None;
    }
    let own = tree.join(own);
    if own.file_name().is_some_and(|name| name == "supervisors") {
        return own.parent().map(Path::to_owned);
    }
    let me = std::process::id().to_string();
    let there = fs::read_to_string(own.join("cgroup.procs")).ok()?;
    if there.lines().any(|pid| pid != me) {
        // Somebody else's as well: a login session, say. It is not ours to rearrange.
        return None;
    }
    let supervisors = made(own.join("supervisors")).ok()?;
    write(&supervisors, "cgroup.procs", &me).ok()?;
    Some(own)
}

/// Makes a folder in which attempts can have limits.
fn ready(top: &Path, name: &str) -> io::Result<PathBuf> {
    let all = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
    let available = fs::read_to_string(top.join("cgroup.controllers"))?;
    let has = |name: &&str| available.split_whitespace().any(|there| there == *name);
    if !CONTROLLERS.iter().all(has) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    write(top, "cgroup.subtree_control", &all)?;
    let folder = made(top.join(name))?;
    write(&folder, "cgroup.subtree_control", &all)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_weigh_least_at_processors_and_disks() {
        let top = tempfile::tempdir().unwrap();
        let base = top.path().join("jobs");
        fs::create_dir(&base).unwrap();
        let files = [
            top.path().join("cgroup.subtree_control"),
            base.join("cpu.weight"),
            base.join("io.bfq.weight"),
        ];
        for file in &files {
            fs::write(file, "").unwrap();
        }
        make_light(&base);
        let written = files.map(|file| fs::read_to_string(file).unwrap());
        assert_eq!(written, ["+io", JOBS_WEIGHT, "default 1"]);
        assert!(!base.join("io.weight").exists());
    }

    #[test]
    fn trees_are_told_from_other_mounts() {
        let v1 = tree("39 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:14 - cgroup cgroup rw,cpu,cpuacct").unwrap();
        assert_eq!(v1.folder, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(!v1.v2 && v1.controllers.iter().any(|name| name == "cpuacct"));
        assert!(
            tree("30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate")
                .unwrap()
                .v2
        );
        assert!(tree("30 23 0:26 / /tmp rw - tmpfs tmpfs rw").is_none());
    }
}
