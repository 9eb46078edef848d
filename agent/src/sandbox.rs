//! Makes sandboxes as their plans say, and finds out how well this machine can.
//!
//! Performs only: what a sandbox contains is decided in `agent_core::sandbox_plan`. `jail` is called by the
//! supervisor, a process with a single thread; [`host`] and [`probe`] by the daemon.
//!
//! The order matters and is the promise: cgroup with limits, new namespaces, sources opened, user mapped, root
//! built and entered, old root gone, capabilities given up for good, landlock, seccomp, and only then the job.

mod system;

mod cgroup;
mod host;
mod room;

mod confine;
mod filter;
mod handled;
mod init;
pub(crate) mod lazy;
mod network;
mod note;
mod ownership;
mod politeness;
mod processes;
mod program;
mod root;
mod slirp;
mod spare;
mod stage;

mod bubblewrap;
mod runsc;

pub(crate) mod jail;

mod check;
mod probe;

pub(crate) use bubblewrap::inside as sandbox_inside;
pub(crate) use cgroup::{Used, reap as reap_cgroup};
pub(crate) use check::main as check_main;
pub(crate) use filter::install as install_filter;
pub(crate) use host::cgroups_of_ours;
pub use host::host;
pub(crate) use init::{Failed, at};
pub(crate) use network::Outside;
pub(crate) use probe::{Trial, trial_plan, user_namespaces_remedy};
pub use probe::{probe, probe_with};
pub(crate) use room::make_room;
pub(crate) use slirp::{INTERFACE, Slirp};
pub(crate) use spare::{SpareNetworks, make_and_return as spare_network};
pub(crate) use system::own_mounts;
pub(crate) use system::since_boot;
