//! What has to be on the machine besides Rust: found by looking, installed from Debian as root, named otherwise.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::workspace::{is_there, run};

/// A Debian package, and how to tell that what it brings is there, from wherever it came.
#[derive(Debug)]
struct Package {
    name: &'static str,
    brings: Brings,
    why: &'static str,
}

#[derive(Debug)]
enum Brings {
    Program(&'static str),
    Header(&'static str),
    File(&'static str),
}

const PACKAGES: &[Package] = &[
    Package {
        name: "gcc",
        brings: Brings::Program("cc"),
        why: "the linker, and the C part of aws-lc-rs",
    },
    Package {
        name: "libc6-dev",
        brings: Brings::Header("stdlib.h"),
        why: "the C library's headers",
    },
    Package {
        name: "dbus-daemon",
        brings: Brings::Program("dbus-daemon"),
        why: "a bus of its own for tests of who is at the keyboard",
    },
    Package {
        name: "bubblewrap",
        brings: Brings::Program("bwrap"),
        why: "the second way of making sandboxes, which every sandbox test is done with, too",
    },
    Package {
        name: "slirp4netns",
        brings: Brings::Program("slirp4netns"),
        why: "jobs with a full network",
    },
    Package {
        name: "nftables",
        brings: Brings::File("/usr/sbin/nft"),
        why: "the rules of a full network",
    },
    Package {
        name: "iproute2",
        brings: Brings::Program("ip"),
        why: "networks to try jobs in",
    },
    Package {
        name: "runsc",
        brings: Brings::Program("runsc"),
        why: "gVisor, for jobs that ask for strong isolation",
    },
    Package {
        name: "docker-registry",
        brings: Brings::Program("docker-registry"),
        why: "a registry of images to test against",
    },
    Package {
        name: "busybox-static",
        brings: Brings::File("/bin/busybox"),
        why: "the programs in the images of tests",
    },
];

/// What the virtual machine is made with.
const VM_PACKAGES: &[Package] = &[
    Package {
        name: "qemu-system-x86",
        brings: Brings::Program("qemu-system-x86_64"),
        why: "emulates the machine",
    },
    Package {
        name: "debootstrap",
        brings: Brings::Program("debootstrap"),
        why: "makes its Debian",
    },
    Package {
        name: "cpio",
        brings: Brings::Program("cpio"),
        why: "packs it",
    },
    Package {
        name: "busybox-static",
        brings: Brings::File("/bin/busybox"),
        why: "its first program",
    },
    Package {
        name: "systemd",
        brings: Brings::Program("systemctl"),
        why: "sets its service up",
    },
];

/// Makes sure that the machine has what the build needs.
///
/// # Errors
/// Something is missing and cannot be installed from here; the text says how to.
pub(crate) fn ensure() -> Result<()> {
    install(PACKAGES)
}

/// Makes sure that the machine has what the virtual machine is made with.
///
/// # Errors
/// As for [`ensure`].
pub(crate) fn ensure_vm() -> Result<()> {
    install(VM_PACKAGES)
}

fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|package| !package.is_there())
        .collect();
    if missing.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    for package in &missing {
        println!("missing: {} ({})", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!("apt-get install {}", names.join(" "));
    if !rustix::process::geteuid().is_root() {
        bail!("install what is missing, on Debian with `sudo {by_hand}`");
    }
    if !is_there("apt-get", &["--version"]) {
        bail!("install what is missing; on Debian it would be `{by_hand}`");
    }
    run(&mut apt(&["update", "--quiet"]))?;
    run(apt(&["install", "--yes", "--quiet", "--no-install-recommends"]).args(&names))
}

impl Package {
    fn is_there(&self) -> bool {
        match self.brings {
            Brings::Program(program) => is_there(program, &["--version"]),
            Brings::File(file) => std::path::Path::new(file).exists(),
            Brings::Header(header) => finds_header(header).unwrap_or(false),
        }
    }
}

/// Returns whether the C compiler, wherever it looks, knows a header.
fn finds_header(header: &str) -> io::Result<bool> {
    let mut compiler = Command::new("cc");
    compiler.args(["-E", "-x", "c", "-"]).stdin(Stdio::piped());
    compiler.stdout(Stdio::null()).stderr(Stdio::null());
    let mut compiler = compiler.spawn()?;
    if let Some(mut source) = compiler.stdin.take() {
        writeln!(source, "#include <{header}>")?;
    }
    Ok(compiler.wait()?.success())
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).stdin(Stdio::null());
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_from_what_is_not() {
        let there = |name| {
            let why = "";
            Package {
                name,
                brings: Brings::Header(name),
                why,
            }
            .is_there()
        };
        assert!(there("stdlib.h"));
        assert!(!there("no-such-header-anywhere.h"));
        assert!(!is_there("no-such-program-anywhere", &["--version"]));
    }
}
