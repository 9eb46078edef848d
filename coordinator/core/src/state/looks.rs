//! When it was looked whether something that waits takes the place of what runs, and when that is worth another look:
//! time alone may let it. True of this process only; after a restart the first pass looks.

use std::collections::{BTreeMap, BTreeSet};

use common::{id::OrgId, time::Timestamp};

/// Of each org.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looks {
    orgs: BTreeMap<OrgId, Look>,
    /// Those that are to be looked at again, by when.
    moments: BTreeSet<(Timestamp, OrgId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// The last one.
    pub(crate) at: Timestamp,
    pub(crate) again: Option<Timestamp>,
}

impl Looks {
    pub(crate) fn of(&self, org: OrgId) -> Option<Look> {
        self.orgs.get(&org).copied()
    }

    /// Returns when one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.moments.first().map(|(moment, _)| *moment)
    }

    /// Returns the orgs in which one is due.
    pub(crate) fn due(&self, at: Timestamp) -> impl Iterator<Item = OrgId> {
        let moments = self.moments.iter();
        let due = moments.take_while(move |(moment, _)| *moment <= at);
        due.map(|(_, org)| *org)
    }

    pub(crate) fn put(&mut self, org: OrgId, at: Timestamp, again: Option<Timestamp>) {
        self.forget(org);
        self.orgs.insert(org, Look { at, again });
        self.moments.extend(again.map(|moment| (moment, org)));
    }

    /// Notes that the moment has come.
    pub(crate) fn begin(&mut self, org: OrgId) {
        if let Some(look) = self.of(org) {
            self.put(org, look.at, None);
        }
    }

    pub(crate) fn forget(&mut self, org: OrgId) {
        if let Some(Look {
            again: Some(moment),
            ..
        }) = self.orgs.remove(&org)
        {
            self.moments.remove(&(moment, org));
        }
    }
}
