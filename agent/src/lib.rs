//! The agent of one machine and the command line of every member, as a library so that the binary stays thin
//! and scenario tests can start agents in their own process.

mod artifacts;
mod attempts;
pub mod cli;
mod client;
mod clock;
mod connect;
pub mod control;
pub mod daemon;
mod enrol;
pub mod folders;
mod freeze_file;
mod gpu;
pub mod images;
mod journal;
mod keeper;
pub mod lazy;
mod lease_file;
mod logs;
mod machine;
mod peers;
mod probe;
mod proxy;
pub mod registration;
mod rights;
mod rooms;
pub mod sandbox;
mod scrap;
pub mod scratch;
mod session;
pub mod supervise;
pub mod transfer;
mod uninstall;
mod uplink;
mod warmer;
