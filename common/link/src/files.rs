//! Files that must be whole or not there, and folders that are nobody else's business.
//!
//! The functions are those that [`certs`] keeps keys with.

pub use certs::files::{PRIVATE_FILE_MODE, create_atomic, create_private_dir, write_atomic};
