//! The agent of one machine and the command line of every member, as a library so that the binary stays thin
//! and scenario tests can start agents in their own process.

pub mod cli;
mod client;
pub mod folders;
pub mod sandbox;
pub mod supervise;
pub mod transfer;
pub mod control;
pub mod daemon;
pub mod registration;
mod probe;
