//! `--each`: a file with a line of parameters for each task of an array, checked as a whole and made a folder that is
//! sent along like the work folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
};

use agent_core::params::{InvalidParams, LINES, MAX_LINE_BYTES, OFFSETS, Params, names};
use common::{
    code::Code,
    id::TreeId,
    job::{ArraySpec, JobSpec, MAX_TASKS},
    name::Name,
    problem::Problem,
    units::Bytes,
    wire::client::UploadPurpose,
};
use tempfile::TempDir;

use super::{
    Context,
    amounts::counted,
    output::Output,
    sending::{send, walk},
    session::Session,
};
use crate::transfer::{WalkOptions, Walked};

/// What stands for the standard input.
const STDIN: &str = "-";
/// Most bytes of all lines: every machine that runs a task fetches them.
const MAX_BYTES: Bytes = Bytes::gib(1);
/// Most differing letters between a name in the command and the key that was surely meant.
const MAX_TYPOS: usize = 2;
/// How long keys are that are suggested for another name.
const SUGGESTED_BYTES: RangeInclusive<usize> = 3..=40;
/// What did not work, where the lines cannot be put aside.
const UNMADE: &str = "the parameters cannot be sent";

/// Where the lines are: `params.jsonl`, `-`, or `params.jsonl%10` for at most 10 tasks at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Each {
    source: Source,
    parallel: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Stdin,
    File(PathBuf),
}

/// The text does not say where the lines are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEach {
    #[error("name a file with an object of JSON on each line, or - for the standard input")]
    Nothing,
    #[error("%{0} is no count of tasks at once; at least 1 and at most {max} are possible", max = u32::MAX)]
    Parallel(String),
}

impl Lines {
    /// Sends what of them the coordinator lacks.
    pub(super) async fn send(
        &self,
        context: &Context,
        session: &Session,
        project: Option<Name>,
    ) -> Result<TreeId, Problem> {
        let purpose = UploadPurpose::Workdir { project };
        send(
            context,
            session,
            &self.walked,
            purpose,
            None,
            "sending the parameters",
        )
        .await
    }
}

impl FromStr for Each {
    type Err = InvalidEach;

    fn from_str(text: &str) -> Result<Self, InvalidEach> {
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (path, parallel) = match text.rsplit_once('%').filter(|(_, part)| digits(part)) {
            None => (text, None),
            Some((path, part)) => {
                let count = part.parse().ok().filter(|count| *count > 0);
                let count = count.ok_or_else(|| InvalidEach::Parallel(part.to_owned()))?;
                (path, Some(count))
            }
        };
        let source = match path {
            "" => return Err(InvalidEach::Nothing),
            STDIN => Source::Stdin,
            path => Source::File(path.into()),
        };
        Ok(Self { source, parallel })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("the standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Each {
    /// Returns whether the lines are read from the standard input, which a file cannot ask for.
    pub(crate) fn is_stdin(&self) -> bool {
        self.source == Source::Stdin
    }

    /// Lets a relative path count from this folder.
    pub(crate) fn beside(&mut self, folder: &Path) {
        if let Source::File(path) = &mut self.source {
            *path = folder.join(&path);
        }
    }

    fn problem(&self, why: impl Into<String>) -> Problem {
        let what = format!("{} cannot be used for the tasks", self.source);
        Problem::new(Code::BadParams, what, why)
    }
}

/// Lines that are checked, as a folder that can be sent.
pub(super) struct Lines {
    walked: Walked,
    /// Where they lie until then.
    _folder: TempDir,
}

/// Reads and checks the lines, and makes the job an array of a task for each, or for those that its array names.
///
/// # Errors
/// The file cannot be read, or `bad_params` names the first line that no task can use, or the index that has none.
pub(super) async fn read(
    each: Option<Each>,
    spec: &mut JobSpec,
    output: Output,
) -> Result<Option<Lines>, Problem> {
    let Some(each) = each else {
        return Ok(None);
    };
    check(&each, spec)?;
    let folder = tempfile::tempdir().map_err(|error| unmade(&error))?;
    let copied = match &each.source {
        Source::Stdin => copy(&each, io::stdin().lock(), folder.path(), &spec.command),
        Source::File(path) => {
            let unread = |error: io::Error| each.problem(format!("it cannot be read: {error}"));
            let file = File::open(path).map_err(unread)?;
            copy(&each, file, folder.path(), &spec.command)
        }
    };
    let (count, note) = copied?;
    if let Some(note) = note {
        output.note(&note);
    }
    spec.array = Some(array(&each, spec.array.take(), count)?);
    let options = WalkOptions {
        gitignore: false,
        ..WalkOptions::default()
    };
    let walked = walk(folder.path().to_owned(), options).await?;
    Ok(Some(Lines {
        walked,
        _folder: folder,
    }))
}

/// Sees to it that the job can have a task for each line, before anything is read or sent.
fn check(each: &Each, spec: &JobSpec) -> Result<(), Problem> {
    match spec.gang() {
        None => Ok(()),
        Some(nodes) => Err(each
            .problem(format!("the job is one on {nodes} machines at once"))
            .help("Leave out `nodes`, or what names the file.")),
    }
}

/// Returns the tasks: all lines, or those that were chosen.
fn array(each: &Each, chosen: Option<ArraySpec>, lines: u32) -> Result<ArraySpec, Problem> {
    let Some(chosen) = chosen else {
        return Ok(ArraySpec::of(0, lines - 1, each.parallel));
    };
    if let Some(range) = chosen.ranges().find(|range| range.last >= lines) {
        let task = range.first.max(lines);
        let lines = counted(u64::from(lines), "line");
        let why = format!(
            "it has {lines}, and task {task} would be line {}",
            u64::from(task) + 1
        );
        return Err(each
            .problem(why)
            .help("Leave --array out to have a task for each line."));
    }
    let parallel = chosen.parallel.or(each.parallel);
    Ok(ArraySpec { parallel, ..chosen })
}

/// Checks every line and writes it, and where it begins; returns how many there are, and what may be a slip.
fn copy(
    each: &Each,
    from: impl Read,
    folder: &Path,
    command: &[String],
) -> Result<(u32, Option<String>), Problem> {
    let create = |name| File::create(folder.join(name)).map(BufWriter::new);
    let made = || io::Result::Ok((create(LINES)?, create(OFFSETS)?));
    let (mut lines, mut offsets) = made().map_err(|error| unmade(&error))?;
    let mut from = BufReader::new(from);
    let mut places = Places::of(command);
    let (mut count, mut end) = (0_u32, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line feed more, and a byte by which a longer one is known.
        let most = MAX_LINE_BYTES as u64 + 3;
        let read = from.by_ref().take(most).read_until(b'\n', &mut line);
        let unread = |error: io::Error| each.problem(format!("it cannot be read: {error}"));
        if read.map_err(unread)? == 0 {
            break;
        }
        if count == MAX_TASKS {
            return Err(each.problem(format!(
                "it has more than {MAX_TASKS} lines, the most tasks of an array"
            )));
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let checked = Params::parse(text).and_then(|params| {
            places.see(count, &params);
            params.fill(command)
        });
        checked.map_err(|error| of_line(each, count, &error))?;
        let written = offsets
            .write_all(&end.to_le_bytes())
            .and_then(|()| lines.write_all(text))
            .and_then(|()| lines.write_all(b"\n"));
        written.map_err(|error| unmade(&error))?;
        end += text.len() as u64 + 1;
        if end > MAX_BYTES.0 {
            return Err(each.problem(format!("it has more than {MAX_BYTES}")));
        }
        count += 1;
    }
    if count == 0 {
        let why = "it has no lines, and an array has at least one task";
        return Err(each.problem(why));
    }
    let written = offsets.write_all(&end.to_le_bytes());
    let written = written
        .and_then(|()| offsets.flush())
        .and_then(|()| lines.flush());
    written.map_err(|error| unmade(&error))?;
    places.check(each)?;
    Ok((count, places.note()))
}

fn of_line(each: &Each, index: u32, error: &InvalidParams) -> Problem {
    each.problem(format!("line {} {error}", index + 1))
}

fn unmade(error: &io::Error) -> Problem {
    Problem::new(Code::Io, UNMADE, error.to_string())
}

/// The names in a command for which values may stand.
struct Places<'a> {
    names: BTreeMap<&'a str, Seen>,
    /// Of the first line.
    keys: BTreeSet<String>,
}

/// The first lines that have a key, and have it not.
#[derive(Default)]
struct Seen {
    with: Option<u32>,
    without: Option<u32>,
}

impl<'a> Places<'a> {
    fn of(command: &'a [String]) -> Self {
        let names = command.iter().flat_map(|word| names(word));
        Self {
            names: names.map(|name| (name, Seen::default())).collect(),
            keys: BTreeSet::new(),
        }
    }

    fn see(&mut self, line: u32, params: &Params) {
        if line == 0 {
            self.keys = params.keys().map(str::to_owned).collect();
        }
        for (name, seen) in &mut self.names {
            let first = match params.has(name) {
                true => &mut seen.with,
                false => &mut seen.without,
            };
            first.get_or_insert(line);
        }
    }

    /// Refuses a name that is a key of some lines and not of all.
    fn check(&self, each: &Each) -> Result<(), Problem> {
        let mut names = self.names.iter();
        let found = names.find_map(|(name, seen)| Some((name, seen.with?, seen.without?)));
        let Some((name, with, without)) = found else {
            return Ok(());
        };
        let why = format!(
            "line {} has no {name:?}, which the command names and line {} has",
            without + 1,
            with + 1
        );
        Err(each
            .problem(why)
            .help("Give every line that key, or read $COMPUTE_SHARE_PARAMS in the program."))
    }

    /// Returns what stays as it is and looks like a key.
    fn note(&self) -> Option<String> {
        let strange = self.names.iter().filter(|(_, seen)| seen.with.is_none());
        let mut slips = strange.filter_map(|(name, _)| Some((name, self.meant(name)?)));
        let (name, meant) = slips.next()?;
        Some(format!(
            "No line has {name:?}, so {{{name}}} stays as it is; did you mean {{{meant}}}?"
        ))
    }

    fn meant(&self, name: &str) -> Option<&str> {
        let fits = |text: &str| SUGGESTED_BYTES.contains(&text.len());
        let keys = self.keys.iter().filter(|key| fits(key) && fits(name));
        let near = keys.map(|key| (strsim::damerau_levenshtein(name, key), key.as_str()));
        near.min()
            .filter(|(typos, _)| *typos <= MAX_TYPOS)
            .map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests;
