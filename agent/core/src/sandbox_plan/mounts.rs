//! What is where in a sandbox: the machine's programs, devices, small files of its own, the job's folders.

use std::path::Path;

use common::{name::Name, status::Network, units::Bytes};

use super::{
    Access, Content, DatasetFolder, Host, INSIDE_UID, Mount, OUTPUT, PlanInput, TopEntry, WORK,
    gpu::gpu_mounts, image_root,
};
use crate::address::NAMESERVER;

/// Parts of the host's `/etc` that programs need and that say nothing about its owner.
const ETC: [&str; 8] = [
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/mime.types",
    "/etc/services",
];
/// Devices that every job has.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

pub(super) fn mounts(input: &PlanInput<'_>, memory: Bytes) -> Vec<Mount> {
    let own = own(input, memory);
    let mut mounts = match input.image {
        None => host_root(input.host),
        Some(image) => image_root::around(image, &own),
    };
    mounts.extend(own);
    mounts
}

/// Returns the machine's own programs and what they need.
fn host_root(host: &Host) -> Vec<Mount> {
    let mut mounts = vec![bind("/usr", Path::new("/usr"), Access::ReadOnly, false)];
    for (name, entry) in &host.top {
        let target = format!("/{name}");
        mounts.push(match entry {
            TopEntry::Link(to) => link(&target, to),
            TopEntry::Folder | TopEntry::File => {
                bind(&target, Path::new(&target), Access::ReadOnly, false)
            }
        });
    }
    mounts.push(link("/etc/os-release", "../usr/lib/os-release"));
    mounts.extend(ETC.map(|path| bind(path, Path::new(path), Access::ReadOnly, true)));
    mounts
}

/// Returns what is in every sandbox, whatever its programs are.
pub(super) fn own(input: &PlanInput<'_>, memory: Bytes) -> Vec<Mount> {
    let mut mounts = Vec::new();
    mounts.extend(DEVICES.map(|path| bind(path, Path::new(path), Access::Device, false)));
    mounts.extend(gpu_mounts(input));
    let links = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
        ("/etc/mtab", "/proc/mounts"),
    ];
    mounts.extend(links.map(|(target, to)| link(target, to)));
    let nameserver = (input.spec.network == Network::Full)
        .then(|| ("/etc/resolv.conf", format!("nameserver {NAMESERVER}\n")));
    let texts = etc_texts(input.machine).into_iter().chain(nameserver);
    mounts.extend(texts.map(|(target, text)| Mount {
        target: target.to_owned(),
        content: Content::Text { text },
    }));
    // What is in memory counts towards the memory limit; the size is for machines that have none.
    for (target, size) in [
        ("/tmp", memory),
        ("/dev/shm", Bytes((memory.0 / 2).max(1 << 20))),
    ] {
        mounts.push(Mount {
            target: target.to_owned(),
            content: Content::Scratch { size },
        });
    }
    let folders = input.folders;
    mounts.push(bind(WORK, &folders.work, Access::Writable, false));
    mounts.push(bind(OUTPUT, &folders.output, Access::Writable, false));
    let datasets = input.spec.datasets.iter().zip(&folders.datasets);
    mounts.extend(datasets.map(|(dataset, folder)| match folder {
        DatasetFolder::Whole(source) => bind(&dataset.path, source, Access::Data, false),
        DatasetFolder::Lazy(lazy) => Mount {
            target: dataset.path.clone(),
            content: Content::Lazy(lazy.clone()),
        },
    }));
    mounts
}

/// Returns the files of `/etc` that are the sandbox's own.
fn etc_texts(machine: &Name) -> [(&'static str, String); 5] {
    let passwd = format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n\
         job:x:{INSIDE_UID}:{INSIDE_UID}:job:{WORK}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let group = format!("root:x:0:\njob:x:{INSIDE_UID}:\nnogroup:x:65534:\n");
    let hosts = format!("127.0.0.1 localhost {machine}\n::1 localhost {machine}\n");
    [
        ("/etc/passwd", passwd),
        ("/etc/group", group),
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{machine}\n")),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
        ),
    ]
}

pub(super) fn link(target: &str, to: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        content: Content::Link { to: to.to_owned() },
    }
}

pub(super) fn bind(target: &str, source: &Path, access: Access, optional: bool) -> Mount {
    Mount {
        target: target.to_owned(),
        content: Content::Bind {
            source: source.to_owned(),
            access,
            optional,
        },
    }
}
