//! Folders to trees and trees to folders: datasets, work folders and artifacts on this computer.
//!
//! The command line sends folders ([`walk`], [`upload`]) and fetches them ([`download`]); the agent collects
//! what a job left ([`collect`]), and keeps what jobs need in its [`Cache`]. What goes over a stream is
//! [`link::trees`]; here are the files. Nothing follows a symbolic link: all paths are opened beneath the
//! folder that was named, so that a job that swaps its files while they are read gains nothing.

mod beneath;
mod chunking;
mod collect;
mod left_out;
mod read;
mod remembered;
mod walk;

mod donors;
mod layout;
mod ordinals;
mod route;
mod stock;
mod stream;

mod cache;

pub use self::{
    cache::{Cache, Owner, Pinned, copy_into},
    collect::{Collected, Skipped, Source, collect},
    left_out::LeftOut,
    read::Walked,
    remembered::Memory,
    route::{AttemptFiles, Destination, MachineTree, MemberTree, OrgFiles, Origin},
    stream::{describe, download, upload, upload_again},
    walk::{WalkOptions, walk},
};

pub(crate) use self::{
    cache::{About, Beside, FOLDER_MODE, ImageRoom, Listed, PinnedImage, SEALED_AT, file_mode},
    collect::{any_of, output_path},
    stock::Stock,
    stream::open,
};

#[cfg(test)]
mod tests;
