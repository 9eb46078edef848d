//! The file as owners write it, and what is decided by it.

mod deciding;
mod properties;
mod reading;
