//! Folders on their way to the coordinator: what `dataset upload`, `image import`, `submit` and `run` do alike.

use std::path::PathBuf;

use common::{
    api::{
        Answer, Request,
        data::{AddDatasetVersion, DataAnswer},
    },
    code::Code,
    dataset::DatasetView,
    id::TreeId,
    name::Name,
    problem::Problem,
    status::Visibility,
    tree::{InvalidPath, TreePath},
    wire::client::{DownloadSource, UploadPurpose},
};
use link::trees::Manifest;
use serde::Serialize;

use super::{Context, progress::TransferBar, session::Session};
use crate::{
    client::unexpected,
    transfer::{self, LeftOut, MemberTree, Memory, OrgFiles, WalkOptions, Walked},
};

/// A folder that becomes a new version of a dataset.
#[derive(Debug)]
pub(super) struct Uploading {
    pub(super) folder: PathBuf,
    pub(super) options: WalkOptions,
    pub(super) name: Name,
    pub(super) description: Option<String>,
    pub(super) visibility: Option<Visibility>,
    pub(super) project: Option<Name>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Uploaded {
    #[serde(flatten)]
    pub(super) dataset: DatasetView,
    /// The newest version has just this already.
    pub(super) unchanged: bool,
    /// How many files and folders did not travel because a rule says so.
    pub(super) left_out: u64,
}

/// Sends what of a folder the coordinator lacks, and makes a version of it.
pub(super) async fn upload(context: &Context, what: Uploading) -> Result<Uploaded, Problem> {
    let folder = what.folder.clone();
    let walked = walk(what.folder, what.options).await?;
    let left_out = left_out(&walked).await;
    if let Some(named) = named(&left_out) {
        context.output.note(&named);
    }
    let session = context.session().await?;
    let memory = Memory::of(&context.folders.cache, session.org, &what.name, &folder).ok();
    let uploaded = with_files(async || {
        let purpose = UploadPurpose::Dataset {
            name: what.name.clone(),
            project: what.project.clone(),
        };
        let tree = send(
            context,
            &session,
            &walked,
            purpose,
            memory.as_ref(),
            "uploading",
        )
        .await?;
        let request = Request::AddDatasetVersion(AddDatasetVersion {
            org: session.org,
            name: what.name.clone(),
            tree,
            description: what.description.clone(),
            visibility: what.visibility,
            project: what.project.clone(),
        });
        match session.client.ask(&request).await? {
            Answer::Dataset(dataset) => Ok(Uploaded {
                dataset,
                unchanged: false,
                left_out: left_out.count,
            }),
            Answer::Data(DataAnswer::Unchanged(dataset)) => Ok(Uploaded {
                dataset: *dataset,
                unchanged: true,
                left_out: left_out.count,
            }),
            answer => Err(unexpected(&answer)),
        }
    })
    .await?;
    session.end().await;
    Ok(uploaded)
}

/// Looks once more at the folder, on a thread of its own.
async fn left_out(walked: &Walked) -> LeftOut {
    let walked = walked.clone();
    let looking = tokio::task::spawn_blocking(move || walked.left_out());
    // It is said for information only.
    looking.await.unwrap_or_default()
}

/// Returns what was left out in a line; nothing where nothing was.
fn named(left_out: &LeftOut) -> Option<String> {
    let LeftOut { named, count } = left_out;
    let more = count.saturating_sub(named.len() as u64);
    let named = named.join(", ");
    match (count, more) {
        (0, _) => None,
        (_, 0) => Some(format!("Left out: {named}")),
        (_, more) => Some(format!("Left out: {named} and {more} more")),
    }
}

/// Walks a folder on a thread of its own: a connection that is open meanwhile stays alive.
pub(super) async fn walk(folder: PathBuf, options: WalkOptions) -> Result<Walked, Problem> {
    let walking = tokio::task::spawn_blocking(move || transfer::walk(&folder, &options));
    walking.await.unwrap_or_else(|error| {
        Err(Problem::new(
            Code::Internal,
            "the folder cannot be read",
            error.to_string(),
        ))
    })
}

/// Sends what of a folder the coordinator lacks; `doing` stands before the bar, `memory` is of that folder.
pub(super) async fn send(
    context: &Context,
    session: &Session,
    walked: &Walked,
    purpose: UploadPurpose,
    memory: Option<&Memory>,
    doing: &str,
) -> Result<TreeId, Problem> {
    let bar = TransferBar::new(context.output, doing);
    let to = OrgFiles {
        org: session.org,
        purpose,
    };
    let connection = session.client.connection();
    let sent = match memory {
        Some(memory) => transfer::upload_again(connection, &to, walked, memory, &bar).await,
        None => transfer::upload(connection, &to, walked, &bar).await,
    };
    bar.finish();
    sent
}

/// Reads a path inside a tree as people write it: `train/2024/`.
pub(super) fn part(text: &str) -> Result<TreePath, InvalidPath> {
    text.trim_end_matches('/').trim_start_matches("./").parse()
}

/// Returns the description of a tree: its paths, sizes and pieces, and no bytes.
pub(super) async fn describe(
    session: &Session,
    source: DownloadSource,
) -> Result<Manifest, Problem> {
    let org = session.org;
    let from = MemberTree { org, source };
    transfer::describe(session.client.connection(), &from).await
}

/// Sends files and names them in a request; once more where the coordinator has forgotten by then who sent them, as it
/// does when it starts anew. What it has of them does not travel again.
pub(super) async fn with_files<T>(
    send_and_ask: impl AsyncFn() -> Result<T, Problem>,
) -> Result<T, Problem> {
    match send_and_ask().await {
        Err(problem) if problem.code == Code::NotUploaded => send_and_ask().await,
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn files_that_are_asked_for_again_are_sent_once_more() {
        let forgotten = || Problem::new(Code::NotUploaded, "the files are not here", "");
        let tries = Cell::new(0);
        let count = || tries.replace(tries.get() + 1);
        let then = with_files(async || match count() {
            0 => Err(forgotten()),
            _ => Ok(()),
        });
        assert_eq!((then.await, tries.take()), (Ok(()), 2));
        let never = with_files(async || {
            count();
            Err::<(), _>(forgotten())
        });
        assert_eq!((never.await, tries.take()), (Err(forgotten()), 2));
        let other = Problem::new(Code::Limit, "no", "");
        let refused = with_files(async || {
            count();
            Err::<(), _>(other.clone())
        });
        assert_eq!((refused.await, tries.take()), (Err(other.clone()), 1));
    }
}
