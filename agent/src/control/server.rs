//! The agent's end of the owner's socket. Decides nothing: every request is passed on and its answer passed
//! back.

use std::{
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{ControlAnswer, ControlRequest, MAX_LINE_BYTES, SOCKET};

/// Conversations at once; more wait.
const MAX_CONVERSATIONS: usize = 8;
/// Longest wait for a question to be written.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest question.
const MAX_REQUEST_BYTES: u64 = 4 << 10;

/// A question and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: ControlRequest,
    pub(crate) reply: oneshot::Sender<ControlAnswer>,
}

/// Listens in `folder` until `stopping`, passing questions on. The caller holds the folder's lock, so a
/// socket that is there is a dead agent's.
pub(crate) fn serve(
    folder: &Path,
    asked: mpsc::Sender<Asked>,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    let listener = listen(folder)?;
    let path = folder.join(SOCKET);
    tokio::spawn(async move {
        let conversations = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the owner's socket failed");
                    break;
                }
            };
            let Ok(permit) = Arc::clone(&conversations).acquire_owned().await else {
                break;
            };
            let asked = asked.clone();
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &asked).await {
                    tracing::debug!(%error, "a conversation on the owner's socket broke off");
                }
                drop(permit);
            });
        }
        // Best effort: the next agent removes what is left.
        drop(std::fs::remove_file(path));
    });
    Ok(())
}

/// Binds through the folder's descriptor, because a socket's path has at most 108 bytes.
fn listen(folder: &Path) -> std::io::Result<UnixListener> {
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let opened = std::fs::File::open(folder)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(mut stream: UnixStream, asked: &mpsc::Sender<Asked>) -> std::io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut write) = stream.split();
    let mut line = Vec::new();
    let mut bounded = BufReader::new(read.take(MAX_REQUEST_BYTES));
    tokio::time::timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
    let request = serde_json::from_slice(&line)?;
    let (reply, answer) = oneshot::channel();
    let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    asked
        .send(Asked { request, reply })
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
    let answer = answer.await.map_err(gone)?;
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    debug_assert!(line.len() as u64 <= MAX_LINE_BYTES);
    write.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ask;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn questions_reach_the_agent_and_answers_the_owner_however_deep_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("d".repeat(120));
        std::fs::create_dir(&folder).unwrap();
        let (sender, mut receiver) = mpsc::channel::<Asked>(1);
        let stopping = CancellationToken::new();
        serve(&folder, sender, stopping.clone()).unwrap();
        let mode = std::fs::metadata(folder.join(SOCKET))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let asking = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || ask(&folder, &ControlRequest::Resume))
        };
        let asked = receiver.recv().await.unwrap();
        assert_eq!(asked.request, ControlRequest::Resume);
        asked.reply.send(ControlAnswer::Paused(None)).unwrap();
        assert_eq!(asking.await.unwrap(), Ok(ControlAnswer::Paused(None)));

        stopping.cancel();
        // Ends once the listening task has dropped its sender.
        assert!(receiver.recv().await.is_none());
    }

    #[test]
    fn without_an_agent_the_owner_is_told_so() {
        let temp = tempfile::tempdir().unwrap();
        let problem = ask(temp.path(), &ControlRequest::Status).unwrap_err();
        assert_eq!(problem.code, common::code::Code::AgentNotRunning);
    }
}
