//! A system bus of its own with a login manager and a network manager on it that say what a test has them say,
//! and a folder that stands in for the machine's `/sys`, `/proc`, `/dev` and `/run`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::runtime::Runtime;
use zbus::{
    Connection, OwnedObjectPath, connection::Builder, interface, object_server::InterfaceRef,
};

const SESSION: &str = "/org/freedesktop/login1/session/c1";

/// See the module. Everything ends with it.
#[derive(Debug)]
pub struct Seat {
    root: PathBuf,
    address: String,
    bus: Child,
    /// Taken when it ends, which may be inside another runtime.
    runtime: Option<Runtime>,
    connection: Connection,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _gone_already = self.bus.kill();
        let _reaped = self.bus.wait();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Login;

#[interface(name = "org.freedesktop.login1.Manager")]
impl Login {
    fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        let path = OwnedObjectPath::try_from(SESSION).expect("a path");
        vec![(
            "c1".to_owned(),
            1000,
            "bob".to_owned(),
            "seat0".to_owned(),
            path,
        )]
    }
}

/// What is said of the only session.
struct Session {
    idle: bool,
    locked: bool,
    since_micros: u64,
}

#[interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn class(&self) -> String {
        "user".to_owned()
    }

    #[zbus(property)]
    fn idle_hint(&self) -> bool {
        self.idle
    }

    #[zbus(property)]
    fn idle_since_hint(&self) -> u64 {
        self.since_micros
    }

    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.locked
    }
}

struct NetworkManager {
    metered: u32,
}

#[interface(name = "org.freedesktop.NetworkManager")]
impl NetworkManager {
    #[zbus(property)]
    fn metered(&self) -> u32 {
        self.metered
    }
}

impl Seat {
    /// Makes the bus in `folder`, with a person at the seat who left it an hour ago.
    ///
    /// # Panics
    /// When there is no `dbus-daemon` or it does not start.
    pub fn new(folder: &Path) -> Self {
        let root = folder.join("surroundings");
        for part in ["sys/class/power_supply", "proc", "dev/input", "run"] {
            fs::create_dir_all(root.join(part)).expect("a temporary folder can be written");
        }
        let (bus, address) = start_bus(folder);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let session = Session {
            idle: true,
            locked: false,
            since_micros: micros_ago(Duration::from_secs(3600)),
        };
        let building = Builder::address(address.as_str())
            .name("org.freedesktop.login1")
            .name("org.freedesktop.NetworkManager")
            .serve_at("/org/freedesktop/login1", Login)
            .serve_at(SESSION, session)
            .serve_at(
                "/org/freedesktop/NetworkManager",
                NetworkManager { metered: 2 },
            )
            .build();
        let connection = runtime.block_on(building).expect("a connection to the bus");
        Self {
            root,
            address,
            bus,
            runtime: Some(runtime),
            connection,
        }
    }

    /// Returns the folder that stands in for the machine.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where the bus listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns what an agent's environment has to say so that it looks here.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            (
                "COMPUTE_SHARE_SURROUNDINGS",
                self.root.to_string_lossy().into_owned(),
            ),
            ("DBUS_SYSTEM_BUS_ADDRESS", self.address.clone()),
        ]
    }

    /// Writes a file of the machine.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        let folder = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("a temporary folder can be written");
        fs::write(path, text).expect("a temporary folder can be written");
    }

    /// Somebody touches the keyboard.
    pub fn come_back(&self) {
        self.change_session(false, false, Duration::ZERO);
    }

    /// Nobody has touched the keyboard for so long.
    pub fn leave(&self, ago: Duration) {
        self.change_session(true, false, ago);
    }

    /// The screen is locked, just after somebody was there.
    pub fn lock(&self) {
        self.change_session(false, true, Duration::ZERO);
    }

    fn change_session(&self, idle: bool, locked: bool, ago: Duration) {
        self.block_on(async {
            let session: InterfaceRef<Session> = self.interface(SESSION).await;
            let mut session_now = session.get_mut().await;
            *session_now = Session {
                idle,
                locked,
                since_micros: micros_ago(ago),
            };
            let emitter = session.signal_emitter();
            let told = async {
                session_now.idle_since_hint_changed(emitter).await?;
                session_now.locked_hint_changed(emitter).await?;
                session_now.idle_hint_changed(emitter).await
            };
            told.await.expect("the bus takes a signal");
        });
    }

    /// The network costs by the byte, or not.
    pub fn meter(&self, metered: bool) {
        self.block_on(async {
            let manager: InterfaceRef<NetworkManager> =
                self.interface("/org/freedesktop/NetworkManager").await;
            let mut now = manager.get_mut().await;
            now.metered = if metered { 1 } else { 2 };
            let told = now.metered_changed(manager.signal_emitter()).await;
            told.expect("the bus takes a signal");
        });
    }

    /// The login manager goes away.
    pub fn lose_login_manager(&self) {
        let released = self.block_on(self.connection.release_name("org.freedesktop.login1"));
        released.expect("the bus releases a name");
    }

    fn block_on<T>(&self, doing: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("it ends with the seat");
        runtime.block_on(doing)
    }

    async fn interface<I: zbus::object_server::Interface>(
        &self,
        path: &'static str,
    ) -> InterfaceRef<I> {
        let server = self.connection.object_server();
        server.interface(path).await.expect("it is served")
    }
}

fn micros_ago(ago: Duration) -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.saturating_sub(ago).as_micros()).unwrap_or(u64::MAX)
}

/// Starts a bus that lets everybody do everything; returns it once it listens, with where.
fn start_bus(folder: &Path) -> (Child, String) {
    let configuration = folder.join("bus.conf");
    let text = format!(
        "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\
         <allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>",
        folder.join("bus.socket").display()
    );
    fs::write(&configuration, text).expect("a temporary folder can be written");
    let mut command = Command::new("dbus-daemon");
    command.args(["--nofork", "--print-address=1", "--config-file"]);
    command.arg(configuration).stdin(Stdio::null());
    command.stdout(Stdio::piped());
    let mut bus = command
        .spawn()
        .expect("dbus-daemon is there (Debian package dbus-daemon)");
    let mut address = String::new();
    let printed = bus.stdout.take().expect("it was piped");
    BufReader::new(printed)
        .read_line(&mut address)
        .expect("dbus-daemon prints where it listens");
    assert!(!address.is_empty(), "dbus-daemon did not start");
    (bus, address.trim().to_owned())
}
