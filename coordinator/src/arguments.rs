//! The program's arguments.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::{code::Code, name::Name, problem::Problem};
use coordinator::DEFAULT_LISTEN;

const EXAMPLES: &str = "\
Examples:
  compute-share-coordinator init --org lab --owner alice
  compute-share-coordinator run
  compute-share-coordinator check";

/// The coordinator of an org: members, machines, datasets, jobs and their schedule.
#[derive(Debug, Parser)]
#[command(name = "compute-share-coordinator", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How answers and errors are written.
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new coordinator and print a sign-in link for its owner.
    #[command(
        after_help = "Example:\n  compute-share-coordinator init --org lab --owner alice --address lab.example.org:7443"
    )]
    Init(Init),
    /// Run the coordinator until it is told to stop.
    #[command(
        after_help = "Example:\n  compute-share-coordinator run --data /var/lib/compute-share-coordinator"
    )]
    Run(Run),
    /// Read the whole data folder and say whether it is sound. The coordinator must not be running.
    #[command(after_help = "Example:\n  compute-share-coordinator check -o json")]
    Check(DataFolder),
    /// Make one more org and print a sign-in link for its owner. The coordinator must not be running.
    #[command(
        after_help = "Example:\n  compute-share-coordinator add-org --org physics --owner bob"
    )]
    AddOrg(AddOrg),
    /// Print a fresh sign-in link for an org's owner, or for a member. The coordinator must not be running.
    #[command(
        after_help = "Examples:\n  compute-share-coordinator login-link --org lab\n  compute-share-coordinator login-link --user bob --reset"
    )]
    LoginLink(LoginLink),
    /// Print completions for a shell.
    #[command(
        after_help = "Example:\n  compute-share-coordinator completions bash > ~/.local/share/bash-completion/completions/compute-share-coordinator"
    )]
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages of all commands into a folder.
    #[command(after_help = "Example:\n  compute-share-coordinator man --to /usr/share/man/man1")]
    Man {
        /// Made where it is not there yet.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DataFolder {
    /// The coordinator's folder [default: compute-share-coordinator in $XDG_DATA_HOME or ~/.local/share].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) data: DataFolder,
    /// Name of the org.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Name,
    /// Handle of the org's owner.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) owner: Name,
    /// Address and UDP port to listen on.
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// What links say: where members reach the coordinator [default: this computer's address and the port].
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) address: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) data: DataFolder,
    /// Listen there instead of where the configuration says.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Write log lines as JSON.
    #[arg(long)]
    pub(crate) log_json: bool,
    /// The system's clock is right now, though it said quite another day when the coordinator ran last.
    #[arg(long)]
    pub(crate) clock_is_right: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AddOrg {
    #[command(flatten)]
    pub(crate) data: DataFolder,
    /// Name of the new org.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Name,
    /// Handle of its owner: somebody new, or a member of another org here.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) owner: Name,
}

#[derive(Debug, Args)]
pub(crate) struct LoginLink {
    #[command(flatten)]
    pub(crate) data: DataFolder,
    /// Of this org, where there are several.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<Name>,
    /// For this member instead of the owner.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) user: Option<Name>,
    /// Take their password and two-factor away, which were lost.
    #[arg(long)]
    pub(crate) reset: bool,
}

/// Returns the folder that was given, or the usual one.
///
/// # Errors
/// None was given and there is no home folder.
pub(crate) fn data_folder(given: Option<PathBuf>) -> Result<PathBuf, Problem> {
    let folder = |variable: &str| {
        let path = PathBuf::from(std::env::var_os(variable)?);
        path.is_absolute().then_some(path)
    };
    given
        .or_else(|| {
            let data =
                folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")))?;
            Some(data.join("compute-share-coordinator"))
        })
        .ok_or_else(|| {
            let why = "neither XDG_DATA_HOME nor HOME is set";
            Problem::new(Code::Config, "There is no data folder", why)
                .help("Say which with --data DIR.")
        })
}

/// Returns where members probably reach a coordinator that listens there.
pub(crate) fn announced_address(listen: SocketAddr) -> String {
    let ip = if listen.ip().is_unspecified() {
        outward_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    } else {
        listen.ip()
    };
    SocketAddr::new(ip, listen.port()).to_string()
}

/// Returns the address that this computer would use towards others. Nothing is sent: only the routing table is
/// asked.
fn outward_address() -> Option<IpAddr> {
    // Of the block reserved for documentation (RFC 5737): never a real destination.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

fn host_and_port(text: &str) -> Result<String, String> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-[]:".contains(c);
        !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|p| p != 0)
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err("write a name or address and a port, as in lab.example.org:7443".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_announced_address_can_be_dialled() {
        let address = announced_address("0.0.0.0:7443".parse().unwrap());
        let address: SocketAddr = address.parse().unwrap();
        assert!(!address.ip().is_unspecified());
        assert_eq!(address.port(), 7443);
        let own = announced_address("[::1]:9".parse().unwrap());
        assert_eq!(own, "[::1]:9");
        for bad in ["lab", "lab:0", ":7443", "lab:port", "a/b:1"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
        assert!(host_and_port("[::1]:7443").is_ok());
    }
}
