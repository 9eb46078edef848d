//! Descriptions that were read of late: each stream of a fetch asks for its tree's again.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use common::{
    id::{OrgId, TreeId},
    problem::Problem,
};
use link::trees::Manifest;

/// Memory for descriptions that are kept, of all orgs together; one alone may be larger.
const MAX_BYTES: u64 = 64 << 20;
/// Most descriptions that are kept.
const MAX_KEPT: usize = 256;
/// Memory for one that is kept though nobody asked for it.
const MAX_MADE_BYTES: u64 = 16 << 20;
/// Memory for an entry's name, about.
const ENTRY_BYTES: usize = 256;
/// After which one that nobody asked for is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// Descriptions of so many bytes on the disk are read one at a time: several streams want the same one.
const LARGE_BYTES: u64 = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Manifests {
    kept: Mutex<Kept>,
    loading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Used longest ago first.
    manifests: VecDeque<(OrgId, Manifest, u64, Instant)>,
}

impl Manifests {
    /// Returns the description from memory, or what `load` reads, whose size on the disk is `bytes`.
    pub(super) fn load(
        &self,
        org: OrgId,
        tree: TreeId,
        bytes: u64,
        load: impl FnOnce() -> Result<Manifest, Problem>,
    ) -> Result<Manifest, Problem> {
        if let Some(found) = self.find(org, tree) {
            return Ok(found);
        }
        let _one = (bytes >= LARGE_BYTES)
            .then(|| self.loading.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(found) = self.find(org, tree) {
            return Ok(found);
        }
        let manifest = load()?;
        // In memory an entry and a chunk take about twice what they take on the disk.
        self.kept().add(org, manifest.clone(), 2 * bytes);
        Ok(manifest)
    }

    /// Keeps one that was made just now: whoever sealed a tree mostly has it fetched next.
    /// Not a large one, whose memory is better given back.
    pub(super) fn keep(&self, org: OrgId, manifest: &Manifest) {
        self.forget(org, manifest.id());
        let chunks = size_of_val(manifest.chunks());
        let entries = manifest.tree().entries().len() * ENTRY_BYTES;
        // A chunk is in an entry and among the numbered ones.
        let bytes = (2 * chunks + entries) as u64;
        if bytes <= MAX_MADE_BYTES {
            self.kept().add(org, manifest.clone(), bytes);
        }
    }

    pub(super) fn forget(&self, org: OrgId, tree: TreeId) {
        self.kept()
            .manifests
            .retain(|(of, kept, ..)| *of != org || kept.id() != tree);
    }

    /// Forgets what nobody asked for of late.
    pub(super) fn tidy(&self) {
        self.kept().tidy(Instant::now());
    }

    /// Returns the description from memory.
    pub(super) fn find(&self, org: OrgId, tree: TreeId) -> Option<Manifest> {
        let mut kept = self.kept();
        kept.tidy(Instant::now());
        let found = kept.manifests.iter();
        let at = found
            .clone()
            .position(|(of, kept, ..)| *of == org && kept.id() == tree)?;
        let (_, manifest, bytes, _) = kept.manifests.remove(at)?;
        kept.manifests
            .push_back((org, manifest.clone(), bytes, Instant::now()));
        Some(manifest)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // The list is whole whatever a thread that held it did.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, org: OrgId, manifest: Manifest, bytes: u64) {
        self.manifests
            .push_back((org, manifest, bytes, Instant::now()));
        let mut sum: u64 = self.manifests.iter().map(|(_, _, bytes, _)| bytes).sum();
        while self.manifests.len() > MAX_KEPT || (sum > MAX_BYTES && self.manifests.len() > 1) {
            sum -= self
                .manifests
                .pop_front()
                .map_or(0, |(_, _, bytes, _)| bytes);
        }
    }

    fn tidy(&mut self, now: Instant) {
        self.manifests
            .retain(|(.., used)| now.duration_since(*used) < IDLE);
    }
}

#[cfg(test)]
mod tests {
    use common::tree::{Entry, EntryKind, Tree};

    use super::*;

    const ORG: OrgId = OrgId::from_bytes([1; 16]);

    fn manifest(number: usize) -> Manifest {
        let entry = Entry {
            path: format!("folder{number}").parse().unwrap(),
            kind: EntryKind::Directory,
        };
        Manifest::new(Tree::new(vec![entry]).unwrap()).unwrap()
    }

    #[test]
    fn what_is_kept_is_bounded_and_of_one_org() {
        let kept = Manifests::default();
        let load = |number: usize, bytes: u64| {
            let (made, mut read) = (manifest(number), false);
            let loaded = kept.load(ORG, made.id(), bytes, || {
                read = true;
                Ok(made.clone())
            });
            assert_eq!(loaded.unwrap().id(), made.id());
            read
        };
        assert!(load(0, 10) && !load(0, 10));
        let other = OrgId::from_bytes([2; 16]);
        assert!(kept.find(other, manifest(0).id()).is_none());
        (1..=MAX_KEPT).for_each(|number| assert!(load(number, 10)));
        assert!(load(0, 10), "it was the oldest");
        assert!(
            load(1000, MAX_BYTES) && !load(1000, MAX_BYTES),
            "one may be larger"
        );
        assert_eq!(kept.kept().manifests.len(), 1);
        kept.forget(ORG, manifest(1000).id());
        assert!(load(1000, 10));
        kept.kept().tidy(Instant::now() + IDLE);
        assert!(load(1000, 10), "nobody asked for a while");
    }
}
