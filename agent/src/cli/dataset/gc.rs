//! `dataset gc`: what nothing needs any more goes.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        storage::{Scrub, StorageAnswer, StorageReport, StorageRequest},
    },
    problem::Problem,
};

use crate::cli::{
    Context,
    amounts::counted,
    moments::{ago, now},
    output::Facts,
    session::ask,
};

/// Clear up stored data that nothing needs, and show how what is stored is
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset gc --dry-run\n  compute-share dataset gc\n\nThis happens by itself after each deletion, and once a day for uploads that broke off or that\nnobody gave a name. Once a week all that is stored is read and compared with its checksums; the\nnewest result is shown here. For admins."
)]
pub(in crate::cli) struct Gc {
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { dry_run } = self;
        let session = context.session().await?;
        let org = session.org;
        let request = Request::Storage(StorageRequest::Collect { org, dry_run });
        let report =
            ask!(session, request, Answer::Storage(StorageAnswer::Collected(report)) => report)?;
        session.end().await;
        let damaged = |report: &StorageReport| {
            let named = report.scrub.iter().flat_map(|scrub| &scrub.named);
            named.map(ToString::to_string).collect()
        };
        context.output.show(&report, damaged, facts)
    }
}

fn facts(report: &StorageReport) -> String {
    let StorageReport {
        dry_run,
        trees,
        pieces,
        bytes,
        more,
        held,
        kept,
        scrub,
    } = report;
    let least = if *more { "at least " } else { "" };
    let amount = format!(
        "{}, {least}{} ({bytes})",
        counted(*trees, "tree"),
        counted(*pieces, "piece"),
    );
    let waits = match held {
        0 => "nothing".to_owned(),
        held => format!("{}, in use just now", counted(*held, "tree")),
    };
    let stored = format!(
        "{}, {}, {} of it free to be used again",
        counted(kept.trees, "tree"),
        kept.bytes,
        kept.dead
    );
    Facts::default()
        .with(if *dry_run { "would go" } else { "went" }, amount)
        .with("waits", waits)
        .with("stored", stored)
        .with(
            "looked through",
            scrub.as_ref().map_or_else(|| "not yet".to_owned(), looked),
        )
        .to_text()
}

fn looked(scrub: &Scrub) -> String {
    let when = ago(scrub.ended_at, now());
    let amount = format!("{} ({})", counted(scrub.pieces, "piece"), scrub.bytes);
    match scrub.damaged {
        0 => format!("{when}: {amount}, all whole"),
        damaged => format!(
            "{when}: {amount}, {damaged} DAMAGED. Upload the same files again to make them whole; `compute-share-coordinator check` names all."
        ),
    }
}

#[cfg(test)]
mod tests {
    use common::{api::storage::StoredNow, units::Bytes};

    use super::*;

    #[test]
    fn what_would_go_and_what_is_damaged_is_said() {
        let report = StorageReport {
            dry_run: true,
            trees: 1,
            pieces: 20,
            bytes: Bytes::mib(3),
            more: true,
            held: 2,
            kept: StoredNow {
                trees: 4,
                bytes: Bytes::gib(1),
                dead: Bytes::mib(10),
            },
            scrub: None,
        };
        let text = facts(&report);
        assert!(
            text.contains("1 tree, at least 20 pieces (3 MiB)"),
            "{text}"
        );
        assert!(text.contains("2 trees, in use just now"), "{text}");
        assert!(text.contains("not yet"), "{text}");
        let sick = StorageReport {
            dry_run: false,
            scrub: Some(Scrub {
                started_at: now(),
                ended_at: now(),
                pieces: 7,
                bytes: Bytes(700),
                damaged: 1,
                named: Vec::new(),
            }),
            ..report
        };
        let text = facts(&sick);
        assert!(
            text.contains("went") && text.contains("1 DAMAGED"),
            "{text}"
        );
    }
}
