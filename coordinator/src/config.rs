//! `coordinator.toml` in the data folder: written by `init`, edited by people, read by `run`.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use common::{bit_rate::BitRate, code::Code, problem::Problem, time::Span};
use coordinator_core::command::WhoMayCreateOrgs;
use serde::Deserialize;

use crate::folder;

/// Where a coordinator listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:7443";
/// How long a machine may be out of contact before its attempts end by themselves.
pub const DEFAULT_LEASE: Span = Span::from_secs(300);
/// How often a machine should be heard.
pub const DEFAULT_HEARTBEAT: Span = Span::from_secs(10);
/// A lease has room for so many heartbeats at least, so that a lost one costs nothing.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// Everything that a coordinator needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder that `init` made.
    pub data: PathBuf,
    /// Port 0 takes a free one; see [`crate::Running::address`].
    pub listen: SocketAddr,
    /// What links say: a name or address that members can reach.
    pub address: String,
    pub lease: Span,
    pub heartbeat: Span,
    pub who_may_create_orgs: WhoMayCreateOrgs,
    /// How fast datasets and other files go out, to everybody together; `None` is as fast as they can.
    pub upload_rate: Option<BitRate>,
    /// Whoever starts it says that the system's clock is right, whatever it said in the last run. Not in the file.
    pub clock_is_right: bool,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    listen: SocketAddr,
    address: String,
    #[serde(default = "default_lease")]
    lease: Span,
    #[serde(default = "default_heartbeat")]
    heartbeat: Span,
    #[serde(default)]
    who_may_create_orgs: WhoMayCreateOrgs,
    #[serde(default)]
    upload_rate: Option<BitRate>,
}

const fn default_lease() -> Span {
    DEFAULT_LEASE
}

const fn default_heartbeat() -> Span {
    DEFAULT_HEARTBEAT
}

impl Config {
    /// Reads the configuration of the data folder.
    ///
    /// # Errors
    /// There is none, or it has an unknown key or a value that cannot be.
    pub fn load(data: &Path) -> Result<Self, Problem> {
        let path = folder::config(data);
        if !path.exists() {
            return Err(Problem::new(
                Code::NotInitialised,
                format!("There is no coordinator in {}", data.display()),
                format!("{} does not exist", path.display()),
            ));
        }
        let file: ConfigFile = link::config::load(&path)?;
        let config = Self {
            data: data.to_owned(),
            listen: file.listen,
            address: file.address,
            lease: file.lease,
            heartbeat: file.heartbeat,
            who_may_create_orgs: file.who_may_create_orgs,
            upload_rate: file.upload_rate,
            clock_is_right: false,
        };
        config.check(&path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), Problem> {
        let heartbeat = self.heartbeat.as_duration();
        if heartbeat.is_zero() || heartbeat * HEARTBEATS_PER_LEASE > self.lease.as_duration() {
            let why = format!(
                "a lease of {} has no room for {HEARTBEATS_PER_LEASE} heartbeats of {}",
                self.lease, self.heartbeat
            );
            let what = format!("{} cannot be used", path.display());
            return Err(Problem::new(Code::Config, what, why));
        }
        Ok(())
    }

    /// Returns the file that says what this is, with every key explained.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut key = |comment: &str, key: &str, value: &str| {
            let value = toml::Value::String(value.to_owned());
            writeln!(text, "# {comment}\n{key} = {value}").expect("a string takes any text");
        };
        key(
            "Address and UDP port to listen on.",
            "listen",
            &self.listen.to_string(),
        );
        key(
            "What links say: where members reach this coordinator.",
            "address",
            &self.address,
        );
        key(
            "A machine out of contact for so long ends its jobs by itself; they run elsewhere then.",
            "lease",
            &self.lease.to_string(),
        );
        key(
            "How often a machine is heard.",
            "heartbeat",
            &self.heartbeat.to_string(),
        );
        key(
            "Who makes orgs: \"operator\" is whoever runs the coordinator, with add-org; \"users\" is every user too.",
            "who_may_create_orgs",
            self.who_may_create_orgs.as_str(),
        );
        let what = "How fast datasets and other files go out, to everybody together.";
        match self.upload_rate {
            Some(rate) => key(what, "upload_rate", &rate.to_string()),
            None => {
                writeln!(text, "# {what}\n# upload_rate = \"100Mbit\"").expect("as above");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, Result<Config, Problem>) {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(folder::config(data.path()), text).unwrap();
        let config = Config::load(data.path());
        (data, config)
    }

    #[test]
    fn what_init_writes_is_what_run_reads() {
        let config = Config {
            data: PathBuf::new(),
            listen: "[::]:7443".parse().unwrap(),
            address: "lab.example:7443".to_owned(),
            lease: DEFAULT_LEASE,
            heartbeat: Span::from_millis(500),
            who_may_create_orgs: WhoMayCreateOrgs::Users,
            upload_rate: Some("100Mbit".parse().unwrap()),
            clock_is_right: false,
        };
        let (data, read) = written(&config.to_toml());
        assert_eq!(
            read.unwrap(),
            Config {
                data: data.path().to_owned(),
                ..config
            }
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_code() {
        let rest = "listen = \"127.0.0.1:1\"\naddress = \"a:1\"\n";
        for (text, code) in [
            ("leese = \"5m\"\n", Code::Config),
            ("lease = \"soon\"\n", Code::Config),
            ("lease = \"20s\"\n", Code::Config),
            ("heartbeat = 0\n", Code::Config),
            ("who_may_create_orgs = \"everybody\"\n", Code::Config),
            ("who_may_create_orgs = true\n", Code::Config),
            ("upload_rate = \"100MB\"\n", Code::Config),
        ] {
            let (_data, read) = written(&format!("{text}{rest}"));
            assert_eq!(read.unwrap_err().code, code, "{text}");
        }
        let (_data, read) = written(rest);
        let who_may = read.unwrap().who_may_create_orgs;
        assert_eq!(who_may, WhoMayCreateOrgs::Operator, "unless told otherwise");
        let nothing = tempfile::tempdir().unwrap();
        let problem = Config::load(nothing.path()).unwrap_err();
        assert_eq!(problem.code, Code::NotInitialised);
    }
}
