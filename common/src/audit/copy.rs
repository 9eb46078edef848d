//! A copy of an org's log: JSON lines that prove themselves to whoever has nothing but the copy.
//!
//! The first line says whose log it is, how many entries follow and how the newest is sealed; each further line is one
//! entry with its number and seal. Every byte counts: a line is read only if writing what was read gives the line again.

use super::ChainHead;
use crate::id::{OrgId, Seal};

/// Returns the first line of a copy, without its line break.
pub fn header(org: OrgId, head: ChainHead) -> String {
    let ChainHead { entries, seal } = head;
    format!(r#"{{"org":"{org}","entries":{entries},"seal":"{seal}"}}"#)
}

/// Returns the line of an entry, without its line break.
pub fn line(number: u64, seal: Seal, json: &str) -> String {
    format!(r#"{{"number":{number},"seal":"{seal}","entry":{json}}}"#)
}

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it is not as it was written")]
    Changed,
    #[error("something was removed before it")]
    Removed,
    #[error("it was added")]
    Added,
    #[error("the copy ends too early: something was removed after it")]
    Ends,
}

/// The first line that is not what it was, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {flaw}")]
pub struct Tampered {
    pub line: u64,
    pub flaw: Flaw,
}

/// A copy that is being read, line by line.
#[derive(Debug, Clone, Copy)]
pub struct LogCopy {
    org: OrgId,
    /// What the first line says.
    claimed: ChainHead,
    /// What was read of it.
    read: ChainHead,
}

impl LogCopy {
    /// Begins with the first line.
    ///
    /// # Errors
    /// It is not one.
    pub fn begin(first: &str) -> Result<Self, Tampered> {
        let (org, claimed) = read_header(first).ok_or(Tampered {
            line: 1,
            flaw: Flaw::Changed,
        })?;
        Ok(Self {
            org,
            claimed,
            read: ChainHead::first(org),
        })
    }

    /// Takes one more line, without its line break.
    ///
    /// # Errors
    /// It is not the next one as it was written.
    pub fn take(&mut self, line: &str) -> Result<(), Tampered> {
        let expected = self.read.entries;
        let tampered = |flaw| Tampered {
            line: expected.saturating_add(2),
            flaw,
        };
        if expected == self.claimed.entries {
            return Err(tampered(Flaw::Added));
        }
        let (number, seal, json) = read_line(line).ok_or(tampered(Flaw::Changed))?;
        let next = self.read.with(json.as_bytes());
        if number == expected && seal == next.seal {
            self.read = next;
            return Ok(());
        }
        Err(tampered(match number.cmp(&expected) {
            std::cmp::Ordering::Less => Flaw::Added,
            std::cmp::Ordering::Equal => Flaw::Changed,
            std::cmp::Ordering::Greater => Flaw::Removed,
        }))
    }

    /// Ends after the last line; returns whose log it is and how far it goes.
    ///
    /// # Errors
    /// There were more lines once, or the first line says what the others do not.
    pub fn end(self) -> Result<(OrgId, ChainHead), Tampered> {
        if self.read == self.claimed {
            Ok((self.org, self.claimed))
        } else if self.read.entries < self.claimed.entries {
            Err(Tampered {
                line: self.read.entries.saturating_add(1),
                flaw: Flaw::Ends,
            })
        } else {
            Err(Tampered {
                line: 1,
                flaw: Flaw::Changed,
            })
        }
    }
}

fn read_header(text: &str) -> Option<(OrgId, ChainHead)> {
    let rest = text.strip_prefix(r#"{"org":""#)?;
    let (org, rest) = rest.split_once(r#"","entries":"#)?;
    let (entries, rest) = rest.split_once(r#","seal":""#)?;
    let seal = rest.strip_suffix(r#""}"#)?;
    let org = org.parse().ok()?;
    let head = ChainHead {
        entries: entries.parse().ok()?,
        seal: seal.parse().ok()?,
    };
    (header(org, head) == text).then_some((org, head))
}

fn read_line(text: &str) -> Option<(u64, Seal, &str)> {
    let rest = text.strip_prefix(r#"{"number":"#)?;
    let (number, rest) = rest.split_once(r#","seal":""#)?;
    let (seal, rest) = rest.split_once(r#"","entry":"#)?;
    let json = rest.strip_suffix('}')?;
    let (number, seal) = (number.parse().ok()?, seal.parse().ok()?);
    (line(number, seal, json) == text).then_some((number, seal, json))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORG: OrgId = OrgId::from_bytes([7; 16]);

    /// Returns the lines of a copy of so many entries.
    fn lines(entries: u64) -> Vec<String> {
        let mut head = ChainHead::first(ORG);
        let mut lines = Vec::new();
        for number in 0..entries {
            let json = format!(r#"{{"at":"2026-11-22T08:00:0{number}Z","event":{{"n":"{{\"é"}}}}"#);
            head = head.with(json.as_bytes());
            lines.push(line(number, head.seal, &json));
        }
        lines.insert(0, header(ORG, head));
        lines
    }

    fn verify(lines: &[String]) -> Result<(OrgId, ChainHead), Tampered> {
        let mut copy = LogCopy::begin(lines.first().map_or("", String::as_str))?;
        for line in &lines[1..] {
            copy.take(line)?;
        }
        copy.end()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<String>), line: u64, flaw: Flaw) {
        let mut lines = lines(5);
        change(&mut lines);
        assert_eq!(verify(&lines), Err(Tampered { line, flaw }));
    }

    #[test]
    fn a_copy_proves_itself_and_what_was_done_to_it_is_named() {
        for entries in [0, 1, 5] {
            let (org, head) = verify(&lines(entries)).unwrap();
            assert_eq!((org, head.entries), (ORG, entries));
        }
        check(|lines| drop(lines.remove(3)), 4, Flaw::Removed);
        check(|lines| drop(lines.remove(5)), 5, Flaw::Ends);
        check(|lines| lines.truncate(1), 1, Flaw::Ends);
        check(|lines| lines.push(lines[5].clone()), 7, Flaw::Added);
        check(|lines| lines.insert(3, lines[2].clone()), 4, Flaw::Added);
        check(|lines| lines.swap(2, 3), 3, Flaw::Removed);
        check(|lines| drop(lines.remove(0)), 1, Flaw::Changed);
        check(|lines| lines[2].push(' '), 3, Flaw::Changed);
        check(|lines| lines[2].push('\r'), 3, Flaw::Changed);
        // The first line of a shorter log of the same beginning, and of another org's.
        let shorter = lines(4)[0].clone();
        check(|lines| lines[0] = shorter, 6, Flaw::Added);
        let other = OrgId::from_bytes([8; 16]);
        let (_, head) = verify(&lines(5)).unwrap();
        check(|lines| lines[0] = header(other, head), 2, Flaw::Changed);
    }

    #[test]
    fn one_changed_byte_anywhere_is_found_at_its_line() {
        let good = lines(3);
        for (row, text) in good.iter().enumerate() {
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                for flip in [0x01, 0x02, 0x04, 0x10, 0x20] {
                    bytes[at] ^= flip;
                    if let Ok(changed) = std::str::from_utf8(&bytes) {
                        let mut lines = good.clone();
                        lines[row] = changed.to_owned();
                        let found = verify(&lines).unwrap_err();
                        // A changed first line may only be noticed by the entries that it speaks of.
                        let named = row == 0 || found.line == row as u64 + 1;
                        assert!(named, "{at} of line {}: {found}", row + 1);
                    }
                    bytes[at] ^= flip;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_lines_are_a_flaw(lines in prop::collection::vec(".*", 0..4)) {
            prop_assert!(verify(&lines).is_err());
        }
    }
}
