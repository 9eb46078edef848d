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
                } = readers;
                let (jobs, use_it) = match jobs {
                    1 => ("1 job".to_owned(), "uses"),
                    jobs => (format!("{jobs} jobs"), "use"),
                };
                Problem::new(
                    Code::InUse,
                    format!("cannot delete dataset {dataset}"),
                    format!("{jobs} still {use_it} it; tasks running: {running}, queued: {queued}"),
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
