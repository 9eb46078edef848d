//! The coordinator: doors let requests in, one engine writes in one book, and everybody who waits is told.
//!
//! A shell around `coordinator_core`, which decides everything: here are time, randomness, the store, the
//! connections and the files. It never dials an agent. The program is a thin `main` around [`init`], [`run`],
//! [`check`], [`add_org`] and [`login_link`]; tests start as many coordinators as they like in one process.
//!
//! Reading order: `engine` is the only writer, `store` its book; `desk` is what stands behind the
//! `doors`; `logs` and `blobs` are the bytes beside the book; `loops` are the timers.

mod clock;
mod config;
mod folder;
mod kept;
mod mint;
mod sign_in;

mod engine;
mod store;
mod swarms;

mod blobs;
mod logs;

mod desk;
mod guard;
mod homes;
mod listen;
mod machines;
mod proofs;
mod rate;
mod receipts;
mod sessions;
mod topics;
mod usage;

mod doors;
mod loops;

mod check;
#[cfg(feature = "measure")]
pub mod measure;
mod running;
mod setup;

pub use self::{
    check::{Checked, check},
    config::{Config, DEFAULT_HEARTBEAT, DEFAULT_LEASE, DEFAULT_LISTEN},
    running::{Running, run},
    setup::{AddOrgOutcome, InitOptions, InitOutcome, Whom, add_org, init, login_link},
};
