//! The shell around the wire: QUIC endpoints, framed streams, and what every daemon needs besides
//! (configuration files, telemetry, shutdown, careful files, the allocator).
//!
//! Nothing is decided here: what a message means is for whoever reads it, who may send it for the coordinator.
//! Coordinator, agent and command line all build on it.

pub mod endpoint;
pub mod frames;
pub mod pace;
mod refusal;
pub mod trees;

pub mod arguments;
pub mod backoff;
pub mod config;
pub mod files;
pub mod memory;
pub mod shutdown;
pub mod telemetry;

#[cfg(test)]
mod test_org;

pub use refusal::{close_problem, refuse};
