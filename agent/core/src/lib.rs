//! What an agent decides, without doing any of it: the difference between what should run and what does, the
//! owner's policy, sandbox and cache plans as data.
//!
//! Pure and deterministic: moments, probes and files come in as arguments. The shell around this (`agent`)
//! performs what is decided here and reports what came of it.

pub mod desired;
pub mod observed;
pub mod reconcile;

pub mod attempt;
pub mod lease;

pub mod admit;
pub mod gpu;
pub mod gpu_model;
pub mod offer;
pub mod owner;

pub mod address;
pub mod blocks;
pub mod cache_plan;
pub mod params;
pub mod read_ahead;
pub mod sandbox_plan;

#[cfg(test)]
mod testing;
