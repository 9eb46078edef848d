//! A coordinator on loopback and somebody who speaks the bare protocol to it.

#![allow(
    clippy::unwrap_used,
    reason = "everything here is a test, its helpers too"
)]

mod accounts;
mod clock;
mod datasets;
mod hostile;
mod invitations;
mod joining;
mod lab;
mod ledger;
mod limits;
mod machine;
mod org_secrets;
mod orgs;
mod renewal;
mod secrets;
mod set_aside;
mod sets;
mod storage;
mod streams;
mod swarm;
mod trees;
mod usage;
