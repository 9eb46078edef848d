//! What the mock driver plays: the file `scenario` beside the library, read anew with every question.

use std::{
    ffi::{CStr, OsStr, c_void},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use super::{Code, nvmlShutdown};

/// Taken of every GPU's memory with nobody on it, where the scenario says nothing else.
const IDLE_MIB: u64 = 300;

#[derive(Default)]
pub(super) struct Scenario {
    pub(super) driver: String,
    pub(super) gpus: Vec<Gpu>,
    pub(super) claimed: Option<u32>,
    pub(super) broken: Code,
    /// How often the driver was loaded.
    pub(super) loaded: u64,
    /// Whether the memory of processes is not told.
    pub(super) untold: bool,
    pub(super) events: Vec<Event>,
    percents: Vec<(u32, u32)>,
}

#[derive(Default)]
pub(super) struct Gpu {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) memory_mib: u64,
    idle_mib: Option<u64>,
    processes: Vec<Process>,
    /// Memory in MiB and the whole command line of processes that are on it.
    commands: Vec<(u64, String)>,
    pub(super) claimed_processes: Option<u32>,
    pub(super) ecc: u64,
    pub(super) remap_pending: bool,
    pub(super) remap_failed: bool,
    pub(super) retiring: bool,
    pub(super) mig: bool,
    pub(super) fault: Code,
}

#[derive(Clone, Copy)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) mib: u64,
    pub(super) draws: bool,
}

/// One event; each number is delivered once.
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) gpu: usize,
    pub(super) xid: u64,
}

impl Scenario {
    pub(super) fn read() -> Self {
        let mut scenario = Self::default();
        let Some(text) = beside_library().and_then(|path| std::fs::read_to_string(path).ok())
        else {
            return scenario;
        };
        for line in text.lines() {
            scenario.take(line);
        }
        scenario
    }

    /// Takes one line; what makes no sense is passed over.
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |at: usize| words.get(at).copied().unwrap_or("");
        let number = |at: usize| word(at).parse::<u64>().unwrap_or(0);
        let small = |at: usize| u32::try_from(number(at)).unwrap_or(u32::MAX);
        let index = |at: usize| word(at).parse::<usize>().unwrap_or(usize::MAX);
        match (word(0), word(1)) {
            ("driver", version) => version.clone_into(&mut self.driver),
            ("count", claimed) => self.claimed = claimed.parse().ok(),
            ("loaded", _) => self.loaded = number(1),
            ("untold", _) => self.untold = true,
            ("percent", _) => self.percents.push((small(1), small(2))),
            ("xid", _) => self.events.push(Event {
                number: number(1),
                gpu: index(2),
                xid: number(3),
            }),
            ("gpu", uuid) => self.gpus.push(Gpu {
                uuid: uuid.to_owned(),
                memory_mib: number(2),
                name: words.get(3..).unwrap_or_default().join(" "),
                ..Gpu::default()
            }),
            ("fault", "all") => self.broken = small(2),
            (verb, _) => {
                let Some(gpu) = self.gpus.get_mut(index(1)) else {
                    return;
                };
                match verb {
                    "process" => gpu.processes.push(Process {
                        pid: small(2),
                        mib: number(3).max(1),
                        draws: word(4) == "draws",
                    }),
                    "command" => {
                        let line = words.get(3..).unwrap_or_default().join(" ");
                        gpu.commands.push((number(2), line));
                    }
                    "idle" => gpu.idle_mib = Some(number(2)),
                    "processes" => gpu.claimed_processes = Some(small(2)),
                    "ecc" => gpu.ecc = number(2),
                    "remap" => {
                        gpu.remap_pending = word(2) == "pending";
                        gpu.remap_failed = word(2) == "failed";
                    }
                    "retiring" => gpu.retiring = true,
                    "mig" => gpu.mig = true,
                    "fault" => gpu.fault = small(2),
                    _ => {}
                }
            }
        }
    }

    /// Returns how busy this process keeps its GPU.
    pub(super) fn percent(&self, pid: u32) -> Option<u32> {
        let mut percents = self.percents.iter();
        percents
            .find(|(whose, _)| *whose == pid)
            .map(|(_, percent)| *percent)
    }
}

impl Gpu {
    /// Returns the processes that are on it now.
    pub(super) fn processes(&self) -> Vec<Process> {
        let mut all = self.processes.clone();
        for (mib, line) in &self.commands {
            all.extend(running(line).map(|pid| Process {
                pid,
                mib: *mib,
                draws: false,
            }));
        }
        all
    }

    pub(super) fn used_mib(&self) -> u64 {
        let processes = self.processes();
        let held: u64 = processes.iter().map(|process| process.mib).sum();
        self.idle_mib.unwrap_or(IDLE_MIB).saturating_add(held)
    }
}

/// Returns every process of the machine with exactly this command line.
fn running(line: &str) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&bytes).replace('\0', " ");
        !words.is_empty() && words.trim_end() == line
    })
}

/// Returns the path of the file `scenario` in the folder that this library was loaded from.
fn beside_library() -> Option<std::path::PathBuf> {
    // SAFETY: dladdr fills the structure for an address inside this very library, and the name it points to
    // lives as long as the library is loaded.
    let library = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(nvmlShutdown as *const c_void, &raw mut info) == 0
            || info.dli_fname.is_null()
        {
            return None;
        }
        CStr::from_ptr(info.dli_fname).to_bytes().to_vec()
    };
    Some(
        Path::new(OsStr::from_bytes(&library))
            .parent()?
            .join("scenario"),
    )
}
