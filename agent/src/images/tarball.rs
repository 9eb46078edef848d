//! The entries of a tar archive that strangers made, each with its long name and its times put together.
//!
//! The tar crate reads the headers; what extends them (long names, PAX records) is read here, because there
//! nothing bounds how long those are. Sparse entries, and sizes that a PAX record changes, are refused: what
//! programs disagree on is how archives hide things.

use std::io::{self, Read};

use common::problem::Problem;
use tar::{Archive, EntryType, Header, PaxExtensions};

use super::bad_image;

/// Longest path or link of an entry, in bytes; the kernel's own bound.
pub(super) const MAX_PATH_BYTES: usize = 4095;
/// Longest set of PAX records for one entry.
const MAX_PAX_BYTES: usize = 1 << 20;

/// What an entry is, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// As it stands in the archive.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: u64,
    pub(super) size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    /// Devices and pipes.
    Special,
}

/// What the entries before one say of it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    modified: Option<u64>,
    size: Option<u64>,
}

/// Hands every entry of an archive to `take`, with its content. `most` is how many there may be.
pub(super) fn each<R: Read>(
    archive: R,
    most: usize,
    mut take: impl FnMut(Item, &mut dyn Read) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut archive = Archive::new(archive);
    let entries = archive
        .entries()
        .map_err(|error| unreadable(&error))?
        .raw(true);
    let mut extensions = Extensions::default();
    for (index, entry) in entries.enumerate() {
        if index >= most {
            return Err(bad_image(format!(
                "it has more than {most} files and folders"
            )));
        }
        let mut entry = entry.map_err(|error| unreadable(&error))?;
        let entry_type = entry.header().entry_type();
        match entry_type {
            EntryType::GNULongName => extensions.path = Some(long_name(&mut entry)?),
            EntryType::GNULongLink => extensions.link = Some(long_name(&mut entry)?),
            EntryType::XHeader => extensions.read(&mut entry)?,
            // Says nothing about files.
            EntryType::XGlobalHeader => {}
            _ => {
                let item = item(entry.header(), std::mem::take(&mut extensions))?;
                take(item, &mut entry)?;
            }
        }
    }
    Ok(())
}

fn item(header: &Header, extensions: Extensions) -> Result<Item, Problem> {
    let damaged = |error: io::Error| unreadable(&error);
    let size = header.entry_size().map_err(damaged)?;
    if extensions.size.is_some_and(|extended| extended != size) {
        return Err(bad_image(
            "it holds a file of 8 GiB or more, or one whose size is not what it says",
        ));
    }
    let path = extensions
        .path
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let link = extensions
        .link
        .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
    let link = || link.ok_or_else(|| bad_image("it has a link that leads nowhere"));
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Symlink(link()?),
        EntryType::Link => Kind::HardLink(link()?),
        EntryType::Char | EntryType::Block | EntryType::Fifo => Kind::Special,
        EntryType::GNUSparse => return Err(sparse()),
        other => {
            let byte = other.as_byte();
            return Err(bad_image(format!(
                "it has an entry of a kind that is not known ({byte})"
            )));
        }
    };
    let mode = header.mode().map_err(damaged)?;
    let modified = extensions
        .modified
        .or_else(|| header.mtime().ok())
        .unwrap_or(0);
    Ok(Item {
        path,
        kind,
        mode,
        modified,
        size,
    })
}

impl Extensions {
    fn read(&mut self, entry: &mut dyn Read) -> Result<(), Problem> {
        let bytes = bounded(entry, MAX_PAX_BYTES)?;
        for record in PaxExtensions::new(&bytes) {
            let record = record.map_err(|error| unreadable(&error))?;
            let value = record.value_bytes();
            let number = || {
                let text = record.value().ok()?;
                text.split('.').next()?.parse::<u64>().ok()
            };
            match record.key_bytes() {
                b"path" => self.path = Some(checked(value)?),
                b"linkpath" => self.link = Some(checked(value)?),
                b"mtime" => self.modified = number(),
                b"size" => {
                    let size = number().ok_or_else(|| bad_image("it has a file without a size"))?;
                    self.size = Some(size);
                }
                key if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn long_name(entry: &mut dyn Read) -> Result<Vec<u8>, Problem> {
    let mut name = bounded(entry, MAX_PATH_BYTES + 1)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    checked(&name)
}

fn checked(name: &[u8]) -> Result<Vec<u8>, Problem> {
    if name.len() > MAX_PATH_BYTES {
        return Err(bad_image(format!(
            "it has a path of more than {MAX_PATH_BYTES} bytes"
        )));
    }
    Ok(name.to_vec())
}

fn bounded(entry: &mut dyn Read, most: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let read = entry.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() > most {
        return Err(bad_image(format!(
            "it has a name or a description of more than {most} bytes"
        )));
    }
    Ok(bytes)
}

fn sparse() -> Problem {
    bad_image("it has a file with holes, which is not supported")
        .help("Make the archive without the option for sparse files.")
}

/// Returns what is wrong with an archive; what the readers below refuse is already in a person's words.
pub(super) fn unreadable(error: &io::Error) -> Problem {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Problem>());
    inner
        .cloned()
        .unwrap_or_else(|| bad_image(format!("it cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: EntryType, path: &str, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    fn archive(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (header, content) in entries {
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn read(bytes: &[u8], most: usize) -> Result<Vec<(Item, Vec<u8>)>, Problem> {
        let mut items = Vec::new();
        each(bytes, most, |item, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            items.push((item, bytes));
            Ok(())
        })?;
        Ok(items)
    }

    fn extended(kind: EntryType, text: &[u8]) -> (Header, Vec<u8>) {
        (header(kind, "extension", text.len() as u64), text.to_vec())
    }

    #[test]
    fn long_names_and_records_belong_to_the_next_entry_only() {
        let long = "d/".repeat(200) + "f";
        let file = || (header(EntryType::Regular, "short", 2), b"hi".to_vec());
        let bytes = archive(&[
            extended(EntryType::GNULongName, format!("{long}\0").as_bytes()),
            file(),
            extended(EntryType::XHeader, b"14 path=p/q/r\n20 mtime=1500000.25\n"),
            file(),
            file(),
            (header(EntryType::Regular, "old-style/", 0), Vec::new()),
        ]);
        let items = read(&bytes, 100).unwrap();
        let paths: Vec<&[u8]> = items.iter().map(|(item, _)| &*item.path).collect();
        assert_eq!(paths, [long.as_bytes(), b"p/q/r", b"short", b"old-style/"]);
        assert_eq!(items[1].0.modified, 1_500_000);
        assert_eq!(items[3].0.kind, Kind::Folder);
        assert!(items[..3].iter().all(|(_, content)| content == b"hi"));
    }

    #[test]
    fn what_would_fill_the_memory_or_hide_something_is_refused() {
        let file = || (header(EntryType::Regular, "file", 0), Vec::new());
        let name = vec![b'x'; MAX_PATH_BYTES + 2];
        for (entry, word) in [
            (extended(EntryType::GNULongName, &name), "description"),
            (extended(EntryType::GNULongLink, &name), "description"),
            (
                extended(EntryType::XHeader, &vec![b' '; MAX_PAX_BYTES + 1]),
                "description",
            ),
            (extended(EntryType::XHeader, b"11 size=99\n"), "size"),
            (
                extended(EntryType::XHeader, b"22 GNU.sparse.major=1\n"),
                "holes",
            ),
            ((header(EntryType::GNUSparse, "s", 0), Vec::new()), "holes"),
            (
                (header(EntryType::new(b'V'), "label", 0), Vec::new()),
                "not known",
            ),
        ] {
            let refused = read(&archive(&[entry, file()]), 100).unwrap_err();
            assert!(refused.why.contains(word), "{refused}");
        }
        let refused = read(&archive(&[file(), file(), file()]), 2).unwrap_err();
        assert!(refused.why.contains("more than 2"), "{refused}");
        let mut bytes = archive(&[file()]);
        bytes[0] ^= 1;
        assert!(read(&bytes, 2).unwrap_err().why.contains("cannot be read"));
        let cut = archive(&[(header(EntryType::Regular, "cut", 9999), Vec::new())]);
        assert!(read(&cut[..600], 2).is_err());
    }
}
