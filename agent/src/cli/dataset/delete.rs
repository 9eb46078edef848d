//! `dataset delete`: the end of a dataset, or of one version of it.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest},
    },
    dataset::{DatasetDeletion, DatasetRef},
    problem::Problem,
};

use crate::cli::{Context, amounts::counted, output::Facts, session::ask};

/// Delete a dataset with all its versions, or one version of it. Cannot be undone
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset delete digits --dry-run\n  compute-share dataset delete digits\n  compute-share dataset delete digits@3\n\nWhat a job reads that has not ended is not deleted. The number of a deleted version is not used\nagain, as long as the dataset is there; made anew, it begins at version 1. Jobs that have ended go on\nsaying what they read."
)]
pub(in crate::cli) struct Delete {
    /// All of it, or one version
    #[arg(value_name = "NAME[@VERSION]", value_parser = DatasetRef::whole_or_version)]
    dataset: DatasetRef,
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { dataset, dry_run } = self;
        let session = context.session().await?;
        let org = session.org;
        let question = Request::Data(DataRequest::PreviewDeletion {
            org,
            dataset: dataset.clone(),
        });
        let preview =
            ask!(session, question, Answer::Data(DataAnswer::Deletion(preview)) => preview)?;
        if dry_run {
            session.end().await;
            let ids = |preview: &DatasetDeletion| vec![reference(preview).to_string()];
            return context.output.show(&preview, ids, facts);
        }
        let consequence = consequence(&preview)?;
        context.consent.obtain("deleting a dataset", &consequence)?;
        let request = Request::Data(DataRequest::Delete { org, dataset });
        let gone = ask!(session, request, Answer::Data(DataAnswer::Deleted(gone)) => gone)?;
        session.end().await;
        let ids = |gone: &DatasetDeletion| vec![reference(gone).to_string()];
        context.output.show(&gone, ids, |gone| {
            let (bytes, reference) = (gone.bytes, reference(gone));
            match gone.version {
                Some(_) => format!("Version {reference} is deleted: {bytes}."),
                None => {
                    let versions = counted(gone.versions.into(), "version");
                    format!("Dataset {reference} is deleted: {versions}, {bytes}.")
                }
            }
        })
    }
}

fn reference(deletion: &DatasetDeletion) -> DatasetRef {
    DatasetRef {
        name: deletion.name.clone(),
        version: deletion.version,
    }
}

/// Returns what a yes would do.
///
/// # Errors
/// Nothing: then nobody is asked, and nothing is deleted, whatever ends meanwhile.
fn consequence(preview: &DatasetDeletion) -> Result<String, Problem> {
    match &preview.refusal {
        Some(refusal) => Err(refusal.clone()),
        None => Ok(format!("{} for good.{}", going(preview), anew(preview))),
    }
}

/// Returns what becomes of the numbers, which are not used again as long as the dataset is there.
fn anew(preview: &DatasetDeletion) -> String {
    if preview.version.is_some() {
        return String::new();
    }
    let name = &preview.name;
    format!(" Made anew, it begins at version 1: `{name}@1` in a job file means other files then.")
}

fn going(preview: &DatasetDeletion) -> String {
    let (bytes, reference) = (preview.bytes, reference(preview));
    match (preview.version, preview.versions) {
        (Some(_), _) => format!("Version {reference} ({bytes}) goes"),
        (None, 1) => format!("Dataset {reference} ({bytes}) goes"),
        (None, versions) => format!("Dataset {reference} goes, {versions} versions with {bytes},"),
    }
}

fn facts(preview: &DatasetDeletion) -> String {
    let DatasetDeletion {
        jobs,
        queued_tasks,
        running_tasks,
        more,
        ..
    } = preview;
    let least = if *more { "at least " } else { "" };
    let tasks = format!("{least}{jobs} ({running_tasks} tasks running, {queued_tasks} queued)");
    let in_the_way = match jobs {
        0 => "none".to_owned(),
        _ => format!("{tasks}: nothing is deleted before they have ended"),
    };
    Facts::default()
        .with("dataset", reference(preview))
        .with("versions", preview.versions)
        .with("bytes", preview.bytes)
        .with("jobs that use it", in_the_way)
        .to_text()
}

#[cfg(test)]
mod tests {
    use common::{code::Code, units::Bytes};

    use super::*;

    fn preview() -> DatasetDeletion {
        DatasetDeletion {
            name: "digits".parse().unwrap(),
            version: None,
            versions: 2,
            bytes: Bytes::mib(3),
            jobs: 0,
            queued_tasks: 0,
            running_tasks: 0,
            more: false,
            refusal: None,
        }
    }

    #[test]
    fn a_deletion_is_refused_or_asked_for_and_never_neither() {
        let asked = consequence(&preview()).unwrap();
        assert!(
            asked.starts_with("Dataset digits goes, 2 versions"),
            "{asked}"
        );
        assert!(asked.contains("begins at version 1"), "{asked}");
        let one = DatasetDeletion {
            version: Some(1),
            ..preview()
        };
        let asked = consequence(&one).unwrap();
        assert_eq!(asked, "Version digits@1 (3 MiB) goes for good.");
        let refusal = Problem::new(Code::InUse, "cannot delete digits", "1 job still uses it");
        let used = DatasetDeletion {
            jobs: 1,
            refusal: Some(refusal.clone()),
            ..preview()
        };
        assert_eq!(consequence(&used), Err(refusal));
    }

    #[test]
    fn what_was_not_counted_is_said() {
        let used = DatasetDeletion {
            jobs: 10_000,
            more: true,
            ..preview()
        };
        assert!(facts(&used).contains("at least 10000"), "{}", facts(&used));
    }
}
