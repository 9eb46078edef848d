//! Nouns, units, API and wire messages that every part of Compute Share shares.
//!
//! Pure: no clock, no randomness, no files, no sockets. Everything that comes from outside is parsed
//! into one of these types at the door, and every bound on what may come in is named here.
//!
//! Reading order: [`id`], [`name`], [`units`] and [`time`] are the smallest nouns; [`resources`] is the
//! arithmetic of capacity; [`job`], [`machine`], [`dataset`], [`org`], [`audit`] and [`status`] are what people see;
//! [`problem`] is how anything is refused; [`api`] is what is asked and answered; [`wire`] is how it travels.

pub mod address_range;
pub mod bit_rate;
pub mod id;
pub mod invitee;
pub mod join_link;
pub mod label;
pub mod name;
pub mod time;
pub mod units;

pub mod resources;

pub mod approval;
pub mod audit;
pub mod dataset;
pub mod image;
pub mod job;
pub mod limits;
pub mod machine;
pub mod org;
pub mod preemption;
pub mod profile;
pub mod project;
pub mod seal;
pub mod secret;
pub mod status;
pub mod token;
pub mod tree;
pub mod usage;
pub mod weight;

pub mod code;
pub mod problem;

pub mod api;
pub mod logs;
pub mod wire;
