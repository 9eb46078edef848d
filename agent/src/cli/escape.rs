//! What a job prints is somebody else's text: on a terminal, only letters, line breaks and colours pass.
//!
//! A terminal obeys escape sequences (move the cursor, set the title, paste), so a job could forge what its
//! reader sees or types. Everything but `ESC [ … m` is shown as text instead of being obeyed. Where output does
//! not go to a terminal nothing is changed.

/// Longest colour sequence that passes, in bytes; the longest real ones set two 24-bit colours.
const MAX_COLOUR_BYTES: usize = 48;
const RESET: &[u8] = b"\x1b[0m";

/// Escapes one stream of output piece by piece; what a piece cuts in two is kept until the next.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    /// The beginning of a character or of a colour sequence.
    pending: Vec<u8>,
    coloured: bool,
}

impl Escaper {
    /// Appends what may be shown of `bytes` to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut input = std::mem::take(&mut self.pending);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            let step = next(rest);
            match step {
                Step::Show(length) => out.extend_from_slice(&rest[..length]),
                Step::Colour(length) => {
                    out.extend_from_slice(&rest[..length]);
                    self.coloured = true;
                }
                Step::Hide(length) => hide(&rest[..length], out),
                Step::Wait => {
                    self.pending = rest.to_vec();
                    return;
                }
            }
            rest = &rest[step.length()..];
        }
    }

    /// Ends the stream: shows what was kept, and takes back a colour that was left on.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        hide(&std::mem::take(&mut self.pending), out);
        if std::mem::take(&mut self.coloured) {
            out.extend_from_slice(RESET);
        }
    }
}

enum Step {
    Show(usize),
    Colour(usize),
    Hide(usize),
    /// More bytes are needed to tell.
    Wait,
}

impl Step {
    const fn length(&self) -> usize {
        match self {
            Self::Show(length) | Self::Colour(length) | Self::Hide(length) => *length,
            Self::Wait => 0,
        }
    }
}

/// Decides about the first character or sequence of `bytes`, which is not empty.
fn next(bytes: &[u8]) -> Step {
    match bytes[0] {
        0x1b => colour(bytes),
        b'\n' | b'\t' | b'\r' | b' '..=b'~' => Step::Show(1),
        0..=0x7f => Step::Hide(1),
        _ => character(bytes),
    }
}

fn colour(bytes: &[u8]) -> Step {
    match bytes.get(1) {
        None => return Step::Wait,
        Some(b'[') => {}
        Some(_) => return Step::Hide(1),
    }
    let parameters = &bytes[2..bytes.len().min(MAX_COLOUR_BYTES)];
    let plain = |byte: &u8| byte.is_ascii_digit() || [b';', b':'].contains(byte);
    match parameters.iter().position(|byte| !plain(byte)) {
        Some(end) if parameters[end] == b'm' => Step::Colour(2 + end + 1),
        None if bytes.len() < MAX_COLOUR_BYTES => Step::Wait,
        _ => Step::Hide(1),
    }
}

fn character(bytes: &[u8]) -> Step {
    let piece = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(piece) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&piece[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) if error.error_len().is_none() => return Step::Wait,
        Err(_) => return Step::Hide(1),
    };
    match valid.chars().next() {
        Some(c) if obeyed(c) => Step::Hide(c.len_utf8()),
        Some(c) => Step::Show(c.len_utf8()),
        None => Step::Hide(1),
    }
}

/// Returns whether a terminal does something with `c` other than showing it: controls of the C1 set, and those
/// that turn the direction of writing so that a line reads differently from what it says.
fn obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn hide(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

/// Returns `text` with everything hidden that a terminal would obey, line breaks and colours included; for names
/// and messages that others wrote and that stand inside a line of ours.
pub(crate) fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Vec<u8> {
        let (mut escaper, mut out) = (Escaper::default(), Vec::new());
        escaper.push(bytes, &mut out);
        escaper.finish(&mut out);
        out
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(String::from_utf8_lossy(&whole(bytes)), expect);
    }

    #[test]
    fn only_text_line_breaks_and_colours_pass() {
        check(b"loss 0.1\tok\r\n", "loss 0.1\tok\r\n");
        check("gr\u{fc}\u{df} \u{1f600}".as_bytes(), "grüß 😀");
        check(b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m");
        check(b"\x1b]0;title\x07", "\\x1b]0;title\\x07");
        check(b"\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H");
        check(b"\x1b[", "\\x1b\\x5b");
        check(b"\xff\xc3", "\\xff\\xc3");
        check("\u{9b}31m".as_bytes(), "\\xc2\\x9b31m");
        check("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb");
        check(b"\x1b\x1b[32m", "\\x1b\x1b[32m\x1b[0m");
        assert_eq!(line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(bytes: Vec<u8>) {
            let shown = String::from_utf8(whole(&bytes)).expect("only valid text is shown");
            let mut rest = shown.as_str();
            while let Some(at) = rest.find(|c: char| obeyed(c) && !"\n\t\r".contains(c)) {
                let sequence = rest[at..].strip_prefix("\x1b[").expect("only colours are obeyed");
                let end = sequence.find(|c: char| !c.is_ascii_digit() && !";:".contains(c));
                rest = &sequence[end.expect("a colour ends")..];
                prop_assert!(rest.starts_with('m'));
            }
        }

        #[test]
        fn cutting_the_stream_changes_nothing(bytes: Vec<u8>, seed in prop::collection::vec(0_usize..9, 0..40)) {
            let coloured = [b"\x1b[38;2;1;2;3m".as_slice(), &bytes, "é\u{1f600}".as_bytes()].concat();
            let (mut escaper, mut out, mut rest) = (Escaper::default(), Vec::new(), coloured.as_slice());
            for length in seed {
                let (piece, after) = rest.split_at(length.min(rest.len()));
                escaper.push(piece, &mut out);
                rest = after;
            }
            escaper.push(rest, &mut out);
            escaper.finish(&mut out);
            prop_assert_eq!(out, whole(&coloured));
        }
    }
}
