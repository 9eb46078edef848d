//! An org with its coordinator, from nothing.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    binaries::binary,
    person::{Agent, Person},
    process::{Daemon, until},
};

/// A coordinator and the people around it, all in one temporary folder.
#[derive(Debug)]
pub struct Org {
    folder: tempfile::TempDir,
    pub coordinator: Coordinator,
    /// The owner, signed in.
    pub alice: Person,
}

/// The coordinator's process and data.
#[derive(Debug)]
pub struct Coordinator {
    data: PathBuf,
    log: PathBuf,
    pub address: SocketAddr,
    pub daemon: Daemon,
}

impl Org {
    /// Sets an org named `lab` up, starts its coordinator, and signs its owner `alice` in.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Org::start`], with lines put in front of the coordinator's configuration file.
    pub fn start_with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let address = free_address();
        let data = folder.path().join("coordinator");
        let init = Command::new(binary("compute-share-coordinator"))
            .args(["init", "--org", "lab", "--owner", "alice", "--listen"])
            .arg(address.to_string())
            .args(["--address", &address.to_string(), "-o", "json", "--data"])
            .arg(&data)
            .output()
            .expect("the coordinator can be started");
        assert!(
            init.status.success(),
            "init: {}",
            String::from_utf8_lossy(&init.stderr)
        );
        let answer: serde_json::Value = serde_json::from_slice(&init.stdout).expect("init's JSON");
        let link = answer["link"]
            .as_str()
            .expect("init prints a link")
            .to_owned();
        if !configuration.is_empty() {
            let file = data.join("coordinator.toml");
            let written = std::fs::read_to_string(&file).expect("init wrote a configuration");
            let kept = written.lines().filter(|line| {
                let key = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
                !configuration.lines().any(|own| key(own) == key(line))
            });
            let text = format!("{configuration}\n{}\n", kept.collect::<Vec<_>>().join("\n"));
            std::fs::write(file, text).expect("the configuration can be written");
        }
        let log = folder.path().join("coordinator.log");
        let daemon = Daemon::spawn(run_command(&data), &log);
        let coordinator = Coordinator {
            data,
            log,
            address,
            daemon,
        };
        let alice = Person::new(folder.path(), "alice");
        until("the coordinator to answer", || {
            alice.run(&["login", &link]).succeeded()
        });
        Self {
            folder,
            coordinator,
            alice,
        }
    }

    /// Returns a new member, invited by alice and joined.
    pub fn join(&self, handle: &str) -> Person {
        let person = self.stranger(handle);
        let link = self.invitation_link();
        person
            .run(&["join", &link, "--handle", handle])
            .expect_success();
        person
    }

    /// Returns somebody who is not a member.
    pub fn stranger(&self, handle: &str) -> Person {
        Person::new(self.folder.path(), handle)
    }

    pub fn invitation_link(&self) -> String {
        let invited = self.alice.json(&["invite", "create"]);
        invited[0]["link"]
            .as_str()
            .expect("an invitation has a link")
            .to_owned()
    }

    /// Registers `person`'s computer as `name`, starts its agent, approves it and waits until it can be used.
    pub fn agent(&self, person: &Person, name: &str) -> Agent {
        person.run(&["register", "--name", name]).expect_success();
        let agent = person.agent();
        self.alice
            .run(&["machine", "approve", name])
            .expect_success();
        self.wait_for_machine(name, "available");
        agent
    }

    pub fn wait_for_machine(&self, name: &str, status: &str) {
        until(&format!("{name} to be {status}"), || {
            let machine = self.alice.try_json(&["machine", "show", name])?;
            (machine["status"] == status).then_some(())
        });
    }

    /// Replaces the address that a person's command line and agent dial.
    pub fn redirect(&self, person: &Person, to: SocketAddr) {
        person.replace_in_files(&self.coordinator.address.to_string(), &to.to_string());
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Coordinator {
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts it again after it was stopped or killed.
    pub fn restart(&mut self) {
        self.daemon = Daemon::spawn(run_command(&self.data), &self.log);
    }

    /// Returns how a second coordinator on the same data, or any other subcommand there, is answered.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(binary("compute-share-coordinator"));
        command.args(arguments).arg("--data").arg(&self.data);
        command.output().expect("the coordinator can be started")
    }
}

fn run_command(data: &Path) -> Command {
    let mut command = Command::new(binary("compute-share-coordinator"));
    command.args(["run", "--data"]).arg(data);
    command
}

/// The port must stay the same over restarts, so it cannot be 0; nobody else on loopback is given it
/// between here and the start, as the kernel hands out ephemeral ports in turn.
fn free_address() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.local_addr())
        .expect("loopback has a free port")
}
