//! Asking a running agent, from another process of the same user. Blocking: there is one question, and the
//! command line has nothing else to do meanwhile.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use common::{code::Code, problem::Problem};

use super::{ControlAnswer, ControlRequest, MAX_LINE_BYTES, SOCKET};

/// Longest wait for an answer; ending jobs takes their grace.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks the agent that runs in `folder`.
///
/// # Errors
/// [`Code::AgentNotRunning`] where none does, [`Code::Io`] where it does not answer, and whatever it refuses.
pub fn ask(folder: &Path, request: &ControlRequest) -> Result<ControlAnswer, Problem> {
    let stream = connect(folder).map_err(|error| not_running(folder, &error))?;
    match converse(&stream, request) {
        Ok(ControlAnswer::Refused(problem)) => Err(problem),
        Ok(answer) => Ok(answer),
        Err(error) => Err(Problem::new(
            Code::Io,
            "the agent did not answer",
            error.to_string(),
        )),
    }
}

/// Connects through the folder's descriptor, because a socket's path has at most 108 bytes.
fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    let folder = std::fs::File::open(folder)?;
    let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn converse(mut stream: &UnixStream, request: &ControlRequest) -> std::io::Result<ControlAnswer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&answer)?)
}

fn not_running(folder: &Path, error: &std::io::Error) -> Problem {
    let what = "no agent runs on this machine";
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Problem::new(
            Code::AgentNotRunning,
            what,
            format!("nothing listens in {}", folder.display()),
        ),
        std::io::ErrorKind::PermissionDenied => Problem::new(
            Code::Permission,
            "the agent of this machine cannot be asked",
            format!("{} belongs to another user", folder.display()),
        )
        .help("Ask as the user who runs the agent, or as root."),
        _ => Problem::new(Code::AgentNotRunning, what, error.to_string()),
    }
}
