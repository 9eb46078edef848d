//! `dataset upload|list|show|download|diff|verify|set|move|delete|restore|warm|gc`: shared, versioned data.

mod change;
mod compare;
mod delete;
mod diff;
mod gc;
mod verify;
mod warm;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::{
    api::{Answer, Request},
    dataset::{DatasetRef, DatasetView},
    name::Name,
    problem::Problem,
    status::Visibility,
    tree::TreePath,
    wire::client::DownloadSource,
};
use link::trees::Manifest;
use serde_json::json;

use super::{
    Context,
    amounts::counted,
    moments::{ago, now},
    output::Facts,
    pages,
    progress::TransferBar,
    sending::{Uploaded, Uploading, describe, part, upload},
    session::{Session, ask},
    table::Table,
};
use crate::transfer::{self, MemberTree, WalkOptions};

/// Share data with the org's jobs
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share dataset upload ./digits --name digits")]
pub(super) enum Dataset {
    Upload(Upload),
    List(List),
    Show(Show),
    Download(Download),
    Set(change::Set),
    Move(change::Move),
    Delete(delete::Delete),
    Restore(delete::Restore),
    Gc(gc::Gc),
    Warm(warm::WarmUp),
    Diff(diff::Diff),
    Verify(verify::Verify),
}

/// Upload a folder as a new version of a dataset
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset upload ./digits --name digits --description 'MNIST, as CSV'\n  compute-share dataset upload ./digits --name digits --exclude '*.tmp' --gitignore\n\nOn a name that is there it makes the next version; none where nothing is different from the newest one."
)]
pub(super) struct Upload {
    folder: PathBuf,
    /// How it will be called
    #[arg(long)]
    name: Name,
    /// What it is
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who besides you may use it (default: the org's own default)
    #[arg(long, value_name = "personal|org_read|org_write")]
    visibility: Option<Visibility>,
    /// Project that it belongs to, and that says who sees it
    #[arg(long, value_name = "NAME", conflicts_with = "visibility")]
    project: Option<Name>,
    /// Leave out what matches, as in .gitignore
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Also leave out what .gitignore files list; .computeshareignore files count in any case
    #[arg(long)]
    gitignore: bool,
}

/// List datasets
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset list\n  compute-share dataset list --deleted"
)]
pub(super) struct List {
    /// Those that were deleted and can be brought back, and until when
    #[arg(long)]
    deleted: bool,
}

/// Show a dataset's versions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share dataset show digits")]
pub(super) struct Show {
    name: Name,
}

/// Download a dataset into a new folder
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset download digits@3 --to ./digits\n  compute-share dataset download digits --path train/2024"
)]
pub(super) struct Download {
    #[arg(value_name = "NAME[@VERSION]")]
    dataset: DatasetRef,
    /// Only this file or folder of it
    #[arg(long, value_name = "PATH", value_parser = part)]
    path: Option<TreePath>,
    /// Folder, empty or not there yet (default: the dataset's name)
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Dataset {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Upload(upload) => upload.run(context).await,
            Self::List(List { deleted: true }) => delete::list(context).await,
            Self::List(List { deleted: false }) => list(context).await,
            Self::Show(show) => show.run(context).await,
            Self::Download(download) => download.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::Move(relocate) => relocate.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
            Self::Restore(restore) => restore.run(context).await,
            Self::Gc(gc) => gc.run(context).await,
            Self::Warm(warm) => warm.run(context).await,
            Self::Diff(diff) => diff.run(context).await,
            Self::Verify(verify) => verify.run(context).await,
        }
    }
}

impl Upload {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        // A dataset is the folder as it stands: what git ignores is just what data folders hold.
        let options = WalkOptions {
            exclude: self.exclude,
            gitignore: self.gitignore,
            ..WalkOptions::default()
        };
        let uploading = Uploading {
            folder: self.folder,
            options,
            name: self.name,
            description: self.description,
            visibility: self.visibility,
            project: self.project,
        };
        let uploaded = upload(context, uploading).await?;
        context.output.show(
            &uploaded,
            |uploaded| vec![uploaded.dataset.id.to_string()],
            uploaded_text,
        )
    }
}

fn uploaded_text(uploaded: &Uploaded) -> String {
    let Some(newest) = uploaded.dataset.versions.last() else {
        return String::new();
    };
    let (files, bytes) = (counted(newest.files, "file"), newest.bytes);
    let what = format!(
        "{}@{}: {files}, {bytes}",
        uploaded.dataset.name, newest.version
    );
    if uploaded.unchanged {
        format!(
            "{what}, unchanged: nothing is different from that version, so there is no new one."
        )
    } else {
        format!("{what}.")
    }
}

async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let org = session.org;
    let datasets = pages::all(async |after| {
        let request = Request::ListDatasets { org, after };
        ask!(session, request, Answer::Datasets(page) => page)
    });
    let datasets = datasets.await?;
    session.end().await;
    context.output.show(
        &datasets,
        |datasets| {
            datasets
                .iter()
                .map(|dataset| dataset.name.to_string())
                .collect()
        },
        |datasets| datasets_table(datasets),
    )
}

fn datasets_table(datasets: &[DatasetView]) -> String {
    let mut table = Table::new(&[
        "DATASET",
        ">NEWEST",
        "SIZE",
        ">FILES",
        "OWNER",
        "SEEN BY",
        "UPLOADED",
        "DESCRIPTION",
    ]);
    for dataset in datasets {
        let newest = dataset.versions.last();
        table.row([
            dataset.name.to_string(),
            newest
                .map(|version| version.version.to_string())
                .unwrap_or_default(),
            newest
                .map(|version| version.bytes.to_string())
                .unwrap_or_default(),
            newest
                .map(|version| version.files.to_string())
                .unwrap_or_default(),
            owner(dataset),
            seen_by(dataset),
            newest
                .map(|version| ago(version.created_at, now()))
                .unwrap_or_default(),
            dataset.description.clone(),
        ]);
    }
    table.to_text("No datasets yet. `compute-share dataset upload DIR --name NAME` adds one.")
}

impl Show {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::ShowDataset {
            org: session.org,
            name: self.name,
        };
        let dataset = ask!(session, request, Answer::Dataset(dataset) => dataset)?;
        session.end().await;
        context.output.show(
            &dataset,
            |dataset| vec![dataset.id.to_string()],
            dataset_text,
        )
    }
}

fn dataset_text(dataset: &DatasetView) -> String {
    let facts = Facts::default()
        .with("dataset", &dataset.name)
        .with("id", dataset.id)
        .with("owner", owner(dataset))
        .with_some("project", dataset.project.as_ref())
        .with_some(
            "visibility",
            Some(dataset.visibility).filter(|_| dataset.project.is_none()),
        )
        .with("description", &dataset.description);
    let mut table = Table::new(&[">VERSION", "SIZE", ">FILES", "BY", "UPLOADED", "TREE"]);
    for version in &dataset.versions {
        table.row([
            version.version.to_string(),
            version.bytes.to_string(),
            version.files.to_string(),
            version.created_by.to_string(),
            ago(version.created_at, now()),
            version.tree.to_string().chars().take(16).collect(),
        ]);
    }
    format!("{}\n{}", facts.to_text(), table.to_text("No versions."))
}

/// Returns who may see it.
fn seen_by(dataset: &DatasetView) -> String {
    dataset.project.as_ref().map_or_else(
        || dataset.visibility.to_string(),
        |project| format!("project {project}"),
    )
}

/// Returns whose it is.
fn owner(dataset: &DatasetView) -> String {
    if dataset.passed_to_org {
        format!("{} (left)", dataset.owner)
    } else {
        dataset.owner.to_string()
    }
}

/// Returns the description of a version.
async fn described(session: &Session, dataset: &DatasetRef) -> Result<Manifest, Problem> {
    let DatasetRef { name, version } = dataset.clone();
    describe(session, DownloadSource::Dataset { name, version }).await
}

impl Download {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let DatasetRef { name, version } = self.dataset;
        let into = self.to.unwrap_or_else(|| PathBuf::from(name.as_str()));
        let session = context.session().await?;
        let bar = TransferBar::new(context.output, "downloading");
        let source = DownloadSource::Dataset {
            name: name.clone(),
            version,
        };
        let from = MemberTree {
            org: session.org,
            source,
        };
        let connection = session.client.connection();
        let tree = transfer::download(connection, &from, &into, self.path.as_ref(), &bar).await;
        bar.finish();
        let tree = tree?;
        session.end().await;
        let (files, bytes) = (tree.file_count(), tree.bytes());
        let value = json!({"tree": tree.id(), "folder": into, "files": files, "bytes": bytes});
        let sentence = format!(
            "{}, {bytes}, in {}.",
            counted(files, "file"),
            into.display()
        );
        context.output.done(&value, &sentence)
    }
}
