//! What is said no to about datasets that are there.

use common::{
    code::Code, dataset::DatasetRef, name::Name, problem::Problem, time::Timestamp,
    wire::agent::MAX_WANTED_TREES,
};

use super::Rejection;
use crate::decide::dataset::deletion::Readers;

/// Why a dataset is not changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetRejection {
    /// Jobs that have not ended read it.
    InUse {
        dataset: DatasetRef,
        readers: Readers,
    },
    /// Without it the dataset would be empty.
    LastVersion { dataset: DatasetRef },
    /// It was deleted, and is kept for a while.
    Deleted { name: Name, until: Timestamp },
    /// There is nothing to bring back.
    NotDeleted { dataset: DatasetRef },
    /// A single version is wanted back of a dataset that was deleted as a whole.
    DeletedWhole { dataset: DatasetRef },
    /// A version comes back where it was.
    VersionUnderName,
    /// Something has the name, or had it since, so that its numbers mean other files.
    NameUsed { dataset: Name, name: Name },
    /// Jobs with it may not run on that machine.
    NotThere { machine: Name, why: String },
    /// The machine is to fetch as much already as it may be asked to.
    TooManyWanted { machine: Name },
}

impl DatasetRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::InUse { dataset, readers } => {
                let Readers {
                    jobs,
                    queued,
                    running,
                    more,
                    named,
                } = readers;
                let (count, use_it) = match (jobs, more) {
                    (1, false) => ("1 job".to_owned(), "uses"),
                    (jobs, false) => (format!("{jobs} jobs"), "use"),
                    (jobs, true) => (format!("at least {jobs} jobs"), "use"),
                };
                let counted = if more { " of those" } else { "" };
                let mut shown: Vec<String> = named
                    .iter()
                    .map(|(number, owner)| format!("job {number} of {owner}"))
                    .collect();
                if !shown.is_empty() && jobs > named.len() as u64 {
                    shown.push("others".to_owned());
                }
                let who = match shown.as_slice() {
                    [] => String::new(),
                    shown => format!(" ({})", shown.join(", ")),
                };
                Problem::new(
                    Code::InUse,
                    format!("cannot delete dataset {dataset}"),
                    format!("{count} still {use_it} it{who}; tasks{counted} running: {running}, queued: {queued}"),
                )
                .help(
                    "Wait until they have ended, or cancel them; `compute-share ps` lists those that you may see.",
                )
            }
            Self::Deleted { name, until } => Problem::new(
                Code::NotFound,
                format!("no dataset {name}"),
                format!("it was deleted; it is kept until {}", until.to_second()),
            )
            .help(format!(
                "`compute-share dataset restore {name}` brings it back for who may delete it."
            )),
            Self::NotDeleted { dataset } => Problem::new(
                Code::WrongState,
                format!("cannot restore dataset {dataset}"),
                "it is there, and was not deleted",
            )
            .help("`compute-share dataset list --deleted` lists what can be brought back."),
            Self::DeletedWhole { dataset } => Problem::new(
                Code::WrongState,
                format!("cannot restore version {dataset}"),
                format!("the whole dataset {} was deleted", dataset.name),
            )
            .help(format!(
                "Bring it back with all its versions: `compute-share dataset restore {}`.",
                dataset.name
            )),
            Self::VersionUnderName => Problem::new(
                Code::BadRequest,
                "cannot restore a version under another name",
                "a version comes back into the dataset that it was deleted from",
            )
            .help("Leave the name out."),
            Self::NameUsed { dataset, name } => Problem::new(
                Code::NameTaken,
                format!("cannot restore dataset {dataset} as {name}"),
                format!("another dataset has that name, or had it since: versions of {name} mean its files"),
            )
            .help(format!(
                "Choose a name that no dataset ever had: `compute-share dataset restore {dataset} --as NAME`."
            )),
            Self::NotThere { machine, why } => Problem::new(
                Code::OwnerRules,
                format!("cannot bring data to machine {machine}"),
                format!("your jobs could not run there: it {why}"),
            )
            .help("`compute-share submit --dry-run` with the dataset says where they could."),
            Self::TooManyWanted { machine } => Problem::new(
                Code::Busy,
                format!("cannot bring more data to machine {machine}"),
                format!("it is to fetch {MAX_WANTED_TREES} versions already, as many as a machine is asked to"),
            )
            .help("Wait until they are there."),
            Self::LastVersion { dataset } => Problem::new(
                Code::WrongState,
                format!("cannot delete version {dataset}"),
                "it is the only one that is left",
            )
            .help(format!(
                "Delete the dataset with it: `compute-share dataset delete {}`.",
                dataset.name
            )),
        }
    }
}

impl From<DatasetRejection> for Rejection {
    fn from(rejection: DatasetRejection) -> Self {
        Self::Dataset(rejection)
    }
}

#[cfg(test)]
mod tests {
    use common::job::JobNumber;

    use super::*;

    #[test]
    fn more_jobs_than_were_counted_are_at_least_so_many() {
        let mut readers = Readers {
            jobs: 10_000,
            queued: 20_000,
            running: 5,
            more: false,
            named: Vec::new(),
        };
        let why = |readers: &Readers| {
            let readers = readers.clone();
            let dataset = "digits".parse().unwrap();
            DatasetRejection::InUse { dataset, readers }.problem().why
        };
        let exact = "10000 jobs still use it; tasks running: 5, queued: 20000";
        assert_eq!(why(&readers), exact);
        readers.more = true;
        let least = "at least 10000 jobs still use it; tasks of those running: 5, queued: 20000";
        assert_eq!(why(&readers), least);
        readers.named = vec![(JobNumber(4), "bob".parse().unwrap())];
        readers.more = false;
        let named =
            "10000 jobs still use it (job 4 of bob, others); tasks running: 5, queued: 20000";
        assert_eq!(why(&readers), named);
    }
}
