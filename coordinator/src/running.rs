//! A coordinator at work: put together from its data folder, and taken apart in the right order.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use certs::{Authority, SealingKey};
use common::{code::Code, id::Fingerprint, problem::Problem};
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    blobs,
    clock::Clock,
    config::Config,
    desk::{Desk, Wires, blocking},
    doors::accept,
    engine::{Clerk, Engine, Outside},
    folder,
    guard::Guard,
    homes::OrgHomes,
    kept::Kept,
    listen::{self, ResetKey},
    logs::Logs,
    loops::{counting, forgetting, keeping, lease, moving, renewal, scrub, sweep, waking},
    setup::{open_authority, open_sealing_key_of},
    store::{Opened, Store, StoreError},
};

/// How long the last words to connections may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A coordinator that runs.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    fingerprint: Fingerprint,
    endpoint: quinn::Endpoint,
    engine: Engine,
    engine_thread: thread::JoinHandle<()>,
    failed: oneshot::Receiver<Problem>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// Starts a coordinator. Must be called within a tokio runtime.
///
/// # Errors
/// There is none in the folder, its store cannot be used, or the address is taken.
pub async fn run(config: Config) -> Result<Running, Problem> {
    certs::install_crypto();
    blocking(move || open(config)).await?.start()
}

const NOT_STARTED: &str = "The coordinator was not started";

/// Everything that was read and opened, before anybody can come in.
struct Ready {
    config: Config,
    authority: Authority,
    sealing_key: Arc<SealingKey>,
    opened: Opened,
    logs: Logs,
    reset_key: ResetKey,
}

fn open(config: Config) -> Result<Ready, Problem> {
    let data = &config.data;
    let io = |error: &dyn std::error::Error| {
        let why = crate::store::chain(error);
        Problem::new(Code::Io, NOT_STARTED, why)
    };
    // The book first: while another process has it, nothing else is touched.
    let opened = Store::open(&folder::store(data))?;
    Ok(Ready {
        authority: open_authority(data)?,
        sealing_key: Arc::new(open_sealing_key_of(data, &opened.state)?),
        opened,
        logs: Logs::open(&folder::logs(data)).map_err(|error| io(&error))?,
        reset_key: ResetKey::open(&folder::reset_key(data)).map_err(|error| io(&error))?,
        config,
    })
}

impl Ready {
    fn start(self) -> Result<Running, Problem> {
        let Opened {
            store,
            state,
            newest_at,
        } = self.opened;
        let kept = Kept::load(&self.config.data);
        let seen = kept.system_at.unwrap_or(newest_at);
        let trusted = self.config.clock_is_right;
        let clock = Arc::new(Clock::resume(newest_at.max(kept.at), seen, trusted)?);
        let identity = self.authority.server_identity(clock.system());
        let identity = identity.map_err(|error| renewal::problem(&error))?;
        let tls = certs::server_config(&identity).map_err(|error| renewal::problem(&error))?;
        let address = self.config.listen;
        let endpoint = listen::listen(address, tls, &self.reset_key).map_err(|error| {
            let why = crate::store::chain(&error);
            Problem::new(Code::Io, NOT_STARTED, why).help(format!(
                "Stop whatever else uses {address}, or change `listen` in coordinator.toml."
            ))
        })?;
        let address = endpoint
            .local_addr()
            .map_err(|error| Problem::new(Code::Io, NOT_STARTED, error.to_string()))?;

        let wires = Wires::new();
        let (fail, failed) = oneshot::channel();
        let publishing = wires.clone();
        let outside = Outside {
            publish: Box::new(move |effect| publishing.publish(effect)),
            failed: Box::new(move |error| {
                let problem = commit_problem(error);
                tracing::error!(%problem, "a commit has failed: nothing that was not committed was said");
                // Whoever does not listen any more is stopping anyhow.
                let _ = fail.send(problem);
            }),
        };
        let trail = store.trail();
        let clerk = Clerk::new(state, store, Arc::clone(&clock));
        let (engine, engine_thread) = Engine::start(clerk, outside)
            .map_err(|error| Problem::new(Code::Io, NOT_STARTED, error.to_string()))?;
        let homes = Arc::new(OrgHomes {
            engine: engine.clone(),
            sealing_key: Arc::clone(&self.sealing_key),
        });
        let folder = folder::blobs(&self.config.data);
        let blobs = blobs::Stores::open(&folder, Arc::clone(&clock), homes)?;
        let fingerprint = self.authority.fingerprint();
        let desk = Arc::new(Desk {
            hashing: crate::proofs::Hashing::default(),
            engine: engine.clone(),
            clock,
            authority: self.authority,
            sealing_key: self.sealing_key,
            logs: self.logs,
            blobs,
            receipts: Arc::default(),
            trail,
            wires,
            guard: Guard::new(&self.config.data, &kept),
            lease: self.config.lease,
            heartbeat: self.config.heartbeat,
            pace: link::pace::Pace::new(self.config.upload_rate),
            who_may_create_orgs: self.config.who_may_create_orgs,
        });
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(keeping::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(lease::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(sweep::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(counting::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(scrub::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(moving::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(forgetting::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(waking::run(Arc::clone(&desk), stop.clone()));
        tasks.spawn(renewal::run(
            Arc::clone(&desk),
            endpoint.clone(),
            identity,
            stop.clone(),
        ));
        tasks.spawn(accept::accept(desk, endpoint.clone(), stop.clone()));
        tracing::info!(%address, %fingerprint, "the coordinator is here");
        Ok(Running {
            address,
            fingerprint,
            endpoint,
            engine,
            engine_thread,
            failed,
            tasks,
            stop,
        })
    }
}

impl Running {
    /// Returns where it listens, with the port that was taken.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what links carry: the fingerprint of the org's root certificate.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns once a commit has failed. The process must end then, at once: what it knows is ahead of what is
    /// on the disk.
    pub async fn failed(&mut self) -> Problem {
        match (&mut self.failed).await {
            Ok(problem) => problem,
            // The engine has ended as it should.
            Err(_) => std::future::pending().await,
        }
    }

    /// Closes every connection, does what was asked before, and closes the store.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
        self.engine.stop().await;
        let thread = self.engine_thread;
        // A panic there has ended the process already.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        tracing::info!("the coordinator has stopped");
    }
}

fn commit_problem(error: &StoreError) -> Problem {
    let code = match error.innermost() {
        StoreError::Full(_) => Code::DiskFull,
        _ => Code::Io,
    };
    let why = crate::store::chain(error);
    Problem::new(code, "The coordinator ends: the store cannot be written", why)
        .help("Free some space or repair the disk, then start it again; everything that was confirmed is there.")
}
