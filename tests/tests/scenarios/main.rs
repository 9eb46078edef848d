//! Scenarios: what people do and what goes wrong, with real daemons on loopback.
#![allow(clippy::unwrap_used, reason = "a scenario that cannot go on fails")]

mod accounts;
mod buckets;
mod cached;
mod checkpoint;
mod classroom;
mod disks;
mod each;
mod entry;
mod faults;
mod following;
mod gangs;
mod gpu;
mod idle;
mod images;
mod jobs;
mod lazy;
mod ledger;
mod limits;
mod lists;
mod network;
mod orgs;
mod outputs;
mod owner;
mod peers;
mod preemption;
mod projects;
mod refusals;
mod retries;
mod shared;
mod story;
mod transfers;
mod uninstall;
mod waiting;
