//! `org storage`: where the org's bytes are, and how far they have moved.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        storage::{StorageAnswer, StorageRequest, Whereabouts},
    },
    problem::Problem,
    units::Bytes,
};

use crate::cli::{Context, output::Facts, session::ask};

/// Show where the org's data lives, and how far a move has come
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  compute-share org storage
  compute-share secret set S3_ACCESS_KEY_ID
  compute-share secret set S3_SECRET_ACCESS_KEY
  compute-share org set storage='s3://bucket/prefix?region=eu-central-1'
  compute-share org set storage=local

The last two begin a move, which can be turned round with the other at any time. Data can be read all along, new
data goes to the new place at once, and nothing leaves the old place before it is safe at the new one. For admins;
the owner says where.")]
pub(in crate::cli) struct Storage {}

impl Storage {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::Storage(StorageRequest::Show { org: session.org });
        let shown =
            ask!(session, request, Answer::Storage(StorageAnswer::Whereabouts(shown)) => shown)?;
        session.end().await;
        context.output.show(&shown, |_| Vec::new(), facts)
    }
}

fn facts(shown: &Whereabouts) -> String {
    let Whereabouts {
        storage,
        bucket,
        local,
        remote,
        moving,
        held_up,
    } = shown;
    let state = match (moving, held_up) {
        (false, _) => "all of it is there".to_owned(),
        (true, None) => format!("moving, {} done", share(shown)),
        (true, Some(problem)) => format!("held up, {} done: {}", share(shown), problem.why),
    };
    let bucket = bucket.as_ref().filter(|bucket| *bucket != storage);
    Facts::default()
        .with("storage", storage)
        .with_some("leaving", bucket)
        .with("on the coordinator", local)
        .with("in the bucket", remote)
        .with("state", state)
        .to_text()
}

fn share(shown: &Whereabouts) -> String {
    let Bytes(all) = Bytes(shown.local.0.saturating_add(shown.remote.0));
    let there = if shown.storage.is_local() {
        shown.local.0
    } else {
        shown.remote.0
    };
    // Never all of it while something is left.
    let percent = u128::from(there) * 100 / u128::from(all.max(1));
    format!("{} %", percent.min(99))
}

#[cfg(test)]
mod tests {
    use common::{code::Code, org::storage::StoragePlace};

    use super::*;

    fn shown(storage: &str, local: u64, remote: u64) -> Whereabouts {
        Whereabouts {
            storage: storage.parse().unwrap(),
            bucket: "s3://data".parse().ok(),
            local: Bytes(local),
            remote: Bytes(remote),
            moving: true,
            held_up: None,
        }
    }

    #[test]
    fn it_says_how_far_a_move_has_come() {
        assert!(facts(&shown("s3://data", 75, 25)).contains("moving, 25 % done"));
        let back = facts(&shown("local", 999, 1));
        assert!(back.contains("moving, 99 % done"), "{back}");
        assert!(back.contains("s3://data"), "{back}");
        let problem = Problem::new(Code::StorageUnreachable, "not moved", "nobody answers");
        let held_up = Whereabouts {
            held_up: Some(problem),
            ..shown("s3://data", 0, 0)
        };
        assert!(facts(&held_up).contains("held up, 0 % done: nobody answers"));
        let settled = Whereabouts {
            storage: StoragePlace::Local,
            bucket: None,
            moving: false,
            ..shown("local", 5, 0)
        };
        assert!(facts(&settled).contains("all of it is there"));
    }
}
