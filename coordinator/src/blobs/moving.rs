//! Moving an org's packs between the coordinator's disk and a bucket, one at a time, while everybody works on.
//!
//! A pack is whole at its new place before the commit that says so, and goes from the old one after that: killed or
//! turned back at any point, the next step goes on with what the index says.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    sync::Arc,
};

use common::{code::Code, org::storage::StoragePlace, problem::Problem, units::Bytes};

use super::{
    depot::{Depot, StoreId},
    error::BlobError,
    home::Home,
    index::Pack,
    packs::{PACKS, path_in},
    shipping::{TREES, description},
    step,
    store::Store,
    sync_folder,
};

/// What is read at once of a pack that comes back.
const READ_BYTES: u64 = 4 << 20;

/// What a step of a move has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// One pack has moved; so much of it has gone to the bucket.
    On(usize),
    /// Everything is where it is to be.
    Done,
}

/// Where packs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) storage: StoragePlace,
    pub(crate) bucket: Option<StoragePlace>,
    pub(crate) local: Bytes,
    pub(crate) remote: Bytes,
}

impl Store {
    /// Says where packs are.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn placed(&self) -> Result<Placed, BlobError> {
        let Home {
            storage, bucket, ..
        } = self.0.home().clone();
        let view = self.0.view()?;
        let away = view.away()?;
        let (mut local, mut remote) = (Bytes::ZERO, Bytes::ZERO);
        for (number, pack) in view.packs()? {
            let sum = if away.contains_key(&number) {
                &mut remote
            } else {
                &mut local
            };
            sum.0 += u64::from(pack.bytes);
        }
        Ok(Placed {
            storage,
            bucket,
            local,
            remote,
        })
    }

    /// Checks that packs can be kept in a place, by writing, reading and removing an object there.
    ///
    /// # Errors
    /// The place cannot be used, or some packs are in another bucket still.
    pub(crate) fn try_place(&self, place: &StoragePlace) -> Result<(), Problem> {
        const WHAT: &str = "the org's data cannot be kept there";
        let StoragePlace::S3(bucket) = place else {
            return Ok(());
        };
        let home = self.0.home().clone();
        if let Some(present) = home.bucket.filter(|present| present != place) {
            let why = format!("some of it is in {present} still");
            return Err(Problem::new(Code::WrongState, WHAT, why)
                .help("Run `compute-share org set storage=local` first, and wait until `compute-share org storage` says that all of it is there."));
        }
        let tried = || match self.0.packs.depot() {
            // Whoever says it once more takes the bucket as it is now.
            Some(depot) => depot.probe().and_then(|()| depot.take()),
            None => {
                let store = home.store.unwrap_or_else(StoreId::new);
                Depot::new(self.0.org, bucket, &self.0.homes, store).probe()
            }
        };
        tried().map_err(|error| BlobError::from(error).problem(WHAT))
    }

    /// Has new packs go to a place from now on; [`Store::move_step`] takes the others there.
    ///
    /// # Errors
    /// Some packs are in another bucket still; it cannot be noted.
    pub(super) fn aim(&self, place: &StoragePlace) -> Result<(), BlobError> {
        let _one = self.0.shipping();
        // Nobody else changes it.
        let home = self.0.home().clone();
        if home.storage == *place {
            return Ok(());
        }
        let mut next = Home {
            storage: place.clone(),
            ..home.clone()
        };
        if !place.is_local() {
            if home.bucket.as_ref().is_some_and(|bucket| bucket != place) {
                let why = "some of the org's data is in another bucket still";
                return Err(io::Error::other(why).into());
            }
            self.take(&mut next, home)?;
        }
        next.write(&self.0.root)?;
        self.0.journal.set_ships(!place.is_local());
        *self.0.home() = next;
        Ok(())
    }

    /// Makes the place of `next` the store's: what it is called there is noted first.
    fn take(&self, next: &mut Home, home: Home) -> Result<(), BlobError> {
        next.bucket = Some(next.storage.clone());
        if next.store.is_none() {
            next.store = Some(StoreId::new());
            let named = Home {
                store: next.store.clone(),
                ..home
            };
            named.write(&self.0.root)?;
            *self.0.home() = named;
        }
        let depot = match self.0.packs.depot() {
            Some(depot) => Some(depot),
            None => next.depot(self.0.org, &self.0.homes).map(Arc::new),
        };
        if let Some(depot) = depot {
            step();
            depot.take()?;
            step();
            self.0.packs.set_depot(Some(depot));
        }
        Ok(())
    }

    /// Has new packs go to a place, and takes one of the others there. Why it cannot is kept, see [`Store::held_up`].
    ///
    /// # Errors
    /// As for [`Store::aim`]; something cannot be read or written: the next call goes on with it.
    pub(crate) fn go_on(&self, place: &StoragePlace) -> Result<Moved, Problem> {
        let done = self.aim(place).and_then(|()| self.move_step());
        let done = done.map_err(|error| error.problem("the org's data is not moved"));
        *self.0.held_up() = done.as_ref().err().cloned();
        done
    }

    /// Returns why the last step of a move failed, if it did.
    pub(crate) fn held_up(&self) -> Option<Problem> {
        self.0.held_up().clone()
    }

    /// Gets ready for the removal of everything: what opens the bucket is known from here on, if it can be.
    pub(crate) fn take_key(&self) {
        if let Some(depot) = self.0.packs.depot()
            && let Err(error) = depot.unlock()
        {
            tracing::warn!(org = %self.0.org, %error, "what an org has in its bucket will stay there");
        }
    }

    /// Takes one pack to where packs are to be.
    fn move_step(&self) -> Result<Moved, BlobError> {
        let _one = self.0.collecting();
        let Some(depot) = self.0.packs.depot() else {
            return Ok(Moved::Done);
        };
        if self.0.journal.ships() {
            self.step_out(&depot)
        } else {
            self.step_back(&depot)
        }
    }

    fn step_out(&self, depot: &Depot) -> Result<Moved, BlobError> {
        if !self.0.journal.is_idle() {
            // What was written of late goes by itself, with the commit of this.
            self.0.flush()?;
        }
        let view = self.0.view()?;
        let (packs, away) = (view.packs()?, view.away()?);
        drop(view);
        let next = packs.into_iter().find(|(number, pack)| {
            pack.bytes > 0 && !away.contains_key(number) && !self.0.journal.is_shipping(*number)
        });
        let Some((number, _)) = next else {
            return self.send_descriptions(depot).map(|()| Moved::Done);
        };
        // It may have grown, or have got into the bucket with a commit, since the look; it does neither any more.
        let row = self.whole_row(number)?;
        match row.filter(|pack| pack.bytes > 0 && !self.0.packs.is_away(number)) {
            Some(pack) => {
                self.send(depot, number, pack)?;
                Ok(Moved::On(pack.bytes as usize))
            }
            None => Ok(Moved::On(0)),
        }
    }

    fn send(&self, depot: &Depot, number: u32, pack: Pack) -> Result<(), BlobError> {
        let bytes = match self.0.whole_file(number, pack.bytes) {
            Err(error) if is_lost(&error) => {
                tracing::error!(org = %self.0.org, pack = number, "a pack that is to move is damaged");
                return self.clear_up(&[(number, pack)]);
            }
            bytes => bytes?,
        };
        step();
        let object = self.0.packs.shipped_as(number);
        depot.put(&[(object.name(), bytes)])?;
        step();
        self.0.change(|change| change.send_away(object))?;
        self.0.packs.went(object)?;
        tracing::debug!(org = %self.0.org, pack = number, "a pack has moved to the bucket");
        Ok(())
    }

    /// Puts the descriptions into the bucket that are not there.
    fn send_descriptions(&self, depot: &Depot) -> Result<(), BlobError> {
        let there = depot.list(TREES)?;
        let there: std::collections::HashSet<&str> =
            there.iter().map(|(name, _)| name.as_str()).collect();
        for (tree, row) in self.0.view()?.trees()? {
            if row.damaged || there.contains(tree.to_string().as_str()) {
                continue;
            }
            match fs::read(self.tree_path(tree)) {
                Ok(bytes) => depot.put(&[(description(tree), bytes.into())])?,
                // It has gone meanwhile, or a scrub will find that it is lost.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn step_back(&self, depot: &Depot) -> Result<Moved, BlobError> {
        let view = self.0.view()?;
        // Of the same moment: a pack that is in the bucket there does not grow, and its row is its last.
        let (packs, away) = (view.packs()?, view.away()?);
        drop(view);
        let next = packs
            .into_iter()
            .find(|(number, _)| away.contains_key(number));
        match next {
            Some((number, Pack { bytes: 0, .. })) => {
                self.0.packs.remove(number)?;
                self.0.change(|change| change.forget_pack(number))?;
                Ok(Moved::On(0))
            }
            Some((number, pack)) => self.fetch(depot, number, pack).map(|()| Moved::On(0)),
            None => self.leave_bucket(depot),
        }
    }

    fn fetch(&self, depot: &Depot, number: u32, pack: Pack) -> Result<(), BlobError> {
        let (bytes, free) = (Bytes(pack.bytes.into()), self.0.free()?);
        if bytes > free {
            let why = format!("{bytes} are to come back, but the coordinator has {free} free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, why).into());
        }
        let Some((_, name)) = self.0.packs.depot_of(number)? else {
            return Ok(());
        };
        let temp = path_in(&self.0.root.join("temps"), number);
        let fetched = || -> io::Result<()> {
            let mut file = File::create(&temp)?;
            let (mut at, end) = (0, u64::from(pack.bytes));
            while at < end {
                let until = end.min(at + READ_BYTES);
                file.write_all(&depot.read(&name, at..until)?)?;
                at = until;
            }
            file.sync_all()?;
            step();
            fs::rename(&temp, self.0.packs.path(number))?;
            sync_folder(&self.0.root.join(PACKS))
        };
        match fetched() {
            Err(error) if is_gone(&error) => {
                tracing::error!(org = %self.0.org, pack = number, "a pack that is to come back is damaged");
                return self.clear_up(&[(number, pack)]);
            }
            Err(error) => {
                // What stays is cleared when the store is opened next.
                let _ = fs::remove_file(&temp);
                return Err(error.into());
            }
            Ok(()) => {}
        }
        step();
        self.0.change(|change| change.bring_back(number))?;
        self.0.packs.came(number);
        step();
        if let Err(error) = depot.remove(&name) {
            // All that is left goes in the end.
            tracing::warn!(org = %self.0.org, pack = number, %error, "an object that nothing needs is still there");
        }
        tracing::debug!(org = %self.0.org, pack = number, "a pack has moved to the disk");
        Ok(())
    }

    /// Leaves a bucket in which nothing is needed any more.
    fn leave_bucket(&self, depot: &Depot) -> Result<Moved, BlobError> {
        let _one = self.0.shipping();
        // Nobody else changes it.
        let home = self.0.home().clone();
        if !home.storage.is_local() {
            // Turned back just now.
            return Ok(Moved::Done);
        }
        // A commit that was under way may have named a pack in the bucket since the look; later ones name none.
        drop(self.0.committing());
        let packs = self.0.view()?.packs()?;
        if packs
            .iter()
            .any(|(number, _)| self.0.packs.is_away(*number))
        {
            return Ok(Moved::On(0));
        }
        depot.clear()?;
        let left = Home {
            store: home.store,
            ..Home::default()
        };
        left.write(&self.0.root)?;
        *self.0.home() = left;
        self.0.packs.set_depot(None);
        Ok(Moved::Done)
    }
}

/// Returns whether what was to be read is not there, or not as long as it was, or nowhere that its disk can read.
pub(super) fn is_lost(error: &io::Error) -> bool {
    is_gone(error) || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}
