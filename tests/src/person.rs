//! A person at a computer of their own: command line, folders, agent.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{binaries::binary, process::Daemon, seat::Seat};

const XDG: [&str; 5] = [
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
];

/// See the module.
#[derive(Debug, Clone)]
pub struct Person {
    pub handle: String,
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// An agent's process.
#[derive(Debug)]
pub struct Agent {
    person: Person,
    pub daemon: Daemon,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Person {
    pub(crate) fn new(folder: &Path, handle: &str) -> Self {
        let home = folder.join(handle);
        for name in XDG {
            fs::create_dir_all(home.join(name)).expect("a temporary folder can be written");
        }
        fs::create_dir_all(home.join("here")).expect("a temporary folder can be written");
        Self {
            handle: handle.to_owned(),
            home,
            environment: Vec::new(),
        }
    }

    /// Sets a variable of everything that this person starts from here on.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    /// Returns the same person at a computer with this seat.
    pub fn at(mut self, seat: &Seat) -> Self {
        self.environment.extend(seat.environment());
        self
    }

    /// Returns an empty folder in which this person's commands run.
    pub fn here(&self) -> PathBuf {
        self.home.join("here")
    }

    /// Returns the folder of this person's agent.
    pub fn agent_folder(&self) -> PathBuf {
        self.home.join("XDG_STATE_HOME/compute-share/agent")
    }

    /// Returns the command line, ready to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("compute-share"));
        command
            .args(arguments)
            .current_dir(self.here())
            .stdin(Stdio::null());
        command
            .env("NO_COLOR", "1")
            .env("HOME", &self.home)
            .env("USER", &self.handle);
        for name in XDG {
            command.env(name, self.home.join(name));
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let output = self
            .command(arguments)
            .output()
            .expect("the command line can be started");
        Finished::new(&self.handle, arguments, &output)
    }

    /// Runs a command to its end, with this on its standard input.
    pub fn run_told(&self, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command line can be started");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        stdin
            .write_all(input.as_bytes())
            .expect("the command reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("the command ends");
        Finished::new(&self.handle, arguments, &output)
    }

    /// Runs a command that must succeed, and returns its JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let finished = self
            .run(&[&["-o", "json"], arguments].concat())
            .expect_success();
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error} in the JSON of {finished:?}"))
    }

    /// As [`Person::json`]; `None` where the command fails.
    pub fn try_json(&self, arguments: &[&str]) -> Option<Value> {
        let finished = self.run(&[&["-o", "json"], arguments].concat());
        finished.succeeded()?;
        serde_json::from_str(&finished.stdout).ok()
    }

    /// Starts this person's agent in the foreground, as a child of the test.
    pub fn agent(&self) -> Agent {
        Agent {
            person: self.clone(),
            daemon: self.spawn_agent(),
        }
    }

    fn spawn_agent(&self) -> Daemon {
        Daemon::spawn(self.command(&["agent"]), &self.home.join("agent.log"))
    }

    /// Starts a command and leaves it running.
    pub fn background(&self, name: &str, arguments: &[&str]) -> Daemon {
        Daemon::spawn(
            self.command(arguments),
            &self.home.join(format!("{name}.out")),
        )
    }

    /// Returns the state of a job in one word.
    pub fn job_status(&self, number: &str) -> Option<String> {
        let job = self.try_json(&["job", "show", number])?;
        Some(job["summary"]["status"].as_str()?.to_owned())
    }

    pub(crate) fn replace_in_files(&self, from: &str, to: &str) {
        let mut folders = vec![
            self.home.join("XDG_CONFIG_HOME"),
            self.home.join("XDG_STATE_HOME"),
        ];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "json" || e == "toml") {
                    let Ok(text) = fs::read_to_string(&path) else {
                        continue;
                    };
                    if text.contains(from) {
                        fs::write(&path, text.replace(from, to)).expect("own files can be written");
                    }
                }
            }
        }
    }
}

impl Agent {
    /// Starts it again after it was stopped or killed.
    pub fn restart(&mut self) {
        self.daemon = self.person.spawn_agent();
    }

    /// Returns the folder of the only attempt that the agent has now.
    pub fn attempt_folder(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.person.agent_folder().join("attempts"))
            .ok()?
            .flatten();
        entries.next().map(|entry| entry.path())
    }
}

impl Drop for Agent {
    /// Ends what the agent's supervisors still run: they outlive it on purpose.
    fn drop(&mut self) {
        self.daemon.kill();
        let folder = self.person.agent_folder();
        let Ok(processes) = fs::read_dir("/proc") else {
            return;
        };
        for process in processes.flatten() {
            let Some(pid) = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("supervise") && line.contains(&*folder.to_string_lossy()) {
                let pid = rustix::process::Pid::from_raw(pid).expect("a process has a pid");
                let _gone_meanwhile =
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Finished {
    fn new(handle: &str, arguments: &[&str], output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            line: format!("{handle}$ compute-share {}", arguments.join(" ")),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    pub fn succeeded(&self) -> Option<()> {
        (self.code == Some(0)).then_some(())
    }

    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "{}\n{}\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Checks that it was refused with this exit code and stable code, and says what, why and what to do.
    #[track_caller]
    pub fn expect_refusal(self, exit: i32, code: &str) -> Self {
        let Self {
            line,
            stdout,
            stderr,
            ..
        } = &self;
        assert_eq!(self.code, Some(exit), "{line}\n{stdout}\n{stderr}");
        assert!(stderr.contains(code), "{line}: no {code} in\n{stderr}");
        assert!(!stderr.contains("panicked"), "{line}\n{stderr}");
        for part in ["why", "help"] {
            assert!(stderr.contains(part), "{line}: no {part} in\n{stderr}");
        }
        self
    }

    /// Checks that standard error names `text`.
    #[track_caller]
    pub fn names(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{}: no {text:?} in\n{}",
            self.line,
            self.stderr
        );
        self
    }
}
