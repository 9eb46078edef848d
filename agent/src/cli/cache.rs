//! `cache list` and `cache evict`: what data and images lie on this machine, for its owner.

use clap::{Args, Subcommand};
use common::problem::Problem;

use super::{
    Context,
    daemon::unexpected,
    moments::{ago, now},
    table::Table,
};
use crate::control::{
    CacheAnswer, CacheContent, CacheEntry, CacheRequest, ControlAnswer, ControlRequest, Evicted,
    ask,
};

/// As much of an id as tells things apart: `-o json` has all of it.
const ID_SHOWN: usize = 12;

/// See and clear what data and images lie on this machine
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share cache list")]
pub(super) enum Cache {
    List(List),
    Evict(Evict),
}

/// Show what lies in this machine's cache, how large it is and what jobs use now
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share cache list")]
pub(super) struct List {}

/// Remove something that no job uses; the next job that wants it brings it again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share cache evict digits@2\n  compute-share cache evict --idle"
)]
pub(super) struct Evict {
    /// A name or an id as `cache list` shows them
    #[arg(value_name = "NAME|ID", required_unless_present = "idle")]
    which: Vec<String>,
    /// Everything that no job uses
    #[arg(long, conflicts_with = "which")]
    idle: bool,
}

impl Cache {
    pub(super) fn run(self, context: &Context) -> Result<(), Problem> {
        let request = match self {
            Self::List(List {}) => CacheRequest::List,
            Self::Evict(Evict { idle: true, .. }) => CacheRequest::EvictIdle,
            Self::Evict(Evict { which, .. }) => CacheRequest::Evict { which },
        };
        match ask(&context.folders.agent, &ControlRequest::Cache(request))? {
            ControlAnswer::Cache(CacheAnswer::Content(content)) => {
                context
                    .output
                    .show(&content, |content| ids(&content.entries), content_text)
            }
            ControlAnswer::Cache(CacheAnswer::Evicted(evicted)) => {
                context
                    .output
                    .show(&evicted, |evicted| ids(&evicted.entries), evicted_text)
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn ids(entries: &[CacheEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.id.clone()).collect()
}

fn content_text(content: &CacheContent) -> String {
    let header = [
        "NAME",
        "KIND",
        "ID",
        ">SIZE",
        ">SHARED",
        "LAST USED",
        "STATE",
    ];
    let mut table = Table::new(&header);
    for entry in &content.entries {
        let state = match (entry.in_use, entry.complete) {
            (true, true) => "in use",
            (true, false) => "on its way",
            (false, true) => "",
            (false, false) => "incomplete",
        };
        table.row([
            entry.name.clone(),
            entry.kind.as_str().to_owned(),
            entry
                .id
                .trim_start_matches("sha256:")
                .chars()
                .take(ID_SHOWN)
                .collect(),
            entry.size.to_string(),
            entry.shared.to_string(),
            match entry.in_use || entry.complete {
                true => ago(entry.last_used_at, now()),
                false => String::new(),
            },
            state.to_owned(),
        ]);
    }
    let table = table.to_text("Nothing lies in this machine's cache.");
    let rate = match content.fetch_rate {
        Some(rate) => format!("; data came at {rate}/s lately"),
        None => String::new(),
    };
    format!(
        "{}\n\n{} of {} are used{rate}.",
        table.trim_end(),
        content.used,
        content.limit
    )
}

fn evicted_text(evicted: &Evicted) -> String {
    match evicted.entries.len() {
        0 => "Nothing was there that no job uses.".to_owned(),
        1 => format!("Evicted; {} are free again.", evicted.freed),
        count => format!("Evicted {count} things; {} are free again.", evicted.freed),
    }
}

#[cfg(test)]
mod tests {
    use common::{time::Timestamp, units::Bytes};

    use super::*;
    use crate::control::CacheKind;

    #[test]
    fn owners_see_what_is_there_what_is_shared_and_what_is_used() {
        let entry = |name: &str, in_use, complete| CacheEntry {
            id: "1f".repeat(32),
            kind: CacheKind::Data,
            name: name.to_owned(),
            size: Bytes::gib(2),
            shared: Bytes::gib(1),
            last_used_at: Timestamp::from_unix_ms(0),
            in_use,
            complete,
        };
        let content = CacheContent {
            entries: vec![entry("digits@3", true, true), entry("", false, false)],
            used: Bytes::gib(3),
            limit: Bytes::gib(50),
            fetch_rate: Some(Bytes::mib(12)),
        };
        let text = content_text(&content);
        for part in [
            "digits@3",
            "1f1f1f1f1f1f  ",
            "in use",
            "incomplete",
            "SHARED",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            text.ends_with("3 GiB of 50 GiB are used; data came at 12 MiB/s lately."),
            "{text}"
        );
        let evicted = Evicted {
            entries: vec![entry("digits@3", false, true)],
            freed: Bytes::gib(1),
        };
        assert_eq!(evicted_text(&evicted), "Evicted; 1 GiB are free again.");
    }
}
