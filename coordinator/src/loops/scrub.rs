//! Once a week everything that is stored is read and compared with its checksums: slowly, so that nobody notices.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::{api::storage::Scrub, id::OrgId, problem::Problem, time::Timestamp};
use coordinator_core::query::access;
use link::trees::io_problem;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::{Scrubbed, Store, Stores},
    desk::{Desk, blocking},
};

/// Time between the end of a look and the beginning of the next.
const PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time between two looks whether one is due.
const LOOK: Duration = Duration::from_secs(3600);
/// A coordinator that has just begun has better things to do.
const FIRST: Duration = Duration::from_secs(600);
/// So much is read in a second, of all orgs together.
const BYTES_PER_SEC: u64 = 32 << 20;

const NOT_READ: &str = "stored data cannot be looked through";

/// Runs until `stop`.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let watch = Watch {
        blobs: desk.blobs.clone(),
        knows_org: &|org| access::knows_org(&desk.engine.read(), org),
        now: &|| desk.now(),
        stop,
    };
    watch.run().await;
}

/// What the loop needs of a coordinator.
struct Watch<'a> {
    blobs: Stores,
    knows_org: &'a (dyn Fn(OrgId) -> bool + Sync),
    now: &'a (dyn Fn() -> Timestamp + Sync),
    stop: CancellationToken,
}

impl Watch<'_> {
    async fn run(&self) {
        // When looks have ended, as far as it was heard of.
        let mut ended = BTreeMap::new();
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
            wait = LOOK;
            if let Err(problem) = self.look(&mut ended).await {
                tracing::error!(%problem, "stored data was not looked through");
            }
        }
    }

    async fn look(&self, ended: &mut BTreeMap<OrgId, Timestamp>) -> Result<(), Problem> {
        let blobs = self.blobs.clone();
        let orgs = blocking(move || blobs.orgs()).await;
        let orgs = orgs.map_err(|error| io_problem(NOT_READ, &error))?;
        ended.retain(|org, _| orgs.contains(org));
        for org in orgs {
            if !(self.knows_org)(org) || ended.get(&org).is_some_and(|at| !self.is_due(*at)) {
                continue;
            }
            match self.look_at(org).await {
                Ok(Some(at)) => drop(ended.insert(org, at)),
                Ok(None) => {}
                // Others are looked through all the same.
                Err(problem) => {
                    tracing::error!(%org, %problem, "stored data was not looked through");
                }
            }
        }
        Ok(())
    }

    /// Looks through an org's store where that is due; returns when a look ended last.
    async fn look_at(&self, org: OrgId) -> Result<Option<Timestamp>, Problem> {
        let store = self.store(org).await?;
        let last = blocking(move || store.last_scrub()).await;
        let last = last.map_err(|error| error.problem(NOT_READ))?;
        if let Some(last) = last.filter(|last| !self.is_due(last.ended_at)) {
            return Ok(Some(last.ended_at));
        }
        Ok(self.scrub(org).await?.map(|scrub| scrub.ended_at))
    }

    /// Looks through an org's store; `None` where it was stopped before its end.
    async fn scrub(&self, org: OrgId) -> Result<Option<Scrub>, Problem> {
        loop {
            let (store, now) = (self.store(org).await?, (self.now)());
            let step = store.beside(move |store| {
                let step = store.scrub_step(now);
                step.map_err(|error| error.problem(NOT_READ))
            });
            match step.await? {
                Scrubbed::Done(scrub) => {
                    let Scrub {
                        pieces,
                        bytes,
                        damaged,
                        ..
                    } = scrub;
                    if damaged > 0 {
                        tracing::error!(%org, pieces, %bytes, damaged, "stored data is damaged: upload it again");
                    } else {
                        tracing::info!(%org, pieces, %bytes, "all that is stored is whole");
                    }
                    return Ok(Some(scrub));
                }
                Scrubbed::On(bytes) => {
                    let pause = Duration::from_millis(bytes.0 * 1000 / BYTES_PER_SEC);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.cancelled() => return Ok(None),
                    }
                }
            }
        }
    }

    /// Opened anew for each step: between two it may be closed, or go.
    async fn store(&self, org: OrgId) -> Result<Store, Problem> {
        self.blobs.open_org(org).await
    }

    /// Returns whether a look that ended then is long ago.
    fn is_due(&self, ended_at: Timestamp) -> bool {
        (self.now)().since(ended_at) >= PERIOD
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use common::tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id};
    use link::trees::{Manifest, Piece};
    use tokio::time::{Instant, sleep, sleep_until};

    use super::*;
    use crate::{blobs, clock::Clock};

    const BEGINNING: u64 = 1_800_000_000_000;
    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const OTHER: OrgId = OrgId::from_bytes([2; 16]);
    /// Of another org, which was deleted.
    const GONE: OrgId = OrgId::from_bytes([3; 16]);
    /// Half a second of looking.
    const STORED: usize = 16;

    fn stores(folder: &Path) -> Stores {
        let clock = Clock::starting_at(Timestamp::from_unix_ms(BEGINNING));
        Stores::open(folder, Arc::new(clock), blobs::all_local()).unwrap()
    }

    /// Stores so many pieces of the largest size.
    fn fill(store: &Store, pieces: usize) {
        let content =
            |number: usize| bytes::Bytes::from(vec![u8::try_from(number).unwrap(); 1 << 20]);
        let chunk = |number| ChunkRef {
            id: chunk_id(&content(number)),
            bytes: 1 << 20,
        };
        let kind = EntryKind::File {
            executable: false,
            chunks: (0..pieces).map(chunk).collect(),
        };
        let path = "data".parse().unwrap();
        let tree = Tree::new(vec![Entry { path, kind }]).unwrap();
        let incoming = store.begin();
        for number in 0..pieces {
            let piece = (chunk(number), Piece::plain(content(number)));
            incoming.put(&[piece]).unwrap();
        }
        let tree = incoming.seal(&Manifest::new(tree).unwrap()).unwrap();
        store.release(tree);
    }

    /// Flips the last byte of an org's only pack.
    fn damage(folder: &Path, org: OrgId) {
        use std::os::unix::fs::FileExt as _;
        let path = folder.join(org.to_string()).join("packs/00000001");
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let at = file.metadata().unwrap().len() - 1;
        let mut last = [0];
        file.read_exact_at(&mut last, at).unwrap();
        file.write_all_at(&[last[0] ^ 1], at).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn every_store_is_looked_through_once_a_week_at_a_bounded_rate() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = stores(folder.path());
        for org in [ORG, OTHER, GONE] {
            fill(&blobs.org(org).unwrap(), STORED);
        }
        damage(folder.path(), OTHER);
        let begun = Instant::now();
        let now = || {
            let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap();
            Timestamp::from_unix_ms(BEGINNING + elapsed)
        };
        let watch = Watch {
            blobs: blobs.clone(),
            knows_org: &|org| org != GONE,
            now: &now,
            stop: CancellationToken::new(),
        };
        let last = |org| blobs.org(org).unwrap().last_scrub().unwrap();
        let check = async {
            sleep(FIRST - Duration::from_secs(1)).await;
            assert_eq!(last(ORG), None, "it has better things to do");
            sleep(Duration::from_millis(1400)).await;
            assert_eq!(last(ORG), None, "no more than so much a second");
            sleep(Duration::from_millis(1600)).await;
            let (whole, found) = (last(ORG).unwrap(), last(OTHER).unwrap());
            assert_eq!((whole.pieces, whole.damaged), (STORED as u64, 0));
            assert_eq!((found.pieces, found.damaged), (STORED as u64, 1));

            // What is damaged afterwards is found a week later, and not before.
            damage(folder.path(), ORG);
            sleep_until(begun + PERIOD - LOOK).await;
            assert_eq!(last(ORG), Some(whole));
            sleep(LOOK + LOOK + FIRST).await;
            assert_eq!(last(ORG).unwrap().damaged, 1);
            assert_eq!(last(OTHER).unwrap().damaged, 1, "nobody brought it again");
            assert_eq!(last(GONE), None);
            watch.stop.cancel();
        };
        tokio::join!(watch.run(), check);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_is_stopped_ends_at_once_and_the_next_coordinator_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let now = || Timestamp::from_unix_ms(BEGINNING);
        let watch = |blobs: &Stores| Watch {
            blobs: blobs.clone(),
            knows_org: &|_| true,
            now: &now,
            stop: CancellationToken::new(),
        };
        let blobs = stores(folder.path());
        fill(&blobs.org(ORG).unwrap(), STORED);
        let first = watch(&blobs);
        let stop = async {
            sleep(FIRST + Duration::from_millis(100)).await;
            first.stop.cancel();
            Instant::now()
        };
        let ((), stopped) = tokio::join!(first.run(), stop);
        assert_eq!(Instant::now(), stopped, "it waits for nothing");
        assert_eq!(blobs.org(ORG).unwrap().last_scrub().unwrap(), None);
        drop((first, blobs));

        // All of it was read: what is left is to say so.
        let blobs = stores(folder.path());
        damage(folder.path(), ORG);
        let second = watch(&blobs);
        let ended = second.scrub(ORG).await.unwrap().unwrap();
        assert_eq!((ended.pieces, ended.damaged), (STORED as u64, 0));
    }
}
