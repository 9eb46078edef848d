//! The harness of the scenario tests: real daemons, real command lines, one temporary folder.
//!
//! Not a mock of anything: every program is the one that people run, started as a process of its own on
//! loopback with port 0 and folders of its own, so that it can be killed, cut off and started again. Waiting
//! is always for something that is seen to happen; a deadline only turns a hang into a failure.

mod binaries;
pub mod bucket;
mod graphics;
mod network;
pub mod oci;
mod org;
mod person;
mod process;
pub mod registry;
mod seat;

pub use graphics::Graphics;
pub use network::Cable;
pub use org::{Coordinator, Org};
pub use person::{Agent, Finished, Person};
pub use process::{DEADLINE, Daemon, until};
pub use seat::Seat;
