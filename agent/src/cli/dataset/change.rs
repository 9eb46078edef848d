//! `dataset set` and `dataset move`: what is said of a dataset, and where it belongs.

use std::str::FromStr;

use clap::Args;
use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, MoveDataset, SetDataset},
    },
    dataset::DatasetView,
    name::{InvalidName, Name},
    problem::Problem,
    project::NO_PROJECT,
    status::Visibility,
};
use serde_json::json;

use super::seen_by;
use crate::{
    cli::{
        Context,
        session::{Session, ask},
    },
    client::unexpected,
};

/// Change what a dataset is said to be, or who besides its owner may use it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset set digits --visibility org_read\n  compute-share dataset set digits --description 'MNIST, as CSV'"
)]
pub(in crate::cli) struct Set {
    name: Name,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// What it is
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who besides its owner may use it; what belongs to a project is seen by the project
    #[arg(long, value_name = "personal|org_read|org_write")]
    visibility: Option<Visibility>,
}

/// Make a dataset belong to a project, or to its owner alone again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset move digits --project vision\n  compute-share dataset move digits --project none\n\nOut of a project it is its owner's, and personal."
)]
pub(in crate::cli) struct Move {
    name: Name,
    /// Where it is to belong; none is to its owner
    #[arg(long, value_name = "NAME|none")]
    project: Home,
}

/// A project, or none.
#[derive(Debug, Clone)]
struct Home(Option<Name>);

impl FromStr for Home {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text {
            NO_PROJECT => Ok(Self(None)),
            name => name.parse().map(|name| Self(Some(name))),
        }
    }
}

impl Set {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let name = self.name.clone();
        let request = DataRequest::Set(SetDataset {
            org: session.org,
            name: self.name,
            description: self.change.description,
            visibility: self.change.visibility,
        });
        tell(context, session, &name, request, |dataset| {
            format!(
                "Dataset {} is changed; seen by: {}.",
                dataset.name,
                seen_by(dataset)
            )
        })
        .await
    }
}

impl Move {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let name = self.name.clone();
        let request = DataRequest::Move(MoveDataset {
            org: session.org,
            name: self.name,
            project: self.project.0,
        });
        tell(context, session, &name, request, |dataset| {
            match &dataset.project {
                Some(project) => format!("Dataset {} belongs to project {project}.", dataset.name),
                None => format!(
                    "Dataset {} belongs to no project; it is {}'s, and {}.",
                    dataset.name, dataset.owner, dataset.visibility
                ),
            }
        })
        .await
    }
}

async fn tell(
    context: &Context,
    session: Session,
    name: &Name,
    request: DataRequest,
    said: impl FnOnce(&DatasetView) -> String,
) -> Result<(), Problem> {
    let answer = ask!(session, Request::Data(request), Answer::Data(answer) => answer)?;
    session.end().await;
    match answer {
        DataAnswer::One(dataset) => {
            let ids = |dataset: &DatasetView| vec![dataset.id.to_string()];
            context.output.show(&*dataset, ids, said)
        }
        DataAnswer::Gone => {
            let sentence = format!("It is done, and you do not see dataset {name} any more.");
            context
                .output
                .done(&json!({"name": name, "seen": false}), &sentence)
        }
        answer => Err(unexpected(&Answer::Data(answer))),
    }
}
