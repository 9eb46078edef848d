//! The core in a small world of its own: commands in, events and state out.

mod enrolment;
mod history;
mod invariants;
mod jobs;
mod machines;
mod orgs;
mod scheduling;
mod two_orgs;
mod views;
mod world;
