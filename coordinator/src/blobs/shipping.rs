//! Packs on their way to the org's bucket.
//!
//! Where an org's bytes live in a bucket, a pack is put there as a whole before the commit that makes trees of its
//! pieces; the same commit says that it is there, and its file goes after that. Killed in between, either the file is
//! still what the index knows, or it is removed at the next start. Objects that no index names are removed by
//! collection. Descriptions are objects there as well, besides their files, so that a bucket alone says what is in it.

use std::{collections::BTreeSet, fs, io, time::Instant};

use bytes::Bytes;
use common::id::TreeId;

use super::{
    depot::{AT_ONCE, Depot},
    error::BlobError,
    moving::is_lost,
    object::Object,
    packs::PACKS,
    step,
    store::{Inner, Store},
};

/// The folder of descriptions in a depot.
pub(super) const TREES: &str = "trees";

/// Returns the name of the object that a description is in a depot.
pub(super) fn description(tree: TreeId) -> String {
    format!("{TREES}/{tree}")
}

impl Inner {
    /// Puts packs that do not grow into the bucket, or all of them; the next commit says that they are there.
    pub(super) fn ship(&self, all: bool) -> Result<(), BlobError> {
        if !self.journal.ships() {
            return Ok(());
        }
        let _one = self.shipping();
        let packs = self.journal.to_ship(all);
        let (Some(depot), false) = (self.packs.depot(), packs.is_empty()) else {
            return Ok(());
        };
        for few in packs.chunks(AT_ONCE) {
            let mut objects = Vec::with_capacity(few.len());
            let mut sent = Vec::with_capacity(few.len());
            for (pack, length) in few {
                match self.whole_file(*pack, *length) {
                    Err(error) if is_lost(&error) => self.abandon(*pack, &error),
                    bytes => {
                        objects.push((self.packs.shipped_as(*pack).name(), bytes?));
                        sent.push((*pack, *length));
                    }
                }
            }
            step();
            depot.put(&objects)?;
            step();
            for (pack, length) in sent {
                self.journal.shipped(pack, length);
            }
        }
        Ok(())
    }

    /// Leaves a pack behind that cannot be read any more, so that others go on: whoever brought what is in it brings it
    /// again. What the index has of it is found damaged by whoever reads it, or moves it.
    fn abandon(&self, pack: u32, error: &io::Error) {
        tracing::error!(org = %self.org, pack, %error, "a pack on its way to the bucket cannot be read: what was brought last has to come again");
        let _one = self.committing();
        self.journal.abandon(pack);
    }

    /// Returns the beginning of a pack's file, as long as it is known to be.
    pub(super) fn whole_file(&self, pack: u32, length: u32) -> io::Result<Bytes> {
        let mut bytes = fs::read(self.packs.path(pack))?;
        if bytes.len() < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(length as usize);
        Ok(bytes.into())
    }
}

impl Store {
    /// Puts a description into the bucket, where bytes live in one.
    pub(super) fn ship_description(&self, tree: TreeId, bytes: Vec<u8>) -> io::Result<()> {
        match self.0.packs.depot().filter(|_| self.0.journal.ships()) {
            Some(depot) => {
                step();
                depot.put(&[(description(tree), bytes.into())])
            }
            None => Ok(()),
        }
    }

    /// Removes objects that nothing needs: those of uploads that broke off, and what was to go while the bucket could
    /// not be reached.
    pub(super) fn tidy_depot(&self) -> Result<(), BlobError> {
        let Some(depot) = self.0.packs.depot() else {
            return Ok(());
        };
        self.tidy_packs(&depot)?;
        let trees: Vec<TreeId> = depot
            .list(TREES)?
            .iter()
            .filter_map(|(name, _)| name.parse().ok())
            .collect();
        let view = self.0.view()?;
        let doomed: BTreeSet<TreeId> = view.doomed()?.into_iter().map(|one| one.tree).collect();
        for tree in trees {
            let known = view.tree(tree)?.is_some() || doomed.contains(&tree);
            // Whoever seals it holds it before they write its description, and the view is from after the list.
            if !known && !self.0.holds.held().has_tree(tree, Instant::now()) {
                depot.remove(&description(tree))?;
            }
        }
        Ok(())
    }

    fn tidy_packs(&self, depot: &Depot) -> Result<(), BlobError> {
        for (name, _) in depot.list(PACKS)? {
            let Some(object) = Object::parse(&name) else {
                tracing::warn!(org = %self.0.org, name, "an object among the packs is none");
                continue;
            };
            // It was on its way from before it was there until the index had it: in this order, one of the two is
            // true of every pack that is needed.
            let shipped = object == self.0.packs.shipped_as(object.pack);
            let shipping = shipped && self.0.journal.is_shipping(object.pack);
            if shipping || self.0.packs.has_object(object) {
                continue;
            }
            // Unless a commit is about to name it, of packs that were on their way before the storage was set anew.
            drop(self.0.committing());
            if !self.0.packs.has_object(object) {
                step();
                depot.remove(&object.name())?;
            }
        }
        Ok(())
    }
}
