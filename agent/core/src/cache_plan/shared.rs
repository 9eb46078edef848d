//! Files that several trees have in common, each counted once.

use std::collections::BTreeMap;

use common::units::Bytes;

/// What the disk calls a file, whatever its names: its inode's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u64);

/// Every file that more than one tree had at some time, until the last of them goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedFiles {
    files: BTreeMap<FileNumber, Shared>,
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shared {
    bytes: u64,
    holders: u32,
}

impl SharedFiles {
    /// Returns the room that all of them take, each counted once.
    pub const fn total(&self) -> Bytes {
        Bytes(self.total)
    }

    /// Returns the room that a file takes; nothing if it is not shared.
    pub fn bytes(&self, file: FileNumber) -> Bytes {
        Bytes(self.files.get(&file).map_or(0, |shared| shared.bytes))
    }

    /// Returns how many have the file; 0 if it is not shared.
    pub fn holders(&self, file: FileNumber) -> u32 {
        self.files.get(&file).map_or(0, |shared| shared.holders)
    }

    /// Counts one more that has the file.
    pub fn take(&mut self, file: FileNumber, bytes: Bytes) {
        let absent = Shared {
            bytes: bytes.0,
            holders: 0,
        };
        let shared = self.files.entry(file).or_insert(absent);
        if shared.holders == 0 {
            self.total = self.total.saturating_add(bytes.0);
        }
        shared.holders += 1;
    }

    /// Counts one less; the file goes with the last one.
    pub fn give_back(&mut self, file: FileNumber) {
        let Some(shared) = self.files.get_mut(&file) else {
            return;
        };
        shared.holders -= 1;
        if shared.holders == 0 {
            self.total -= shared.bytes;
            self.files.remove(&file);
        }
    }
}
