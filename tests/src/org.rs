//! An org with its coordinator, from nothing.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    binaries::binary,
    network::Cable,
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
        let folder = temporary_folder();
        let address = free_address();
        let data = folder.path().join("coordinator");
        let init = init_command(&data, address)
            .output()
            .expect("the coordinator can be started");
        assert!(
            init.status.success(),
            "init: {}",
            String::from_utf8_lossy(&init.stderr)
        );
        if !configuration.is_empty() {
            configure(&data.join("coordinator.toml"), configuration);
        }
        let log = folder.path().join("coordinator.log");
        let daemon = Daemon::spawn(run_command(&data), &log);
        let link = link_in(&String::from_utf8_lossy(&init.stdout)).expect("init prints a link");
        Self::sign_in(
            folder,
            Coordinator {
                data,
                log,
                address,
                daemon,
            },
            &link,
        )
    }

    /// As [`Org::start`], with the coordinator's data on a disk of `mebibytes` of its own, in a mount
    /// namespace of its own: only the coordinator's process sees the data.
    pub fn start_on_small_disk(mebibytes: u32) -> Self {
        let folder = temporary_folder();
        let address = free_address();
        let data = folder.path().join("coordinator");
        std::fs::create_dir(&data).expect("a temporary folder can be written");
        let [init, run] = [init_command(&data, address), run_command(&data)].map(|command| {
            let words = [command.get_program()]
                .into_iter()
                .chain(command.get_args());
            let quoted = words.map(|word| format!("'{}'", word.to_string_lossy()));
            quoted.collect::<Vec<_>>().join(" ")
        });
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m,mode=700 small '{}' && {init} && exec {run}",
            data.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let log = folder.path().join("coordinator.log");
        let daemon = Daemon::spawn(command, &log);
        let link = until("init to print a link", || link_in(&daemon.printed()));
        Self::sign_in(
            folder,
            Coordinator {
                data,
                log,
                address,
                daemon,
            },
            &link,
        )
    }

    fn sign_in(folder: tempfile::TempDir, coordinator: Coordinator, link: &str) -> Self {
        let alice = Person::new(folder.path(), "alice");
        until("the coordinator to answer", || {
            alice.run(&["login", link]).succeeded()
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
        self.agent_at(person, name, self.coordinator.address)
    }

    /// As [`Org::agent`], with an agent that reaches the coordinator through `cable` only.
    pub fn agent_behind(&self, cable: &Cable, person: &Person, name: &str) -> Agent {
        self.agent_at(person, name, cable.address())
    }

    fn agent_at(&self, person: &Person, name: &str, address: SocketAddr) -> Agent {
        person.run(&["register", "--name", name]).expect_success();
        person.replace_in_files(&self.coordinator.address.to_string(), &address.to_string());
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
        // Two cannot have one folder, and the one that comes later gives up.
        self.daemon.kill();
        self.daemon = Daemon::spawn(run_command(&self.data), &self.log);
    }

    /// Returns how a second coordinator on the same data, or any other subcommand there, is answered.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(binary("compute-share-coordinator"));
        command.args(arguments).arg("--data").arg(&self.data);
        command.output().expect("the coordinator can be started")
    }
}

fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn init_command(data: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(binary("compute-share-coordinator"));
    let address = address.to_string();
    command.args([
        "init", "--org", "lab", "--owner", "alice", "--listen", &address,
    ]);
    command.args(["--address", &address, "--data"]).arg(data);
    command
}

fn link_in(printed: &str) -> Option<String> {
    printed
        .lines()
        .find(|line| line.starts_with("compute-share://"))
        .map(str::to_owned)
}

/// Replaces keys of a configuration file.
fn configure(file: &Path, lines: &str) {
    let written = std::fs::read_to_string(file).expect("init wrote a configuration");
    let key = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
    let kept = written
        .lines()
        .filter(|old| !lines.lines().any(|new| key(new) == key(old)));
    let text = format!("{lines}\n{}\n", kept.collect::<Vec<_>>().join("\n"));
    std::fs::write(file, text).expect("the configuration can be written");
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
