//! `dataset verify`: whether a version is what it was: at the coordinator, or in a folder here.

use std::path::PathBuf;

use clap::Args;
use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, VerifyDataset},
    },
    code::Code,
    dataset::DatasetRef,
    problem::Problem,
    tree::TreePath,
    units::Bytes,
};
use link::trees::Progress;
use serde::Serialize;

use super::{
    compare::{Compared, State, compare},
    described,
};
use crate::cli::{
    Context,
    amounts::counted,
    progress::TransferBar,
    session::{Session, ask},
};

/// Most paths that a problem names.
const MAX_SHOWN: usize = 20;

/// Check that a version is what it was: every byte that the coordinator has of it, or a folder
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset verify digits\n  compute-share dataset verify digits@3 --folder ./digits\n\nWithout a folder the coordinator reads and hashes everything that it has of the version. With one, the\nfolder's files are compared with the version; what is in the folder besides is named and is no difference."
)]
pub(in crate::cli) struct Verify {
    #[arg(value_name = "NAME[@VERSION]")]
    dataset: DatasetRef,
    /// Compare this folder with the version
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// What `-o json` shows of a version at the coordinator.
#[derive(Debug, Serialize)]
struct Verified {
    dataset: DatasetRef,
    files: u64,
    /// As they are read: the same content counts once.
    bytes: Bytes,
}

/// What `-o json` shows of a folder.
#[derive(Debug, Serialize)]
struct Agreed {
    dataset: DatasetRef,
    files: u64,
    bytes: Bytes,
    #[serde(flatten)]
    compared: Compared,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        match self.folder {
            None => stored(context, session, self.dataset).await,
            Some(folder) => here(context, session, self.dataset, folder).await,
        }
    }
}

/// Has the coordinator look at all that it has, a part at a time.
async fn stored(
    context: &Context,
    session: Session,
    mut dataset: DatasetRef,
) -> Result<(), Problem> {
    let bar = TransferBar::new(context.output, "verifying");
    let mut damaged: Vec<TreePath> = Vec::new();
    let (mut damaged_files, mut bytes, mut from) = (0, Bytes::ZERO, 0);
    let files = loop {
        let request = Request::Data(DataRequest::Verify(VerifyDataset {
            org: session.org,
            dataset: dataset.clone(),
            from,
        }));
        let part = ask!(session, request, Answer::Data(DataAnswer::Verified(part)) => part)?;
        // What is newest may change meanwhile.
        dataset.version = Some(part.version);
        if from == 0 {
            bar.begin(part.total, part.total);
        }
        bar.advance(part.bytes);
        bytes.0 += part.bytes.0;
        damaged_files += part.damaged_files;
        damaged.extend(part.damaged);
        match part.next {
            Some(next) if next > from => from = next,
            _ => break part.files,
        }
    };
    bar.finish();
    session.end().await;
    if damaged_files > 0 {
        let what = format!("dataset {dataset} is damaged at the coordinator");
        let why = format!(
            "{} cannot be read any more: {}",
            counted(damaged_files, "file"),
            some(
                damaged.iter().map(TreePath::to_string).collect(),
                damaged_files
            )
        );
        return Err(Problem::new(Code::Checksum, what, why).help(
            "Upload the same folder once more: what is damaged is sent anew. Else ask who runs the coordinator for a backup.",
        ));
    }
    let verified = Verified {
        dataset,
        files,
        bytes,
    };
    context.output.show(
        &verified,
        |verified| vec![verified.dataset.to_string()],
        |verified| {
            let (files, bytes) = (counted(verified.files, "file"), verified.bytes);
            format!(
                "{}: {files}, {bytes} read and hashed; all of it is what it was.",
                verified.dataset
            )
        },
    )
}

async fn here(
    context: &Context,
    session: Session,
    dataset: DatasetRef,
    folder: PathBuf,
) -> Result<(), Problem> {
    let manifest = described(&session, &dataset).await?;
    session.end().await;
    let bar = TransferBar::new(context.output, "comparing");
    let (tree, path) = (manifest.tree().clone(), folder.clone());
    let comparing = tokio::task::spawn_blocking(move || {
        let compared = compare(&path, &tree, &bar);
        bar.finish();
        compared
    });
    let what = format!("the folder {} cannot be read", folder.display());
    let compared = match comparing.await {
        Ok(Ok(compared)) => compared,
        Ok(Err(error)) => return Err(Problem::new(Code::BadFolder, what, error.to_string())),
        Err(error) => return Err(Problem::new(Code::Internal, what, error.to_string())),
    };
    let extra = compared.extra_count;
    if extra > 0 {
        let named = some(compared.extra.clone(), extra);
        context
            .output
            .note(&format!("In the folder alone: {named}"));
    }
    if compared.different_count > 0 {
        let what = format!("{} is not dataset {dataset}", folder.display());
        let lines = compared.different.iter().map(|off| {
            let how = match &off.state {
                State::Missing => "is missing",
                State::Content => "has other content",
                State::Kind => "is something else",
                State::Mode => "is a program in one and not in the other",
                State::Target => "leads elsewhere",
                State::Unreadable(why) => why,
            };
            format!("{} {how}", off.path)
        });
        let why = some(lines.collect(), compared.different_count);
        return Err(Problem::new(Code::Checksum, what, why).help(format!(
            "`compute-share dataset download {dataset} --to DIR` fetches it as it is."
        )));
    }
    let agreed = Agreed {
        dataset,
        files: manifest.tree().file_count(),
        bytes: manifest.tree().bytes(),
        compared,
    };
    context.output.show(
        &agreed,
        |agreed| vec![agreed.dataset.to_string()],
        |agreed| {
            let (files, bytes) = (counted(agreed.files, "file"), agreed.bytes);
            format!(
                "{} is {}: {files}, {bytes}.",
                folder.display(),
                agreed.dataset
            )
        },
    )
}

/// Returns the first few of what there is so many of.
fn some(mut named: Vec<String>, count: u64) -> String {
    named.truncate(MAX_SHOWN);
    let more = count.saturating_sub(named.len() as u64);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}
