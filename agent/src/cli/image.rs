//! `image import`, `image list`, and what `run` and `submit` do about an image before the job is sent.

mod pin;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::{code::Code, dataset::DatasetView, name::Name, problem::Problem, status::Visibility};
use serde::Serialize;

pub(super) use pin::{pin, seal};

use super::{
    Context,
    daemon::unexpected,
    moments::{ago, now},
    sending::{Uploading, upload},
    table::Table,
};
use crate::{
    control::{CachedImage, ControlAnswer, ControlRequest, ask},
    images,
    transfer::WalkOptions,
};

/// As much of a digest as tells images apart: `-o json` has all of it.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// Bring container images to the org's jobs
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share image import train.tar --name train")]
pub(super) enum Image {
    Import(Import),
    List(List),
}

/// Show the images that lie in this machine's cache, and how many jobs run here in each
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share image list")]
pub(super) struct List {}

/// Upload an image from a file, as a dataset that jobs can have as their root
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  docker save lab/train:v1 > train.tar\n  compute-share image import train.tar --name train\n  compute-share run --image imported:train -- python3 train.py"
)]
pub(super) struct Import {
    /// From `docker save`, or a tar file of an OCI image layout; may be packed with gzip or zstd
    file: PathBuf,
    /// How it will be called
    #[arg(long)]
    name: Name,
    /// What it is (default: what the file says)
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who besides you may use it (default: the org's own default)
    #[arg(long, value_name = "personal|org_read|org_write")]
    visibility: Option<Visibility>,
    /// Project that it belongs to, and that says who sees it
    #[arg(long, value_name = "NAME", conflicts_with = "visibility")]
    project: Option<Name>,
}

/// What `-o json` shows: the dataset that the image is kept as, and what to call it in a job.
#[derive(Debug, Serialize)]
struct Imported {
    image: String,
    platforms: Vec<String>,
    dataset: DatasetView,
}

impl Image {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Import(import) => import.run(context).await,
            Self::List(_) => list(context),
        }
    }
}

fn list(context: &Context) -> Result<(), Problem> {
    let images = match ask(&context.folders.agent, &ControlRequest::Images)? {
        ControlAnswer::Images(images) => images,
        other => return Err(unexpected(&other)),
    };
    context.output.show(
        &images,
        |images| images.iter().map(|image| image.digest.clone()).collect(),
        |images| images_text(images),
    )
}

fn images_text(images: &[CachedImage]) -> String {
    let mut table = Table::new(&["IMAGE", "DIGEST", ">SIZE", "LAST USED", ">RUNNING"]);
    for image in images {
        table.row([
            image.reference.clone(),
            image.digest.chars().take(DIGEST_SHOWN).collect(),
            image.size.to_string(),
            ago(image.last_used_at, now()),
            image.running.to_string(),
        ]);
    }
    table.to_text("No image lies in this machine's cache.")
}

impl Import {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let no_place = |error: std::io::Error| {
            Problem::new(
                Code::Io,
                "the image cannot be taken apart",
                error.to_string(),
            )
            .help("Set TMPDIR to a folder with as much room as the image is large.")
        };
        let folder = tempfile::tempdir().map_err(no_place)?;
        let layout = folder.path().join("layout");
        let (file, into) = (self.file, layout.clone());
        let opening = tokio::task::spawn_blocking(move || images::open_archive(&file, &into));
        let summary = opening.await.unwrap_or_else(|error| {
            let what = "the image cannot be taken apart";
            Err(Problem::new(Code::Internal, what, error.to_string()))
        })?;
        let platforms = summary.platforms.join(", ");
        let called = summary
            .name
            .map(|name| format!(" {name}"))
            .unwrap_or_default();
        let uploading = Uploading {
            folder: layout,
            options: WalkOptions {
                gitignore: false,
                ..WalkOptions::default()
            },
            name: self.name,
            description: self
                .description
                .or(Some(format!("image{called} for {platforms}"))),
            visibility: self.visibility,
            project: self.project,
        };
        let dataset = upload(context, uploading).await?.dataset;
        let newest = dataset.versions.last();
        let imported = Imported {
            image: match newest {
                Some(newest) => format!("imported:{}@{}", dataset.name, newest.version),
                None => format!("imported:{}", dataset.name),
            },
            platforms: summary.platforms,
            dataset,
        };
        context.output.show(
            &imported,
            |imported| vec![imported.image.clone()],
            |imported| {
                let (name, size) = (&imported.dataset.name, summary.bytes);
                format!(
                    "{}: {size}, {platforms}.\nUse it: compute-share run --image imported:{name} -- COMMAND",
                    imported.image
                )
            },
        )
    }
}
