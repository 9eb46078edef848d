//! The core in a small world of its own: commands in, events and state out.

mod accounts;
mod approvals;
mod audit;
mod departure;
mod enrolment;
mod history;
mod images;
mod invariants;
mod invitations;
mod isolation;
mod jobs;
mod limits;
mod machines;
mod orgs;
mod owner;
mod permission;
mod projects;
mod returned;
mod rules;
mod scheduling;
mod secrets;
mod shares;
mod two_orgs;
mod usage;
mod views;
mod world;
