//! Lazy mounts: datasets whose files come when they are read, for those that no disk holds.
//!
//! The job sees a file system of the kernel's (FUSE) that a small process of its own answers (`serve`), started by
//! the attempt's supervisor, so that an agent may come and go. That process has the tree's description on the disk
//! (`index`) and what was read before (`store`); what is missing the agent brings (`desk`). Several jobs of a
//! machine share what is there. How far ahead of a reader to fetch is planned in [`agent_core::read_ahead`].

mod index;
mod words;

mod desk;
mod fetch;
mod store;

mod asking;
mod files;
mod reads;
mod recent;
mod tell;

pub(crate) mod devices;
mod serve;

pub use self::{
    desk::{Arriving, Source, serve as listen},
    store::{PinnedLazy, Room, Store},
};

pub(crate) use self::{
    fetch::{Coordinator, describe},
    serve::{ServeTask, ServedTree, main},
    tell::Word,
};
