//! What a pack is called in a bucket.

use super::packs::PACKS;

/// A pack as an object. Every opening of a store gives its objects names of their own: what a process before it, or a
/// server on its behalf, was about to write takes nobody's place when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) pack: u32,
    /// Zero of the packs of builds that had no such thing.
    pub(super) opening: u64,
}

impl Object {
    pub(super) fn name(&self) -> String {
        let Self { pack, opening } = self;
        match opening {
            0 => format!("{PACKS}/{pack:08}"),
            _ => format!("{PACKS}/{pack:08}-{opening:016x}"),
        }
    }

    /// Reads the name of an object among the packs, without its folder.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (pack, opening) = name.split_once('-').unwrap_or((name, "0"));
        Some(Self {
            pack: pack.parse().ok()?,
            opening: u64::from_str_radix(opening, 16).ok()?,
        })
    }
}
