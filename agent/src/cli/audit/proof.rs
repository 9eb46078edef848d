//! `org audit export|verify`: a copy of the log that proves itself, and the proof of the log where it is kept.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use common::{
    api::{
        Answer, Request,
        audit::{AuditAnswer, AuditRequest, ReadChain},
    },
    audit::{self, ChainHead, LogCopy, Tampered},
    code::Code,
    id::Seal,
    problem::Problem,
};
use serde_json::json;

use crate::cli::{
    Context,
    session::{Session, ask},
};

/// Longest line of a copy: an entry is never longer than what a machine may report.
const MAX_LINE_BYTES: u64 = 8 << 20;

/// Copy the whole log to a file: JSON lines, each with its number and seal
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org audit export lab.jsonl")]
pub(super) struct Export {
    file: PathBuf,
}

/// Prove that nothing in the log was changed, removed or added
///
/// With a file, that copy is proved, and no coordinator is asked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share org audit verify\n  compute-share org audit verify lab.jsonl"
)]
pub(super) struct Verify {
    file: Option<PathBuf>,
    /// The newest seal must be this one, which was written down before
    #[arg(long, value_name = "HEX", requires = "file")]
    seal: Option<Seal>,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let io = |error: std::io::Error| unwritten(&self.file, &error);
        // The head is known first, and the copy goes so far, whatever happens meanwhile.
        let head = head(&session).await?;
        let partial = partial(&self.file);
        let mut out = BufWriter::new(File::create(&partial).map_err(io)?);
        writeln!(out, "{}", audit::header(session.org, head)).map_err(io)?;
        follow(&session, head, |number, seal, json| {
            writeln!(out, "{}", audit::line(number, seal, json)).map_err(io)
        })
        .await?;
        let file = out.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&partial, &self.file).map_err(io)?;
        session.end().await;
        let told = format!(
            "{} written to {}.\nNewest seal: {}",
            entries(head),
            self.file.display(),
            head.seal
        );
        context.output.done(
            &json!({"file": self.file, "entries": head.entries, "seal": head.seal}),
            &told,
        )
    }
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let (org, head) = match &self.file {
            Some(file) => {
                let (org, head) = verify_copy(file)?;
                (org.to_string(), head)
            }
            None => {
                let session = context.session().await?;
                let head = head(&session).await?;
                follow(&session, head, |_, _, _| Ok(())).await?;
                let name = session.org_name.to_string();
                session.end().await;
                (name, head)
            }
        };
        if let Some(seal) = self.seal.filter(|seal| *seal != head.seal) {
            let why = format!("its newest seal is {}, and not {seal}", head.seal);
            return Err(tampered("The copy is another one", why));
        }
        context.output.done(
            &json!({"org": org, "entries": head.entries, "seal": head.seal}),
            &format!(
                "The log of {org} is whole: {}.\nNewest seal: {}",
                entries(head),
                head.seal
            ),
        )
    }
}

fn entries(head: ChainHead) -> String {
    match head.entries {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

/// Returns how far the log goes now.
async fn head(session: &Session) -> Result<ChainHead, Problem> {
    let read = ReadChain {
        org: session.org,
        from: u64::MAX,
    };
    let request = Request::Audit(AuditRequest::Chain(read));
    let page = ask!(session, request, Answer::Audit(AuditAnswer::Chain(page)) => page)?;
    Ok(page.head)
}

/// Fetches the log up to `until`, makes every seal anew and hands each entry on.
async fn follow(
    session: &Session,
    until: ChainHead,
    mut each: impl FnMut(u64, Seal, &str) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut done = ChainHead::first(session.org);
    let broken = |number: u64| {
        let why = format!("entry {number} is not what it was when it was sealed");
        tampered("The log was tampered with", why)
    };
    while done.entries < until.entries {
        let request = Request::Audit(AuditRequest::Chain(ReadChain {
            org: session.org,
            from: done.entries,
        }));
        let page = ask!(session, request, Answer::Audit(AuditAnswer::Chain(page)) => page)?;
        if page.entries.is_empty() {
            return Err(broken(done.entries));
        }
        for entry in &page.entries {
            if done.entries == until.entries {
                break;
            }
            let next = done.with(entry.json.as_bytes());
            if next.seal != entry.seal {
                return Err(broken(done.entries));
            }
            each(done.entries, entry.seal, &entry.json)?;
            done = next;
        }
    }
    if done == until {
        Ok(())
    } else {
        Err(broken(until.entries.saturating_sub(1)))
    }
}

fn verify_copy(path: &Path) -> Result<(common::id::OrgId, ChainHead), Problem> {
    let unread = |error: std::io::Error| {
        let what = format!("cannot read {}", path.display());
        Problem::new(Code::Io, what, error.to_string())
    };
    let mut reader = BufReader::new(File::open(path).map_err(unread)?);
    let flawed = |flaw: Tampered| {
        let what = format!("{} was tampered with", path.display());
        tampered(&what, flaw.to_string())
    };
    let first = next_line(&mut reader).map_err(unread)?;
    let mut copy = LogCopy::begin(&first.unwrap_or_default()).map_err(flawed)?;
    while let Some(line) = next_line(&mut reader).map_err(unread)? {
        copy.take(&line).map_err(flawed)?;
    }
    copy.end().map_err(flawed)
}

/// What no line of a copy can be.
const NO_LINE: &str = "\n";

/// Returns the next line of a copy, without its break; [`NO_LINE`] for one that is too long, is no text, or has no break
/// at its end.
fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    let line = match bytes.pop() {
        None => return Ok(None),
        Some(b'\n') => String::from_utf8(bytes).ok(),
        Some(_) => None,
    };
    Ok(Some(line.unwrap_or_else(|| NO_LINE.to_owned())))
}

fn partial(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn unwritten(file: &Path, error: &std::io::Error) -> Problem {
    let what = format!("cannot write {}", file.display());
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => Code::DiskFull,
        _ => Code::Io,
    };
    Problem::new(code, what, error.to_string())
}

fn tampered(what: &str, why: String) -> Problem {
    Problem::new(Code::Tampered, what, why)
}
