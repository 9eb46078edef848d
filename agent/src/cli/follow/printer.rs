//! A job's log onto stdout and stderr, task by task.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, IsTerminal, Write},
};

use common::{
    code::Code,
    logs::{Record, split_record},
    problem::Problem,
    status::LogStream,
};
use serde_json::json;

use super::super::escape::Escaper;

/// Longest line that is kept back until it ends; a longer one is shown in pieces.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Most of our own remarks that are remembered.
const MAX_SAID: usize = 64;
/// What Compute Share itself says about an attempt begins with this.
const OURS: &str = "compute-share: ";

/// Where a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogForm {
    /// Stdout to stdout, stderr to stderr.
    Plain,
    /// Everything to stderr, because stdout is for the result.
    Aside,
    /// One JSON document on stdout: an array of records.
    Json,
}

#[derive(Debug)]
pub(crate) struct Printer {
    form: LogForm,
    /// Whether each line says which task it is of.
    names_tasks: bool,
    streams: BTreeMap<(u32, bool), Stream>,
    /// Records of the JSON document so far.
    records: u64,
    terminal: Terminals,
    /// What Compute Share itself said in the log.
    said: Vec<String>,
    /// Whether the reader went away.
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Terminals {
    out: bool,
    err: bool,
}

/// One task's stdout or stderr.
#[derive(Debug, Default)]
struct Stream {
    escaper: Escaper,
    /// The line that has not ended.
    line: Vec<u8>,
}

impl Printer {
    pub(crate) fn new(form: LogForm) -> Self {
        Self {
            form,
            names_tasks: false,
            streams: BTreeMap::new(),
            records: 0,
            said: Vec::new(),
            terminal: Terminals {
                out: std::io::stdout().is_terminal(),
                err: std::io::stderr().is_terminal(),
            },
            closed: false,
        }
    }

    pub(crate) fn name_tasks(&mut self) {
        self.names_tasks = true;
    }

    /// Returns what Compute Share itself said in what was printed.
    pub(crate) fn into_said(self) -> Vec<String> {
        self.said
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Prints whole records of one attempt.
    ///
    /// # Errors
    /// They are not a log, or cannot be printed.
    pub(crate) fn print(&mut self, task: u32, attempt: u32, records: &[u8]) -> Result<(), Problem> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut rest = records;
        while let Some((record, after)) = split_record(rest).map_err(|_| not_a_log())? {
            rest = after;
            self.render(task, attempt, &record, &mut out, &mut err);
        }
        if !rest.is_empty() {
            return Err(not_a_log());
        }
        self.write(&out, &err)
    }

    /// Ends what was begun, where the log could not be had to its end; nothing where nothing came.
    pub(crate) fn cut(&mut self) {
        if self.form != LogForm::Json || self.records > 0 {
            self.finish();
        }
    }

    /// Shows what was kept back, and ends the document.
    pub(crate) fn finish(&mut self) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for ((task, is_err), mut stream) in std::mem::take(&mut self.streams) {
            let target = if is_err { &mut err } else { &mut out };
            let mut tail = Vec::new();
            stream.escaper.finish(&mut tail);
            if !stream.line.is_empty() {
                target.extend_from_slice(prefix(task).as_bytes());
                target.append(&mut stream.line);
                tail.push(b'\n');
            }
            target.append(&mut tail);
        }
        if self.form == LogForm::Json {
            out.extend_from_slice(if self.records == 0 { b"[]\n" } else { b"\n]\n" });
        }
        // The log was shown; that its last line could not be is no reason to fail.
        let _ = self.write(&out, &err);
    }

    fn render(
        &mut self,
        task: u32,
        attempt: u32,
        record: &Record<'_>,
        out: &mut Vec<u8>,
        err: &mut Vec<u8>,
    ) {
        if self.form == LogForm::Json {
            self.render_json(task, attempt, record, out);
            return;
        }
        let is_err = record.stream != LogStream::Stdout || self.form == LogForm::Aside;
        let (target, terminal) = if is_err {
            (err, self.terminal.err)
        } else {
            (out, self.terminal.out)
        };
        let stream = self.streams.entry((task, is_err)).or_default();
        let mut bytes = Vec::with_capacity(record.bytes.len());
        if record.stream == LogStream::System {
            bytes.extend_from_slice(OURS.as_bytes());
            if self.said.len() < MAX_SAID {
                self.said
                    .push(String::from_utf8_lossy(record.bytes).into_owned());
            }
        }
        if terminal {
            stream.escaper.push(record.bytes, &mut bytes);
        } else {
            bytes.extend_from_slice(record.bytes);
        }
        if record.stream == LogStream::System && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        if self.names_tasks {
            stream.lines(task, &bytes, target);
        } else {
            target.extend_from_slice(&bytes);
        }
    }

    fn render_json(&mut self, task: u32, attempt: u32, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.records == 0 { b"[\n" } else { b",\n" });
        self.records += 1;
        let text = String::from_utf8_lossy(record.bytes);
        let (stream, at) = (record.stream, record.at);
        let value =
            json!({"task": task, "attempt": attempt, "stream": stream, "at": at, "text": text});
        out.extend_from_slice(value.to_string().as_bytes());
    }

    fn write(&mut self, out: &[u8], err: &[u8]) -> Result<(), Problem> {
        for (bytes, is_err) in [(out, false), (err, true)] {
            if bytes.is_empty() || self.closed {
                continue;
            }
            let written = if is_err {
                std::io::stderr().write_all(bytes)
            } else {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            };
            match written {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.closed = true,
                Err(error) => {
                    return Err(Problem::new(
                        Code::Io,
                        "cannot print the log",
                        error.to_string(),
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Stream {
    /// Appends the lines that `bytes` ends to `target`, each with its task; the beginning of one is kept.
    fn lines(&mut self, task: u32, bytes: &[u8], target: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            let ended = self.line.ends_with(b"\n");
            if ended || self.line.len() > MAX_LINE_BYTES {
                target.extend_from_slice(prefix(task).as_bytes());
                target.append(&mut self.line);
                if !ended {
                    target.push(b'\n');
                }
            }
        }
    }
}

fn prefix(task: u32) -> String {
    format!("[{task}] ")
}

fn not_a_log() -> Problem {
    Problem::new(
        Code::Protocol,
        "the log cannot be read",
        "what came is not a log",
    )
}

#[cfg(test)]
mod tests {
    use common::{logs::append, time::Timestamp};

    use super::*;

    fn printer(form: LogForm, terminal: bool) -> Printer {
        Printer {
            terminal: Terminals {
                out: terminal,
                err: terminal,
            },
            ..Printer::new(form)
        }
    }

    /// Returns what goes to stdout and stderr.
    fn shown(printer: &mut Printer, task: u32, records: &[(LogStream, &str)]) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for (stream, text) in records {
            let mut log = Vec::new();
            append(
                &mut log,
                *stream,
                Timestamp::from_unix_ms(0),
                text.as_bytes(),
            );
            let (record, _) = split_record(&log).unwrap().unwrap();
            printer.render(task, 1, &record, &mut out, &mut err);
        }
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    #[test]
    fn streams_stay_apart_and_ours_says_so() {
        let records = [
            (LogStream::Stdout, "half"),
            (LogStream::Stderr, "warning\n"),
            (LogStream::System, "the machine is gone"),
            (LogStream::Stdout, " line\n"),
        ];
        let (out, err) = shown(&mut printer(LogForm::Plain, false), 0, &records);
        assert_eq!(out, "half line\n");
        assert_eq!(err, "warning\ncompute-share: the machine is gone\n");
        let (out, err) = shown(&mut printer(LogForm::Aside, false), 0, &records[..2]);
        assert_eq!((out.as_str(), err.as_str()), ("", "halfwarning\n"));
    }

    #[test]
    fn lines_of_an_array_name_their_task_and_are_not_mixed() {
        let mut printer = printer(LogForm::Plain, false);
        printer.name_tasks();
        let (first, _) = shown(&mut printer, 7, &[(LogStream::Stdout, "a\nb")]);
        let (other, _) = shown(&mut printer, 8, &[(LogStream::Stdout, "x\n")]);
        let (rest, _) = shown(&mut printer, 7, &[(LogStream::Stdout, "c\n")]);
        assert_eq!(format!("{first}{other}{rest}"), "[7] a\n[8] x\n[7] bc\n");
    }

    #[test]
    fn a_terminal_is_protected_and_a_file_is_not_changed() {
        let records = [(LogStream::Stdout, "\u{1b}]0;x\u{7}\n")];
        assert_eq!(
            shown(&mut printer(LogForm::Plain, true), 0, &records).0,
            "\\x1b]0;x\\x07\n"
        );
        assert_eq!(
            shown(&mut printer(LogForm::Plain, false), 0, &records).0,
            "\u{1b}]0;x\u{7}\n"
        );
    }

    #[test]
    fn records_are_one_json_document() {
        let mut printer = printer(LogForm::Json, false);
        let (out, _) = shown(
            &mut printer,
            3,
            &[(LogStream::Stdout, "a"), (LogStream::Stderr, "b")],
        );
        let value: serde_json::Value = serde_json::from_str(&format!("{out}\n]")).unwrap();
        assert_eq!(value[1]["stream"], "stderr");
        assert_eq!(
            (&value[0]["task"], &value[0]["text"]),
            (&json!(3), &json!("a"))
        );
    }

    #[test]
    fn what_is_not_a_log_is_refused() {
        let problem = printer(LogForm::Plain, false)
            .print(0, 1, &[9; 20])
            .unwrap_err();
        assert_eq!(problem.code, Code::Protocol);
    }
}
