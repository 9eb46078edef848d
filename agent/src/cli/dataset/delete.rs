//! `dataset delete` and `dataset restore`: the end of a dataset, or of one version of it, and the way back.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, DeleteDataset, RestoreDataset},
    },
    dataset::{DatasetDeletion, DatasetRef, DatasetView, DeletedView},
    name::Name,
    problem::Problem,
};

use crate::cli::{
    Context,
    amounts::counted,
    moments::{ago, local, now},
    output::Facts,
    pages,
    session::ask,
    table::Table,
};

/// Delete a dataset with all its versions, or one version of it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset delete digits --dry-run\n  compute-share dataset delete digits\n  compute-share dataset delete digits@3 --now\n\nWhat a job reads that has not ended is not deleted. What is deleted can be brought back with `dataset\nrestore` for as long as the org keeps it (`org settings`: deleted_data_kept), and counts in the org's\nstorage until then; --now takes it away for good at once, also what was deleted before. No number of a\ndeleted version is used again, also not by another dataset of the name."
)]
pub(in crate::cli) struct Delete {
    /// All of it, or one version
    #[arg(value_name = "NAME[@VERSION]", value_parser = DatasetRef::whole_or_version)]
    dataset: DatasetRef,
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
    /// For good at once
    #[arg(long)]
    now: bool,
}

/// Bring back a deleted dataset, or one version of it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset list --deleted\n  compute-share dataset restore digits\n  compute-share dataset restore digits@3\n  compute-share dataset restore digits --as digits-before"
)]
pub(in crate::cli) struct Restore {
    /// All of it, or one version; of several that had the name the one that was deleted last
    #[arg(value_name = "NAME[@VERSION]", value_parser = DatasetRef::whole_or_version)]
    dataset: DatasetRef,
    /// How it is called from now on, where another dataset has the name
    #[arg(long = "as", value_name = "NAME")]
    under: Option<Name>,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self {
            dataset,
            dry_run,
            now,
        } = self;
        let session = context.session().await?;
        let org = session.org;
        let request = DeleteDataset { org, dataset, now };
        let question = Request::Data(DataRequest::PreviewDeletion(request.clone()));
        let preview =
            ask!(session, question, Answer::Data(DataAnswer::Deletion(preview)) => preview)?;
        if dry_run {
            session.end().await;
            let ids = |preview: &DatasetDeletion| vec![reference(preview).to_string()];
            return context.output.show(&preview, ids, facts);
        }
        let consequence = consequence(&preview)?;
        context.consent.obtain("deleting a dataset", &consequence)?;
        let request = Request::Data(DataRequest::Delete(request));
        let gone = ask!(session, request, Answer::Data(DataAnswer::Deleted(gone)) => gone)?;
        session.end().await;
        let ids = |gone: &DatasetDeletion| vec![reference(gone).to_string()];
        context.output.show(&gone, ids, |gone| {
            let (bytes, reference) = (gone.bytes, reference(gone));
            let what = match gone.version {
                Some(_) => format!("Version {reference} is deleted: {bytes}."),
                None => {
                    let versions = counted(gone.versions.into(), "version");
                    format!("Dataset {reference} is deleted: {versions}, {bytes}.")
                }
            };
            match gone.kept_until {
                None => format!("{what} It is gone for good."),
                Some(until) => format!(
                    "{what} Until {} `compute-share dataset restore {reference}` brings it back.",
                    local(until)
                ),
            }
        })
    }
}

impl Restore {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let wanted = self.dataset.clone();
        let request = Request::Data(DataRequest::Restore(RestoreDataset {
            org: session.org,
            dataset: self.dataset,
            under: self.under,
        }));
        let dataset = ask!(session, request, Answer::Data(DataAnswer::One(dataset)) => dataset)?;
        session.end().await;
        let ids = |dataset: &DatasetView| vec![dataset.id.to_string()];
        context.output.show(&*dataset, ids, |dataset| {
            let name = &dataset.name;
            match wanted.version {
                Some(_) => format!("Version {wanted} is back."),
                None => {
                    let versions = counted(dataset.versions.len() as u64, "version");
                    format!("Dataset {name} is back: {versions}.")
                }
            }
        })
    }
}

/// Lists what can be brought back.
pub(super) async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let org = session.org;
    let deleted = pages::all(async |after| {
        let request = Request::Data(DataRequest::ListDeleted { org, after });
        ask!(session, request, Answer::Data(DataAnswer::ListDeleted(page)) => page)
    });
    let deleted: Vec<DeletedView> = deleted.await?;
    session.end().await;
    let ids = |deleted: &Vec<DeletedView>| deleted.iter().map(named).collect();
    context.output.show(&deleted, ids, |deleted| {
        let heads = [
            "DELETED",
            ">VERSIONS",
            "SIZE",
            "BY",
            "WHEN",
            "GONE FOR GOOD",
        ];
        let mut table = Table::new(&heads);
        for one in deleted {
            table.row([
                named(one),
                one.versions.to_string(),
                one.bytes.to_string(),
                one.deleted_by.to_string(),
                ago(one.deleted_at, now()),
                local(one.kept_until),
            ]);
        }
        table.to_text("Nothing was deleted that can be brought back.")
    })
}

fn named(deleted: &DeletedView) -> String {
    let DeletedView { name, version, .. } = deleted;
    DatasetRef {
        name: name.clone(),
        version: *version,
    }
    .to_string()
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
    match (&preview.refusal, preview.kept_until) {
        (Some(refusal), _) => Err(refusal.clone()),
        (None, None) => Ok(format!("{} for good.", going(preview))),
        (None, Some(until)) => Ok(format!(
            "{} and can be brought back until {}.",
            going(preview),
            local(until)
        )),
    }
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
    let back = preview
        .kept_until
        .map(|until| format!("until {}", local(until)));
    Facts::default()
        .with("dataset", reference(preview))
        .with("versions", preview.versions)
        .with("bytes", preview.bytes)
        .with("can be restored", back.unwrap_or("no".to_owned()))
        .with("jobs that use it", in_the_way)
        .to_text()
}

#[cfg(test)]
mod tests {
    use common::{code::Code, time::Timestamp, units::Bytes};

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
            kept_until: None,
            refusal: None,
        }
    }

    #[test]
    fn a_deletion_is_refused_or_asked_for_and_never_neither() {
        let asked = consequence(&preview()).unwrap();
        assert_eq!(
            asked,
            "Dataset digits goes, 2 versions with 3 MiB, for good."
        );
        let one = DatasetDeletion {
            version: Some(1),
            kept_until: Some(Timestamp::from_unix_ms(1_700_000_000_000)),
            ..preview()
        };
        let asked = consequence(&one).unwrap();
        let way_back = "Version digits@1 (3 MiB) goes and can be brought back until 2023-11-1";
        assert!(asked.starts_with(way_back), "{asked}");
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
