//! The audit logs of the orgs: for each its own numbering and its own chain of seals, beside the list of all events, so
//! that an org can prove its log and see nothing of another's.
//!
//! Written in the transaction of the event. Read beside the engine, from a transaction that sees what was committed:
//! [`Trail`] holds the book only while it reads.

mod newest;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use common::{
    api::{MAX_ROWS, audit::ChainPage, page::MAX_PAGE_BYTES},
    audit::{ChainHead, SealedEntry},
    id::{MachineId, OrgId, Seal, UserId},
    status::AuditKind,
    time::Timestamp,
};
use coordinator_core::{Actor, query::audit::Kept};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};

use self::newest::NewestFirst;
use super::{EVENTS, Entry, Raw, StoreError, unversioned};

/// Entries by org and number in its log; see [`Place`].
const ENTRIES: TableDefinition<'static, Raw, Raw> = TableDefinition::new("org-events-1");
/// The same by org, kind and number, with nothing else.
const KINDS: TableDefinition<'static, Raw, Raw> = TableDefinition::new("org-event-kinds-1");

/// Most entries that one page looks at for those of one actor.
const MAX_LOOKED_AT: u32 = 20_000;

/// What stands in an org's log in the place of an entry, whose bytes are in the list of all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Number in the list of all events.
    event: u64,
    at: Timestamp,
    kind: AuditKind,
    actor: Actor,
    seal: Seal,
}

const PLACE_BYTES: usize = 8 + 8 + 1 + 17 + 32;

impl Place {
    fn to_bytes(self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        bytes[..8].copy_from_slice(&self.event.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.at.unix_ms().to_be_bytes());
        bytes[16] = self.kind as u8;
        let (tag, id) = match self.actor {
            Actor::System => (0, [0; 16]),
            Actor::Stranger => (1, [0; 16]),
            // Which token of theirs stands in the entry itself.
            Actor::User(user) | Actor::Program { user, .. } => (2, *user.as_bytes()),
            Actor::Machine(machine) => (3, *machine.as_bytes()),
        };
        bytes[17] = tag;
        bytes[18..34].copy_from_slice(&id);
        bytes[34..].copy_from_slice(self.seal.as_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let (event, rest) = split::<8>(bytes)?;
        let (at, rest) = split::<8>(rest)?;
        let ([kind, tag], rest) = split::<2>(rest)?;
        let (id, rest) = split::<16>(rest)?;
        let (seal, rest) = split::<32>(rest)?;
        let kind = AuditKind::ALL.get(usize::from(kind));
        let actor = match tag {
            0 => Actor::System,
            1 => Actor::Stranger,
            2 => Actor::User(UserId::from_bytes(id)),
            3 => Actor::Machine(MachineId::from_bytes(id)),
            _ => return Err(StoreError::RowVersion),
        };
        match (kind, rest) {
            (Some(kind), []) => Ok(Self {
                event: u64::from_be_bytes(event),
                at: Timestamp::from_unix_ms(u64::from_be_bytes(at)),
                kind: *kind,
                actor,
                seal: Seal::new(seal),
            }),
            _ => Err(StoreError::RowVersion),
        }
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), StoreError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(StoreError::RowVersion)?;
    Ok((*first, rest))
}

fn key(org: OrgId, number: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(org.as_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

fn kind_key(org: OrgId, kind: AuditKind, number: u64) -> [u8; 25] {
    let mut key = [0; 25];
    key[..16].copy_from_slice(org.as_bytes());
    key[16] = kind as u8;
    key[17..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Returns the number at the end of a key.
fn number(key: &[u8]) -> Result<u64, StoreError> {
    let number = key.last_chunk().ok_or(StoreError::RowVersion)?;
    Ok(u64::from_be_bytes(*number))
}

/// The tables of the logs, open to write.
#[derive(Debug)]
pub(super) struct Logs<'a> {
    entries: Table<'a, Raw, Raw>,
    kinds: Table<'a, Raw, Raw>,
    /// How far the logs go that something was added to.
    heads: BTreeMap<OrgId, ChainHead>,
}

impl<'a> Logs<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            kinds: transaction.open_table(KINDS)?,
            heads: BTreeMap::new(),
        })
    }

    /// Adds an event, of this number in the list of all, to every log that it goes into.
    pub(super) fn append(&mut self, event: u64, entry: &Entry) -> Result<(), StoreError> {
        for org in &entry.orgs {
            let head = match self.heads.get(org) {
                Some(head) => *head,
                None => head(&self.entries, *org)?,
            };
            let (number, head) = (head.entries, head.with(&entry.json));
            self.heads.insert(*org, head);
            let place = Place {
                event,
                at: entry.at,
                kind: entry.kind,
                actor: entry.actor,
                seal: head.seal,
            };
            let by_kind = kind_key(*org, entry.kind, number);
            self.entries
                .insert(key(*org, number).as_slice(), place.to_bytes().as_slice())?;
            self.kinds.insert(by_kind.as_slice(), &[][..])?;
        }
        Ok(())
    }
}

/// Returns how far an org's log goes.
fn head(entries: &impl ReadableTable<Raw, Raw>, org: OrgId) -> Result<ChainHead, StoreError> {
    let all = key(org, 0)..=key(org, u64::MAX);
    let all = all.start().as_slice()..=all.end().as_slice();
    match entries.range(all)?.next_back().transpose()? {
        None => Ok(ChainHead::first(org)),
        Some((key, value)) => Ok(ChainHead {
            entries: number(key.value())? + 1,
            seal: Place::read(value.value())?.seal,
        }),
    }
}

/// Reads logs beside the engine. Does not keep the book open: the engine's end closes it.
#[derive(Debug, Clone)]
pub(crate) struct Trail {
    db: Weak<Database>,
}

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// Each at most once.
    pub(crate) kinds: Vec<AuditKind>,
    pub(crate) actor: Option<Actor>,
    pub(crate) since: Option<Timestamp>,
    /// Only entries before this number.
    pub(crate) before: Option<u64>,
    pub(crate) limit: u32,
}

/// Some of the entries that are wanted, newest first, and where the next page begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Kept>,
    pub(crate) before: Option<u64>,
}

impl Trail {
    pub(super) fn of(db: &Arc<Database>) -> Self {
        Self {
            db: Arc::downgrade(db),
        }
    }

    /// Returns the newest entries that are wanted.
    ///
    /// # Errors
    /// The book cannot be read, or is closed.
    pub(crate) fn page(&self, org: OrgId, filter: &Filter) -> Result<Page, StoreError> {
        Reader::open(self)?.page(org, filter)
    }

    /// Returns entries as they are kept, from a number on, with their seals.
    ///
    /// # Errors
    /// The book cannot be read, or is closed.
    pub(crate) fn chain(&self, org: OrgId, from: u64) -> Result<ChainPage, StoreError> {
        Reader::open(self)?.chain(org, from)
    }
}

/// One look at the logs.
struct Reader {
    events: ReadOnlyTable<Raw, Raw>,
    entries: ReadOnlyTable<Raw, Raw>,
    kinds: ReadOnlyTable<Raw, Raw>,
}

impl Reader {
    fn open(trail: &Trail) -> Result<Self, StoreError> {
        let db = trail.db.upgrade().ok_or(StoreError::Closed)?;
        Self::of(&db.begin_read()?)
    }

    fn of(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            events: transaction.open_table(EVENTS)?,
            entries: transaction.open_table(ENTRIES)?,
            kinds: transaction.open_table(KINDS)?,
        })
    }

    fn page(&self, org: OrgId, filter: &Filter) -> Result<Page, StoreError> {
        let newest = head(&self.entries, org)?.entries;
        let end = filter.before.unwrap_or(newest).min(newest);
        let start = match filter.since {
            None => 0,
            Some(since) => self.first_since(org, since, end)?,
        };
        let mut newest_first = self.newest_first(org, &filter.kinds, start, end)?;
        let limit = usize::try_from(filter.limit.clamp(1, MAX_ROWS)).unwrap_or(usize::MAX);
        let (mut page, mut bytes) = (Page::default(), 0);
        let mut next = newest_first.next()?;
        for _ in 0..MAX_LOOKED_AT {
            let Some(number) = next else { break };
            next = newest_first.next()?;
            // What was looked at is not looked at again.
            page.before = next.map(|_| number);
            let place = self.place(org, number)?;
            if filter.actor.is_some_and(|actor| actor != place.actor) {
                continue;
            }
            let json = self.json(&place)?;
            bytes += json.len();
            page.entries.push(Kept {
                number,
                at: place.at,
                kind: place.kind,
                actor: place.actor,
                json,
            });
            if page.entries.len() >= limit || bytes >= MAX_PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    fn chain(&self, org: OrgId, from: u64) -> Result<ChainPage, StoreError> {
        let head = head(&self.entries, org)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for number in from..head.entries {
            let place = self.place(org, number)?;
            let json = self.json(&place)?;
            bytes += json.len();
            entries.push(SealedEntry {
                seal: place.seal,
                json,
            });
            if entries.len() >= MAX_ROWS as usize || bytes >= MAX_PAGE_BYTES {
                break;
            }
        }
        Ok(ChainPage { entries, head })
    }

    /// Returns the number of the first entry that is not from before a moment, at most `end`. Times never go back.
    fn first_since(&self, org: OrgId, since: Timestamp, end: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.place(org, middle)?.at < since {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Returns the numbers of all entries of these kinds in a part of the log, newest first.
    fn newest_first(
        &self,
        org: OrgId,
        kinds: &[AuditKind],
        start: u64,
        end: u64,
    ) -> Result<NewestFirst<'_>, StoreError> {
        let mut lines = Vec::new();
        for kind in kinds {
            let (first, last) = (kind_key(org, *kind, start), kind_key(org, *kind, end));
            let line = self.kinds.range(first.as_slice()..last.as_slice())?;
            lines.push(line);
        }
        NewestFirst::of(lines)
    }

    fn place(&self, org: OrgId, number: u64) -> Result<Place, StoreError> {
        let found = self.entries.get(key(org, number).as_slice())?;
        let missing = StoreError::OrgSeal { org, entry: number };
        Place::read(found.ok_or(missing)?.value())
    }

    fn json(&self, place: &Place) -> Result<String, StoreError> {
        let found = self.events.get(place.event.to_be_bytes().as_slice())?;
        let missing = StoreError::Seal { event: place.event };
        let value = found.ok_or(missing)?;
        let json = unversioned(value.value()).ok_or(StoreError::RowVersion)?;
        String::from_utf8(json.to_vec()).map_err(|_| StoreError::RowVersion)
    }
}

/// Follows the chain of every org.
///
/// # Errors
/// [`StoreError::OrgSeal`] names the first entry that is not what it was or is missing.
pub(super) fn verify(transaction: &ReadTransaction) -> Result<(), StoreError> {
    let reader = match Reader::of(transaction) {
        // A book from before there were such logs.
        Err(StoreError::NoTable) => return Ok(()),
        reader => reader?,
    };
    let mut followed: Option<(OrgId, ChainHead)> = None;
    for row in reader.entries.iter()? {
        let (key, value) = row?;
        let (org, number) = split::<16>(key.value())?;
        let (org, number) = (OrgId::from_bytes(org), self::number(number)?);
        let head = match followed {
            Some((of, head)) if of == org => head,
            _ => ChainHead::first(org),
        };
        let broken = StoreError::OrgSeal {
            org,
            entry: head.entries,
        };
        let place = Place::read(value.value())?;
        let next = head.with(reader.json(&place)?.as_bytes());
        let by_kind = kind_key(org, place.kind, number);
        let listed = reader.kinds.get(by_kind.as_slice())?.is_some();
        if number != head.entries || next.seal != place.seal || !listed {
            return Err(broken);
        }
        followed = Some((org, next));
    }
    Ok(())
}
