//! The virtual machine's files: a small Debian, its kernel, and what was just built.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::at;
use crate::{
    packages,
    workspace::{self, cargo, root, target},
};

const RELEASE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
const KERNEL: &str = "linux-image-cloud-amd64";
/// Besides what every Debian has.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,jq,kmod,procps,e2fsprogs,iproute2,bubblewrap,\
                        nftables,slirp4netns,runsc,busybox-static";
/// Debian's installer writes it on every machine.
const HOSTS: &str = "127.0.0.1 localhost guest\n::1 localhost\n";
/// What is tried there, and the tests that run there.
const PROGRAMS: [&str; 2] = ["compute-share", "compute-share-coordinator"];
const TESTS: [&str; 1] = ["sandbox"];
/// Files of the project, and where they are in the machine.
const FILES: [(&str, &str, u32); 9] = [
    ("tests/vm/guest.sh", "opt/tests/guest.sh", 0o755),
    (
        "tests/vm/guest.service",
        "etc/systemd/system/guest.service",
        0o644,
    ),
    (
        "systemd/compute-share-agent.service",
        "usr/lib/systemd/system/compute-share-agent.service",
        0o644,
    ),
    (
        "systemd/compute-share-coordinator.service",
        "usr/lib/systemd/system/compute-share-coordinator.service",
        0o644,
    ),
    (
        "systemd/compute-share.sysusers.conf",
        "opt/tests/compute-share.conf",
        0o644,
    ),
    (
        "systemd/compute-share-coordinator.sysusers.conf",
        "opt/tests/compute-share-coordinator.conf",
        0o644,
    ),
    (
        "systemd/compute-share.tmpfiles.conf",
        "usr/lib/tmpfiles.d/compute-share.conf",
        0o644,
    ),
    (
        "systemd/compute-share-coordinator.tmpfiles.conf",
        "usr/lib/tmpfiles.d/compute-share-coordinator.conf",
        0o644,
    ),
    ("systemd/deb/agent/postrm", "opt/tests/postrm", 0o755),
];

/// What QEMU is given.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) kernel: PathBuf,
    pub(super) archive: PathBuf,
}

/// Makes everything; what was downloaded is kept.
pub(super) fn make() -> Result<Parts> {
    packages::ensure_vm()?;
    let folder = target()?.join("vm");
    fs::create_dir_all(&folder).with_context(|| at(&folder))?;
    let base = folder.join("base.tar");
    // What an earlier one was made of may have been less.
    let made_of = folder.join("base.packages");
    if !base.exists() || fs::read_to_string(&made_of).ok().as_deref() != Some(PACKAGES) {
        make_base(&folder, &base)?;
        fs::write(&made_of, PACKAGES).with_context(|| at(&made_of))?;
    }
    let kernel = kernel_in(&folder.join("kernel/boot"))?;
    let tree = folder.join("tree");
    remove(&tree)?;
    fs::create_dir_all(&tree).with_context(|| at(&tree))?;
    workspace::run(
        Command::new("tar")
            .arg("-xf")
            .arg(&base)
            .arg("-C")
            .arg(&tree),
    )?;
    install(&tree)?;
    let archive = pack(&folder, &tree)?;
    remove(&tree)?;
    Ok(Parts { kernel, archive })
}

/// Downloads a Debian and a kernel.
fn make_base(folder: &Path, base: &Path) -> Result<()> {
    let tree = folder.join("base");
    remove(&tree)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args([
        "--variant=minbase",
        &format!("--include={PACKAGES}"),
        RELEASE,
    ]);
    workspace::run(debootstrap.arg(&tree).arg(MIRROR))?;
    let downloaded = folder.join("kernel");
    remove(&downloaded)?;
    fs::create_dir_all(&downloaded).with_context(|| at(&downloaded))?;
    let name = kernel_package()?;
    let mut download = Command::new("apt-get");
    workspace::run(
        download
            .args(["download", "--quiet", &name])
            .current_dir(&downloaded),
    )?;
    let package = first(&downloaded, |name| name.ends_with(".deb"))?;
    workspace::run(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(package)
            .arg(&downloaded),
    )?;
    let modules = downloaded.join("lib/modules");
    workspace::run(
        Command::new("cp")
            .arg("-a")
            .arg(modules)
            .arg(tree.join("usr/lib/")),
    )?;
    for unneeded in [
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/locale",
    ] {
        remove(&tree.join(unneeded))?;
    }
    let version = first(&tree.join("usr/lib/modules"), |_| true)?;
    let version = version
        .file_name()
        .context("the kernel's version")?
        .to_owned();
    workspace::run(Command::new("chroot").arg(&tree).arg("depmod").arg(version))?;
    // Only what is whole gets its name.
    let unfinished = folder.join("base.unfinished");
    workspace::run(
        Command::new("tar")
            .arg("-cf")
            .arg(&unfinished)
            .arg("-C")
            .arg(&tree)
            .arg("."),
    )?;
    fs::rename(&unfinished, base).with_context(|| at(base))?;
    remove(&tree)
}

/// Returns the package that the general name stands for now.
fn kernel_package() -> Result<String> {
    let output = Command::new("apt-cache").args(["depends", KERNEL]).output();
    let output = output.context("cannot start apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut named = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let name = named.find(|name| name.starts_with("linux-image-"));
    name.map(str::to_owned)
        .with_context(|| format!("apt knows no {KERNEL}; run `apt-get update`"))
}

fn kernel_in(folder: &Path) -> Result<PathBuf> {
    first(folder, |name| name.starts_with("vmlinuz"))
}

fn first(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| at(folder))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(&fits)
    };
    paths
        .find(named)
        .with_context(|| format!("nothing that fits in {}", folder.display()))
}

/// Puts in what was built and what the project has for it.
fn install(tree: &Path) -> Result<()> {
    fs::create_dir_all(tree.join("opt/tests")).context("cannot make opt/tests")?;
    for (name, file) in build()? {
        if PROGRAMS.contains(&name.as_str()) {
            strip(&file, &tree.join("usr/bin").join(&name))?;
        }
        // The trials replace an installed program; the tests have one of their own.
        strip(&file, &tree.join("opt/tests").join(name))?;
    }
    for (from, to, mode) in FILES {
        let to = tree.join(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| at(parent))?;
        }
        fs::copy(root().join(from), &to).with_context(|| at(&to))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).with_context(|| at(&to))?;
    }
    fs::write(tree.join("etc/hostname"), "guest\n").context("cannot write the host's name")?;
    fs::write(tree.join("etc/hosts"), HOSTS).context("cannot write the host's addresses")?;
    // The serial line is the tests', and a login on it would keep everything waiting for a device manager.
    for (verb, unit) in [
        ("enable", "guest.service"),
        ("mask", "serial-getty@ttyS0.service"),
    ] {
        let mut systemctl = Command::new("systemctl");
        workspace::run(systemctl.arg("--root").arg(tree).args([verb, unit]))?;
    }
    Ok(())
}

fn strip(from: &Path, to: &Path) -> Result<()> {
    workspace::run(Command::new("strip").arg("-o").arg(to).arg(from))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).with_context(|| at(to))
}

/// Builds all that runs in the machine; returns the name and file of each. The whole workspace's choice of features is
/// that of `cargo xtask test`, which has built all of it where it went before.
fn build() -> Result<Vec<(String, PathBuf)>> {
    let mut build = cargo(&["build", "--workspace", "--locked", "--quiet"]);
    build.arg("--message-format=json");
    for program in PROGRAMS {
        build.args(["--bin", program]);
    }
    for test in TESTS {
        build.args(["--test", test]);
    }
    let output = build.stderr(Stdio::inherit()).output();
    let output = output.context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "what runs in the machine cannot be built"
    );
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let built = messages.filter_map(|line| {
        let message: Value = serde_json::from_slice(line).ok()?;
        let name = message["target"]["name"].as_str()?.to_owned();
        let file = message["executable"].as_str()?.into();
        let wanted = PROGRAMS.iter().chain(&TESTS).any(|wanted| *wanted == name);
        wanted.then_some((name, file))
    });
    let built: Vec<_> = built.collect();
    ensure!(
        built.len() == PROGRAMS.len() + TESTS.len(),
        "cargo built {built:?}"
    );
    Ok(built)
}

/// Packs the tree behind the small program that unpacks it.
fn pack(folder: &Path, tree: &Path) -> Result<PathBuf> {
    let outer = folder.join("outer");
    remove(&outer)?;
    fs::create_dir_all(outer.join("bin")).with_context(|| at(&outer))?;
    fs::copy("/bin/busybox", outer.join("bin/busybox")).context("cannot copy /bin/busybox")?;
    let init = outer.join("init");
    fs::copy(root().join("tests/vm/init"), &init).with_context(|| at(&init))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).with_context(|| at(&init))?;
    let inner = outer.join("tree.tar");
    workspace::run(
        Command::new("tar")
            .arg("-cf")
            .arg(&inner)
            .arg("-C")
            .arg(tree)
            .arg("."),
    )?;
    let archive = folder.join("archive.cpio");
    let script = "find . | cpio --quiet -o -H newc";
    let file = fs::File::create(&archive).with_context(|| at(&archive))?;
    let mut cpio = Command::new("sh");
    workspace::run(cpio.args(["-c", script]).current_dir(&outer).stdout(file))?;
    remove(&outer)?;
    Ok(archive)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| at(path))
        }
        _ => Ok(()),
    }
}
