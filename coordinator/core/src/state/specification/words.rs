//! A job's name, its program and its arguments, one after the other in one piece of memory.

use std::{fmt, mem::size_of};

/// Each with its length before it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Words(Box<[u8]>);

const LENGTH: usize = size_of::<u32>();

impl Words {
    pub(super) fn of(first: &str, others: &[String]) -> Self {
        let all = || std::iter::once(first).chain(others.iter().map(String::as_str));
        let mut bytes = Vec::with_capacity(all().map(|word| LENGTH + word.len()).sum());
        for word in all() {
            let length = u32::try_from(word.len()).expect("frames bound what is sent");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(word.as_bytes());
        }
        Self(bytes.into_boxed_slice())
    }

    pub(super) fn first(&self) -> &str {
        self.iter().next().unwrap_or_default()
    }

    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.iter().skip(1)
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (word, after) = after.split_at_checked(length)?;
            rest = after;
            std::str::from_utf8(word).ok()
        })
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_they_were() {
        let check = |others: &[&str]| {
            let others: Vec<String> = others.iter().map(|&word| word.to_owned()).collect();
            let words = Words::of("name", &others);
            assert_eq!(words.first(), "name");
            assert!(words.others().eq(&others));
        };
        check(&[]);
        check(&["true"]);
        check(&["sh", "", "-c", "a\0b \u{fc}", ""]);
    }
}
