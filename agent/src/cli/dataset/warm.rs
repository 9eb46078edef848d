//! `dataset warm`: data comes to a machine before a job wants it.

use std::time::Duration;

use clap::Args;
use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, WarmDataset, WarmState, WarmView},
    },
    dataset::DatasetRef,
    name::Name,
    problem::Problem,
};

use crate::cli::{Context, moments::local, session::ask};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// Bring a dataset to a machine before a job wants it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset warm digits --machine box\n  compute-share dataset warm digits@3 --machine box --wait\n\nIt stays there as long as the machine's cache has room."
)]
pub(in crate::cli) struct WarmUp {
    #[arg(value_name = "NAME[@VERSION]")]
    dataset: DatasetRef,
    /// Where it is to be
    #[arg(long, value_name = "NAME")]
    machine: Name,
    /// Come back once it is there
    #[arg(long)]
    wait: bool,
}

impl WarmUp {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let mut wanted = WarmDataset {
            org: session.org,
            dataset: self.dataset,
            machine: self.machine,
        };
        let shown = async |request| -> Result<WarmView, Problem> {
            ask!(session, Request::Data(request), Answer::Data(DataAnswer::Warm(view)) => view)
        };
        let mut view = shown(DataRequest::Warm(wanted.clone())).await?;
        // Whatever becomes the newest meanwhile.
        wanted.dataset = view.dataset.clone();
        if self.wait && matches!(view.state, WarmState::Coming { .. }) {
            context.output.note(&text(&view));
            while let WarmState::Coming { .. } = view.state {
                tokio::time::sleep(LOOK).await;
                view = shown(DataRequest::ShowWarm(wanted.clone())).await?;
            }
        }
        if let WarmState::Failed { code, why } = view.state {
            let what = format!("{} could not come to {}", view.dataset, view.machine);
            return Err(Problem::new(code, what, why));
        }
        context
            .output
            .show(&view, |view| vec![view.dataset.to_string()], text)
    }
}

fn text(view: &WarmView) -> String {
    let WarmView {
        dataset,
        machine,
        bytes,
        fetch_time,
        ..
    } = view;
    match &view.state {
        WarmState::There => format!("{dataset} is on {machine}: {bytes} already there."),
        WarmState::Coming { until } => format!(
            "{dataset} comes to {machine}: {bytes} to fetch (about {fetch_time}); {machine} tries until {}.",
            local(*until)
        ),
        WarmState::Failed { why, .. } => format!("{dataset} could not come to {machine}: {why}"),
        WarmState::NotWanted => {
            format!("{dataset} is not on {machine}, and nobody asks for it any more.")
        }
    }
}
