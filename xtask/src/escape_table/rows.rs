//! The rows of the escape table, in their order.

/// Something that a job tries.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) tries: &'static str,
    pub(super) shown: Shown,
}

/// Which tests show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The sandbox's own, in every way.
    Here,
    /// Others, because the backend has no part in it; where.
    Elsewhere(&'static str),
}

const fn row(name: &'static str, tries: &'static str) -> Row {
    let shown = Shown::Here;
    Row { name, tries, shown }
}

pub(super) const ROWS: &[Row] = &[
    row(
        "F1",
        "read home folders, shadow, SSH keys, the agent's state",
    ),
    row(
        "F2",
        "find secrets of the host in any file or process within reach",
    ),
    row("F3", "change a dataset in any way"),
    row("F4", "mount something writable that is not"),
    row("F5", "unmount what is mounted, or mount over it"),
    row("F6", "mount or open a disk of the host"),
    row("F7", "gain from set-user-id programs"),
    row(
        "F8",
        "run a program from a dataset, by itself or through the loader",
    ),
    row("F9", "leave results that are links out of their folder"),
    row("F10", "swap folders and links while results are collected"),
    row(
        "F11",
        "leave pipes, sockets, devices, giant files, names that are no text",
    ),
    row("F12", "find open files or a folder of the host"),
    row("F13", "overwrite what launched it"),
    row("F14", "bring an image with links where the sandbox mounts"),
    row("F15", "change the kernel's settings"),
    row("F16", "read the kernel's memory, messages, keys, devices"),
    row("F17", "open files by handle"),
    row("F18", "see, leave or change its cgroup"),
    row("F19", "make namespaces of its own"),
    row(
        "F20",
        "trace, read or signal processes that are not its own",
    ),
    row(
        "F21",
        "reach the owner's sockets: desktop, D-Bus, containers, SSH agent",
    ),
    row("F22", "share memory or queues with another job"),
    row("F23", "type into a terminal"),
    row(
        "F24",
        "call what no job needs: bpf, perf, io_uring, modules, reboot",
    ),
    row("F25", "call the kernel the way of another architecture"),
    row("F26", "keep a capability or gain one"),
    row(
        "F27",
        "read another job's files, or what one before it left",
    ),
    row("F28", "find the agent's environment in its own"),
    row(
        "N1",
        "connect to the host, its network, or special addresses",
    ),
    row("N2", "get the proxy to connect to such addresses"),
    row("N3", "change the network's rules or addresses"),
    row("N4", "make sockets of rare kinds"),
    row("N5", "listen for the world"),
    row("N6", "exhaust the proxy with connections"),
    row("R1", "take more memory than its limit"),
    row("R2", "take memory behind files"),
    row("R3", "fork without end"),
    row("R4", "take more processor time than its limit"),
    row("R5", "fill the disk"),
    row("R6", "write output without end"),
    row("R7", "leave processes behind that ignore every signal"),
    row("R8", "outlive its supervisor or the agent"),
    row("R9", "outlive its end by being frozen"),
    row("R10", "go on after its time"),
    row("R11", "get ahead of the owner's own programs"),
    row(
        "R12",
        "use up what its user may have of watches, queues, pipes",
    ),
    row(
        "R13",
        "dump core, open a million files, nest folders without end",
    ),
    row("G1", "open a GPU that it was not granted"),
    Row {
        name: "G2",
        tries: "take more of a GPU's memory than its share (tried with a mock of the driver's library)",
        shown: Shown::Elsewhere("other tests"),
    },
    row(
        "G3",
        "have its image's variables used by programs of the host",
    ),
];
