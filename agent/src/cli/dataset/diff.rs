//! `dataset diff`: what is different between two versions.

use clap::Args;
use common::{
    dataset::DatasetRef,
    problem::Problem,
    tree::diff::{Change, Difference, Differing, diff},
    units::Bytes,
};
use serde::Serialize;

use super::described;
use crate::cli::{Context, amounts::counted, table::Table};

/// Most paths that a table shows; -o json has all of them.
const MAX_SHOWN: usize = 1000;

/// Show which files are different between two versions, and how much they share
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share dataset diff digits@1 digits@2\n  compute-share dataset diff digits@1 digits --summary"
)]
pub(in crate::cli) struct Diff {
    #[arg(value_name = "NAME[@VERSION]")]
    before: DatasetRef,
    #[arg(value_name = "NAME[@VERSION]")]
    after: DatasetRef,
    /// Only how many there are
    #[arg(long)]
    summary: bool,
}

/// What `-o json` shows.
#[derive(Debug, Serialize)]
struct Shown {
    added: Sum,
    removed: Sum,
    changed: Sum,
    #[serde(flatten)]
    difference: Difference,
}

/// Of one kind of change.
#[derive(Debug, Default, Serialize)]
struct Sum {
    files: u64,
    /// As they are after it; of what was removed, as they were.
    bytes: Bytes,
}

impl Diff {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let before = described(&session, &self.before).await?;
        let after = described(&session, &self.after).await?;
        session.end().await;
        let mut difference = diff(before.tree(), after.tree());
        let sum = |change| Sum::of(&difference.paths, change);
        let (added, removed, changed) = (
            sum(Change::Added),
            sum(Change::Removed),
            sum(Change::Changed),
        );
        if self.summary {
            difference.paths.clear();
        }
        let shown = Shown {
            added,
            removed,
            changed,
            difference,
        };
        let ids = |shown: &Shown| {
            let paths = shown.difference.paths.iter();
            paths.map(|one| one.path.to_string()).collect()
        };
        context.output.show(&shown, ids, text)
    }
}

impl Sum {
    fn of(paths: &[Differing], change: Change) -> Self {
        let mut sum = Self::default();
        for one in paths.iter().filter(|one| one.change == change) {
            sum.files += 1;
            sum.bytes.0 += one.after.or(one.before).unwrap_or_default().0;
        }
        sum
    }
}

fn text(shown: &Shown) -> String {
    let Difference {
        paths,
        folders,
        shared,
        total,
    } = &shown.difference;
    let mut text = String::new();
    if !paths.is_empty() {
        let size = |size: Option<Bytes>| size.map(|size| size.to_string()).unwrap_or_default();
        let mut table = Table::new(&["CHANGE", "PATH", ">BEFORE", ">AFTER"]);
        for one in paths.iter().take(MAX_SHOWN) {
            table.row([
                one.change.to_string(),
                one.path.to_string(),
                size(one.before),
                size(one.after),
            ]);
        }
        text = table.to_text("");
        if paths.len() > MAX_SHOWN {
            text += &format!("and {} more; -o json shows all\n", paths.len() - MAX_SHOWN);
        }
    }
    let said = |sum: &Sum, word: &str| match sum.files {
        0 => None,
        files => Some(format!("{} {word} ({})", counted(files, "file"), sum.bytes)),
    };
    let mut sums = vec![
        said(&shown.added, "added"),
        said(&shown.removed, "removed"),
        said(&shown.changed, "changed"),
    ];
    sums.push((*folders > 0).then(|| format!("{} added or removed", counted(*folders, "folder"))));
    let sums: Vec<String> = sums.into_iter().flatten().collect();
    match sums.as_slice() {
        [] => text + "No difference.",
        sums => text + &format!("{}. {shared} of {total} shared.", sums.join(", ")),
    }
}
