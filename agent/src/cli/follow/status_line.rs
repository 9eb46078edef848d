//! One line on stderr that is overwritten, for somebody who waits at a terminal.

use std::io::Write;

use super::super::escape;

/// Longest line, so that it is never folded and can be taken back.
const MAX_CHARS: usize = 78;
/// To the line's beginning, and everything after it gone.
const CLEAR: &str = "\r\u{1b}[K";

#[derive(Debug)]
pub(super) struct StatusLine {
    draws: bool,
    /// What stands there now; empty for nothing.
    shown: String,
}

impl StatusLine {
    pub(super) const fn new(draws: bool) -> Self {
        Self {
            draws,
            shown: String::new(),
        }
    }

    pub(super) const fn is_drawn(&self) -> bool {
        self.draws
    }

    pub(super) fn set(&mut self, text: &str) {
        if self.draws {
            let text: String = escape::line(text).chars().take(MAX_CHARS).collect();
            if text != self.shown {
                write(&format!("{CLEAR}{text}"));
                self.shown = text;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        if !std::mem::take(&mut self.shown).is_empty() {
            write(CLEAR);
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write(text: &str) {
    let mut err = std::io::stderr();
    // A terminal that is gone needs no line.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
