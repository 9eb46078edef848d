//! An org on this computer: its coordinator, its owner alice, and members who lend their machines. What the
//! demo shows and the benchmark measures.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::{net::UnixDatagram, process::CommandExt},
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    person::{Person, Voice},
    stage::Stage,
};

/// How long the coordinator may take to say that it is ready, and a machine to become available.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often is looked whether they are.
const LOOK: Duration = Duration::from_millis(50);

const COORDINATOR: &str = "compute-share-coordinator";
/// The socket where the coordinator says that it is ready.
const READY: &str = "ready";

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) stage: Stage,
    pub(crate) alice: Person,
    pub(crate) coordinator: Child,
    programs: PathBuf,
    voice: Voice,
}

impl Pool {
    /// Sets an org named `lab` up, starts its coordinator, and signs alice in.
    ///
    /// # Errors
    /// Any of it fails.
    pub(crate) fn open(stage: Stage, programs: &Path, voice: Voice) -> Result<Self> {
        Self::open_at(stage, programs, voice, &free_address()?.to_string(), None)
    }

    /// As [`Pool::open`], at an address of another process's network.
    ///
    /// # Errors
    /// Any of it fails.
    pub(crate) fn open_at(
        stage: Stage,
        programs: &Path,
        voice: Voice,
        address: &str,
        network: Option<u32>,
    ) -> Result<Self> {
        let mut alice = Person::new(stage.path(), "alice", programs, voice)?;
        if let Some(network) = network {
            alice = alice.move_to(network);
        }
        let init = ["init", "--org", "lab", "--owner", "alice"];
        let place = [
            "--listen",
            address,
            "--address",
            address,
            "--data",
            "coordinator",
        ];
        let init = alice.does(&[&[COORDINATOR], &init[..], &place[..]].concat())?;
        let coordinator = start_coordinator(&alice, stage.path())?;
        alice.does(&["compute-share", "login", init.link()?])?;
        Ok(Self {
            stage,
            alice,
            coordinator,
            programs: programs.to_owned(),
            voice,
        })
    }

    /// Returns a new member.
    ///
    /// # Errors
    /// Inviting or joining fails.
    pub(crate) fn member(&self, handle: &str) -> Result<Person> {
        self.member_in(handle, None)
    }

    /// As [`Pool::member`], in another process's network.
    ///
    /// # Errors
    /// Inviting or joining fails.
    pub(crate) fn member_in(&self, handle: &str, network: Option<u32>) -> Result<Person> {
        let mut person = Person::new(self.stage.path(), handle, &self.programs, self.voice)?;
        if let Some(network) = network {
            person = person.move_to(network);
        }
        let invitation = self.alice.does(&["compute-share", "invite", "create"])?;
        let link = invitation.link()?;
        person.does(&["compute-share", "join", link, "--handle", handle])?;
        Ok(person)
    }

    /// Ends the coordinator with this signal and starts it again. Returns when it was started; it is ready now.
    ///
    /// # Errors
    /// It does not end, or does not come back.
    pub(crate) fn restart(&mut self, signal: Signal) -> Result<Instant> {
        let pid = Pid::from_child(&self.coordinator);
        kill_process(pid, signal).context("cannot end the coordinator")?;
        self.coordinator.wait()?;
        fs::remove_file(self.stage.path().join(READY))?;
        let begin = Instant::now();
        self.coordinator = start_coordinator(&self.alice, self.stage.path())?;
        Ok(begin)
    }

    /// Registers a member's machine and approves it; its agent is not started.
    ///
    /// # Errors
    /// Any of it fails.
    pub(crate) fn register(&self, person: &Person, machine: &str) -> Result<()> {
        person.does(&["compute-share", "register", "--name", machine])?;
        let approve = ["compute-share", "machine", "approve", machine];
        self.alice.does(&approve).map(drop)
    }

    /// Registers a member's machine, starts its agent, approves it, and waits until it can be used.
    ///
    /// # Errors
    /// Any of it fails, or takes too long.
    pub(crate) fn lend(&self, person: &Person, machine: &str) -> Result<()> {
        person.does(&["compute-share", "register", "--name", machine])?;
        person.does(&["compute-share", "start"])?;
        let approve = ["compute-share", "machine", "approve", machine];
        self.alice.does(&approve)?;
        let begin = Instant::now();
        loop {
            let shown = self
                .alice
                .asks(&["compute-share", "machine", "show", machine])?;
            if shown["status"] == "available" {
                return Ok(());
            }
            if begin.elapsed() > READY_LIMIT {
                bail!("{machine} did not become available: {shown}");
            }
            thread::sleep(LOOK);
        }
    }
}

/// Starts the coordinator in the background and waits until it says, as it does to systemd, that it is ready.
fn start_coordinator(alice: &Person, folder: &Path) -> Result<Child> {
    let ready = folder.join(READY);
    let socket = UnixDatagram::bind(&ready).context("cannot wait for the coordinator")?;
    socket.set_read_timeout(Some(LOOK))?;
    let words = [COORDINATOR, "run", "--data", "coordinator"];
    alice.types(&format!("{} &", words.join(" ")));
    let log = folder.join("coordinator.log");
    let file = File::create(&log).context("cannot write the coordinator's log")?;
    let mut command = alice.command(&words);
    command.env("NOTIFY_SOCKET", &ready).process_group(0);
    command.stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().context("cannot start the coordinator")?;
    let mut message = [0; 4096];
    let begin = Instant::now();
    while begin.elapsed() < READY_LIMIT && child.try_wait()?.is_none() {
        let length = socket.recv(&mut message).unwrap_or(0);
        let text = String::from_utf8_lossy(&message[..length]);
        if text.lines().any(|line| line == "READY=1") {
            return Ok(child);
        }
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    bail!("the coordinator did not say that it is ready; its log: {said}")
}

/// A free port of loopback. Nobody is given it between here and the coordinator's start: the kernel hands out
/// such ports in turn.
pub(crate) fn free_address() -> Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.local_addr())
        .context("loopback has no free port")
}
