//! The sandbox looked at from inside: tries to get out, and says what held.
//!
//! The agent runs this as a job of its own when it starts, so that the isolation level that it reports is what
//! it saw and not what it hopes. Each line of output is one trial: `held NAME` or `broken NAME: WHY`.

use std::{
    fs,
    io::{self, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

mod calls;

/// What a line begins with.
pub(super) const HELD: &str = "held ";
pub(super) const BROKEN: &str = "broken ";
/// Where the probe puts a folder that must not be written to.
pub(super) const DATASET: &str = "/dataset";

/// Of the host, nothing of this is in a sandbox.
const ABSENT: [&str; 9] = [
    "/root",
    "/home",
    "/var",
    "/run",
    "/sys",
    "/boot",
    "/mnt",
    "/etc/shadow",
    "/etc/ssh",
];
/// Folders that cannot be written to, however the job tries.
const FIXED: [&str; 6] = ["/", "/usr", "/etc", "/dev", "/proc/sys/kernel", DATASET];
/// Parts of `/proc` that change the host or tell of it.
const MASKED: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kallsyms",
    "/proc/timer_list",
    "/proc/sysrq-trigger",
];
/// Settings of the kernel.
const SETTINGS: [&str; 3] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/drop_caches",
];
/// Somebody's network, each in its own way; nothing of it is there.
const ADDRESSES: [&str; 8] = [
    "10.0.0.1:80",
    "172.16.0.1:80",
    "192.168.1.1:80",
    "169.254.169.254:80",
    "192.0.2.1:80",
    "224.0.0.1:80",
    "[fe80::1]:80",
    "[2001:db8::1]:80",
];
/// For a connection that must not come about; refusing one takes no time.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(50);

type Trial = Result<(), String>;

/// Tries everything and returns the exit code: 0 if all held.
pub(crate) fn main() -> Option<i32> {
    let mut trials: Vec<(String, Trial)> = vec![
        ("status".to_owned(), status()),
        ("descriptors".to_owned(), descriptors()),
        ("first process".to_owned(), first_process()),
        ("own processes only".to_owned(), own_processes_only()),
    ];
    let each = |name: &str, paths: &[&str], trial: fn(&str) -> Trial| {
        let tried = paths
            .iter()
            .map(|path| (format!("{name} {path}"), trial(path)));
        tried.collect::<Vec<_>>()
    };
    trials.extend(each("absent", &ABSENT, absent));
    trials.extend(each("fixed", &FIXED, fixed));
    trials.extend(each("masked", &MASKED, masked));
    trials.extend(each("setting", &SETTINGS, setting));
    trials.extend(each("network", &ADDRESSES, unreachable));
    trials.extend(calls::trials());
    let mut out = io::stdout().lock();
    for (name, trial) in &trials {
        let line = match trial {
            Ok(()) => format!("{HELD}{name}"),
            Err(why) => format!("{BROKEN}{name}: {why}"),
        };
        writeln!(out, "{line}").ok()?;
    }
    Some(i32::from(trials.iter().any(|(_, trial)| trial.is_err())))
}

/// No capability in any set, no new privileges, a filter on system calls, no extra groups' rights.
fn status() -> Trial {
    let status = fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
    };
    for (name, expect) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("Uid", "1000\t1000\t1000\t1000"),
        ("Gid", "1000\t1000\t1000\t1000"),
    ] {
        if field(name) != Some(expect) {
            return Err(format!("{name} is {:?}", field(name)));
        }
    }
    Ok(())
}

/// Nothing is open but the three streams, and the one that this looks with.
fn descriptors() -> Trial {
    let open = fs::read_dir("/proc/self/fd").map_err(|e| e.to_string())?;
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let others: Vec<u32> = numbers.filter(|&number| number > 3).collect();
    if others.is_empty() {
        Ok(())
    } else {
        Err(format!("{others:?} are open"))
    }
}

/// The process that holds the sandbox together is closed to the job.
fn first_process() -> Trial {
    for name in ["mem", "environ", "fd", "root", "exe", "maps"] {
        let path = format!("/proc/1/{name}");
        let opened = match name {
            "fd" => fs::read_dir(&path).map(|_| ()),
            "root" | "exe" => fs::read_link(&path).map(|_| ()),
            _ => fs::read(&path).map(|_| ()),
        };
        if opened.is_ok() {
            return Err(format!("{path} can be read"));
        }
    }
    Ok(())
}

fn own_processes_only() -> Trial {
    let all = fs::read_dir("/proc").map_err(|e| e.to_string())?;
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let count = numbers.count();
    if count <= 2 {
        Ok(())
    } else {
        Err(format!("{count} processes are visible"))
    }
}

fn absent(path: &str) -> Trial {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("it is there".to_owned()),
    }
}

fn fixed(path: &str) -> Trial {
    if !Path::new(path).exists() {
        return Ok(());
    }
    let new = Path::new(path).join("compute-share-trial");
    match fs::write(&new, "x") {
        Ok(()) => Err("a file could be made in it".to_owned()),
        Err(_) => Ok(()),
    }
}

fn masked(path: &str) -> Trial {
    let Ok(meta) = fs::metadata(path) else {
        return Ok(());
    };
    // The mask is /dev/null, character device 1:3.
    if meta.rdev() == 0x103 {
        return Ok(());
    }
    match fs::File::open(path) {
        Ok(_) => Err("it can be opened".to_owned()),
        Err(_) => Ok(()),
    }
}

fn setting(path: &str) -> Trial {
    match fs::OpenOptions::new().write(true).open(path) {
        Ok(_) => Err("it can be changed".to_owned()),
        Err(_) => Ok(()),
    }
}

fn unreachable(address: &str) -> Trial {
    let address: SocketAddr = address.parse().map_err(|_| "not an address".to_owned())?;
    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
        Ok(_) => Err("it answers".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err("packets go out".to_owned()),
        Err(_) => Ok(()),
    }
}
