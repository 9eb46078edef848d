//! Sandboxes and supervisors for real: every test makes them with the built program, as the user that runs the
//! tests and, where that is root, once more as an ordinary one.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod matrix;
mod world;

mod ahead;
mod checkpoint;
mod disks;
mod escapes;
mod freezing;
mod graphics;
mod image;
mod lazy;
mod leaks;
mod lifecycle;
mod limits;
mod neighbours;
mod network;
mod output;
mod politeness;
mod programs;
mod results;
mod secrets;
mod shared;
mod strong;
