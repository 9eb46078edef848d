//! Keeps a job's secrets out of its log: whatever it prints of them becomes `***`, however it is cut into pieces.
//!
//! What could be the beginning of a secret is held back until more comes or the stream ends, and nothing else is.
//! A value that the job changes before it prints it (reversed, encoded, a letter a line) is not known again: this
//! guards against accidents, not against the job.

use std::sync::Arc;

use zeroize::Zeroizing;

/// What a secret becomes.
const MASK: &[u8] = b"***";

/// What to look for.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// By their first byte, the longest first.
    by_first: Vec<Vec<Zeroizing<Vec<u8>>>>,
}

impl Patterns {
    /// None of them is empty.
    pub(super) fn new(patterns: Vec<Zeroizing<Vec<u8>>>) -> Arc<Self> {
        if patterns.is_empty() {
            return Arc::default();
        }
        let mut by_first = vec![Vec::new(); 256];
        for pattern in patterns {
            if let Some(&first) = pattern.first() {
                by_first[usize::from(first)].push(pattern);
            }
        }
        for same in &mut by_first {
            same.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        }
        Arc::new(Self { by_first })
    }

    /// Looks at the beginning of a text, which goes on unless it has ended.
    fn look(&self, text: &[u8], ended: bool) -> Found {
        let first = text.first().map_or(0, |&first| usize::from(first));
        let Some(same) = self.by_first.get(first) else {
            return Found::Nothing;
        };
        // The longest that fits counts, so a longer one that may still come has to be waited for.
        for pattern in same {
            if text.starts_with(pattern) {
                return Found::Secret(pattern.len());
            }
            if !ended && pattern.starts_with(text) {
                return Found::Beginning;
            }
        }
        Found::Nothing
    }
}

/// What stands at the beginning of a text.
enum Found {
    Nothing,
    /// Of so many bytes.
    Secret(usize),
    /// As much of one as there is.
    Beginning,
}

/// One stream that is looked through.
#[derive(Debug, Default)]
pub(super) struct Mask {
    patterns: Arc<Patterns>,
    /// What came and was not let through yet.
    held: Zeroizing<Vec<u8>>,
}

impl Mask {
    pub(super) fn new(patterns: &Arc<Patterns>) -> Self {
        Self {
            patterns: Arc::clone(patterns),
            held: Zeroizing::default(),
        }
    }

    /// Takes the next piece and returns what can be let through.
    pub(super) fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.patterns.by_first.is_empty() {
            return piece.to_vec();
        }
        self.held.extend_from_slice(piece);
        self.let_through(false)
    }

    /// Returns the rest, once nothing more comes.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.let_through(true)
    }

    fn let_through(&mut self, ended: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
            match self.patterns.look(rest, ended) {
                Found::Beginning => break,
                Found::Secret(length) => {
                    out.extend_from_slice(MASK);
                    at += length;
                }
                Found::Nothing => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        out
    }
}

/// Returns a whole line of our own without secrets in it.
pub(super) fn masked(patterns: &Arc<Patterns>, line: &str) -> String {
    let mut mask = Mask::new(patterns);
    let mut shown = mask.pass(line.as_bytes());
    shown.extend(mask.finish());
    String::from_utf8_lossy(&shown).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Arc<Patterns> {
        let texts = texts
            .iter()
            .map(|text| Zeroizing::new(text.as_bytes().to_vec()));
        Patterns::new(texts.collect())
    }

    #[track_caller]
    fn check(secrets: &[&str], written: &str, expect: &str) {
        let patterns = patterns(secrets);
        // However it is cut in two, and byte by byte.
        for cut in 0..=written.len() {
            let mut mask = Mask::new(&patterns);
            let (one, two) = written.as_bytes().split_at(cut);
            let mut out = mask.pass(one);
            out.extend(mask.pass(two));
            out.extend(mask.finish());
            assert_eq!(String::from_utf8_lossy(&out), expect, "cut at {cut}");
        }
        let mut mask = Mask::new(&patterns);
        let mut out: Vec<u8> = Vec::new();
        for byte in written.as_bytes().chunks(1) {
            out.extend(mask.pass(byte));
        }
        out.extend(mask.finish());
        assert_eq!(String::from_utf8_lossy(&out), expect, "byte by byte");
    }

    #[test]
    fn a_secret_is_found_however_it_is_cut() {
        check(&["hunter22"], "pw=hunter22!\n", "pw=***!\n");
        check(&["hunter22"], "hunter22hunter22", "******");
        check(
            &["hunter22"],
            "hunter2 hunthunter22 hunter",
            "hunter2 hunt*** hunter",
        );
        check(&["first\nsecond"], "a first\nsecond b", "a *** b");
        check(&["aabaac"], "aabaabaac", "aab***");
        check(
            &["secret", "secretive"],
            "secretive secret secretiv",
            "*** *** ***iv",
        );
        check(&[], "nothing", "nothing");
    }

    #[test]
    fn what_cannot_be_a_secret_is_not_held_back() {
        let patterns = patterns(&["hunter22"]);
        let mut mask = Mask::new(&patterns);
        assert_eq!(mask.pass(b"a whole line\n"), b"a whole line\n");
        assert_eq!(mask.pass(b"then hun"), b"then ");
        assert_eq!(mask.pass(b"gry\n"), b"hungry\n");
        assert_eq!(mask.finish(), b"");
        assert_eq!(masked(&patterns, "to hunter22.example"), "to ***.example");
    }
}
