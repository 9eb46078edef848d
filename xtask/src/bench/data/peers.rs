//! What is measured beside Compute Share: bare QUIC, and rsync's daemon, which sends plaintext.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Tools, place::Place, seconds};
use crate::bench::process::{Ended, until_ready};

const DROPPING_PORT: u16 = 7001;
const KEEPING_PORT: u16 = 7003;
const RSYNC_PORT: u16 = 7002;
/// How long a server may take to listen.
const READY_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Bytes over QUIC that nobody reads from a disk.
#[derive(Debug)]
pub(super) struct BareQuic {
    _server: Ended,
    rig: PathBuf,
    address: SocketAddr,
    certificate: PathBuf,
    /// Where what came is kept.
    keep: Option<PathBuf>,
}

impl BareQuic {
    /// Drops what comes.
    pub(super) fn dropping(tools: &Tools, place: &Place, ip: &str, folder: &Path) -> Result<Self> {
        Self::listen(
            tools,
            place,
            SocketAddr::new(ip.parse()?, DROPPING_PORT),
            folder,
            None,
        )
    }

    /// Writes what comes to files in `folder` and answers once they are synced, as whoever promises to have it must.
    pub(super) fn keeping(tools: &Tools, place: &Place, ip: &str, folder: &Path) -> Result<Self> {
        let (address, keep) = (
            SocketAddr::new(ip.parse()?, KEEPING_PORT),
            folder.join("kept"),
        );
        fs::create_dir_all(&keep)?;
        Self::listen(tools, place, address, folder, Some(&keep))
    }

    fn listen(
        tools: &Tools,
        place: &Place,
        address: SocketAddr,
        folder: &Path,
        keep: Option<&Path>,
    ) -> Result<Self> {
        let certificate = folder.join(format!("quic-{}.der", address.port()));
        let mut listen = place.enter(&tools.rig);
        listen
            .arg("quic-listen")
            .arg(address.to_string())
            .arg(&certificate);
        if let Some(keep) = keep {
            listen.arg("--keep").arg(keep);
        }
        let server = Ended(until_ready(&mut listen).context("bare QUIC does not listen")?);
        Ok(Self {
            _server: server,
            rig: tools.rig.clone(),
            address,
            certificate,
            keep: keep.map(Path::to_owned),
        })
    }

    /// Returns how long so much took over eight streams.
    pub(super) fn put(&self, from: &Place, mib: u64) -> Result<f64> {
        let mut put = from.enter(&self.rig);
        put.arg("quic-put")
            .arg(self.address.to_string())
            .arg(&self.certificate);
        put.args(["--streams", "8", "--mib", &mib.to_string()]);
        let output = put.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{put:?} ended with {}",
            output.status
        );
        if let Some(keep) = &self.keep {
            // The next one writes new files, as this one did.
            fs::remove_dir_all(keep)?;
            fs::create_dir(keep)?;
        }
        said.trim()
            .parse()
            .with_context(|| format!("{put:?} printed {said:?}"))
    }
}

/// rsync's daemon with one folder to read from and one to write to.
#[derive(Debug)]
pub(super) struct Rsync {
    _daemon: Ended,
    url: String,
}

impl Rsync {
    /// `outbox` is served, `inbox` is written to; both must be there.
    pub(super) fn serve(
        place: &Place,
        ip: &str,
        folder: &Path,
        outbox: &Path,
        inbox: &Path,
    ) -> Result<Self> {
        let config = folder.join("rsyncd.conf");
        let (outbox, inbox) = (outbox.display(), inbox.display());
        fs::write(
            &config,
            format!(
                "use chroot=no\nuid=root\ngid=root\n[out]\npath={outbox}\n[in]\npath={inbox}\nread only=no\n"
            ),
        )?;
        let mut serve = place.enter("rsync");
        serve.args([
            "--daemon",
            "--no-detach",
            "--address",
            ip,
            "--port",
            &RSYNC_PORT.to_string(),
        ]);
        serve.arg("--config").arg(&config);
        let daemon = Ended(serve.spawn()?);
        let url = format!("rsync://{ip}:{RSYNC_PORT}");
        until_it_answers("rsync's daemon", || {
            let mut ask = place.enter("rsync");
            ask.arg(&url);
            ask
        })?;
        Ok(Self {
            _daemon: daemon,
            url,
        })
    }

    /// Returns how long fetching the outbox's `name` into `to` took.
    pub(super) fn down(&self, at: &Place, name: &str, to: &Path) -> Result<f64> {
        seconds(
            at.enter("rsync")
                .args(["-rt", &format!("{}/out/{name}", self.url)])
                .arg(to),
        )
    }

    /// Returns how long sending `from` into the inbox took.
    pub(super) fn up(&self, at: &Place, from: &Path) -> Result<f64> {
        seconds(
            at.enter("rsync")
                .arg("-rt")
                .arg(from)
                .arg(format!("{}/in/", self.url)),
        )
    }
}

/// Returns how long `cp -r` took.
pub(super) fn copy(from: &Path, to: &Path) -> Result<f64> {
    seconds(Command::new("cp").arg("-r").args([from, to]))
}

/// Waits until a command succeeds that asks a server something.
pub(super) fn until_it_answers(server: &str, mut ask: impl FnMut() -> Command) -> Result<()> {
    let begin = Instant::now();
    while let Err(error) = seconds(&mut ask()) {
        ensure!(
            begin.elapsed() < READY_LIMIT,
            "{server} does not answer: {error}"
        );
        thread::sleep(LOOK);
    }
    Ok(())
}
