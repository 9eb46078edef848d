//! What is said no to about datasets that are there.

use common::{code::Code, dataset::DatasetRef, problem::Problem};

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
                } = readers;
                let (jobs, use_it) = match (jobs, more) {
                    (1, false) => ("1 job".to_owned(), "uses"),
                    (jobs, false) => (format!("{jobs} jobs"), "use"),
                    (jobs, true) => (format!("at least {jobs} jobs"), "use"),
                };
                let counted = if more { " of those" } else { "" };
                Problem::new(
                    Code::InUse,
                    format!("cannot delete dataset {dataset}"),
                    format!("{jobs} still {use_it} it; tasks{counted} running: {running}, queued: {queued}"),
                )
                .help(
                    "Wait until they have ended, or cancel them; `compute-share ps` lists those that you may see.",
                )
            }
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
    use super::*;

    #[test]
    fn more_jobs_than_were_counted_are_at_least_so_many() {
        let mut readers = Readers {
            jobs: 10_000,
            queued: 20_000,
            running: 5,
            more: false,
        };
        let why = |readers| {
            let dataset = "digits".parse().unwrap();
            DatasetRejection::InUse { dataset, readers }.problem().why
        };
        let exact = "10000 jobs still use it; tasks running: 5, queued: 20000";
        assert_eq!(why(readers), exact);
        readers.more = true;
        let least = "at least 10000 jobs still use it; tasks of those running: 5, queued: 20000";
        assert_eq!(why(readers), least);
    }
}
