//! Sends what an attempt left to the coordinator: everything under `output/`, and of `work/` what the job
//! declared. What cannot be kept (links that lead out, FIFOs, sockets) is left out and noted in the daemon's
//! log: the attempt's own log is complete by then.

use std::{path::Path, sync::Arc, time::Duration};

use agent_core::attempt::Step;
use common::{
    code::Code, id::AttemptId, problem::Problem, tree::MAX_ENTRIES, units::Bytes,
    wire::agent::AttemptSpec,
};
use link::{backoff::Backoff, trees::on_disk};

use crate::{
    logs::unwanted,
    machine::Machine,
    transfer::{AttemptFiles, Collected, Source, Walked, any_of, collect, upload},
    uplink::Uplink,
};

/// Waits before an upload is tried again on a connection that lives.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MOST_WAIT: Duration = Duration::from_secs(300);
/// Tries on connections that live; a lost connection does not count, nor what passes once somebody makes room.
const MAX_TRIES: u32 = 20;
/// An attempt may leave more than its disk limit where the machine cannot enforce one; this much is kept.
const SLACK: u64 = 1 << 30;

/// Returns whether an attempt left anything that could be kept. Quick: the answer goes into the report of its
/// end. `folder` is where its files are.
pub(crate) fn any(folder: &Path, outputs: &[String]) -> bool {
    let anything =
        std::fs::read_dir(folder.join("output")).is_ok_and(|mut entries| entries.next().is_some());
    anything || !outputs.is_empty() && any_of(&folder.join("work"), outputs)
}

/// Collects and sends, over as many connections as that takes. Returns what came of it.
pub(crate) async fn send(
    machine: &Arc<Machine>,
    attempt: AttemptId,
    spec: &AttemptSpec,
    uplink: Uplink,
) -> Step {
    let folder = machine.files_of(attempt);
    let (outputs, disk) = (spec.outputs.clone(), spec.allocation.disk);
    let collected = on_disk(move || {
        let (output, work) = (folder.join("output"), folder.join("work"));
        let mut sources = vec![Source {
            folder: &output,
            only: None,
        }];
        if !outputs.is_empty() {
            sources.push(Source {
                folder: &work,
                only: Some(&outputs),
            });
        }
        collect(&sources, MAX_ENTRIES, Bytes(disk.0.saturating_add(SLACK)))
    })
    .await;
    let walked = match collected {
        Ok(Collected { walked, skipped }) => {
            if skipped.count > 0 {
                let named = skipped.named.join("; ");
                tracing::warn!(%attempt, count = skipped.count, named, "not everything can be kept");
            }
            walked
        }
        Err(problem) => {
            tracing::warn!(%attempt, %problem, "the artifacts are lost");
            return Step::Lose;
        }
    };
    deliver(attempt, &walked, uplink).await
}

async fn deliver(attempt: AttemptId, walked: &Walked, mut uplink: Uplink) -> Step {
    let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
    let mut broken = None;
    let mut tries = 0;
    loop {
        let live = uplink.live(broken).await;
        let to = AttemptFiles(attempt);
        let problem = match upload(&live.connection, &to, walked, &()).await {
            Ok(tree) => return Step::Store { tree },
            Err(problem) => problem,
        };
        if live.connection.close_reason().is_some() {
            broken = Some(live.serial);
            continue;
        }
        tries += u32::from(!passes(&problem));
        if tries == MAX_TRIES || unwanted(&problem) || problem.code == Code::FileChanged {
            tracing::warn!(%attempt, %problem, "the artifacts are lost");
            return Step::Lose;
        }
        tracing::info!(%attempt, %problem, "the artifacts have to be sent again");
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Returns whether it is the coordinator's want of room or time: nothing is lost for that.
fn passes(problem: &Problem) -> bool {
    matches!(problem.code, Code::DiskFull | Code::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_whatever_lies_in_output_or_was_declared() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        let declared = ["results".to_owned()];
        assert!(!any(folder, &declared));
        std::fs::create_dir_all(folder.join("output")).unwrap();
        std::fs::create_dir_all(folder.join("work/other")).unwrap();
        assert!(!any(folder, &declared));
        std::os::unix::fs::symlink("nowhere", folder.join("work/results")).unwrap();
        assert!(any(folder, &declared));
        assert!(!any(folder, &[]));
        // Whether something is there outside is nobody's business.
        std::fs::write(temp.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(temp.path(), folder.join("work/way")).unwrap();
        for path in [
            "way/secret",
            "./way/secret",
            "../secret",
            "way/",
            "/etc/passwd",
        ] {
            let seen = any(folder, &[path.to_owned()]);
            assert_eq!(seen, path == "way/", "{path}");
        }
        std::fs::write(folder.join("output/model"), b"x").unwrap();
        assert!(any(folder, &[]));
    }
}
