//! Fetches data that is wanted on this machine before a job wants it: one tree after the other, beside everything
//! else, and only while the owner lends. Says what came of each.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{code::Code, id::TreeId, problem::Problem, wire::agent::WantedTree};
use link::backoff::Backoff;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    keeper::{KeeperHandle, Word},
    machine::{Machine, Standing},
    uplink::Uplink,
};

/// Waits before a tree is asked for again on a connection that lives.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(60);
/// Tries for one tree on connections that live.
const MAX_TRIES: u32 = 5;

/// See the module.
pub(crate) struct Warmer {
    pub(crate) machine: Arc<Machine>,
    pub(crate) keeper: KeeperHandle,
    pub(crate) uplink: Uplink,
    /// What is wanted; said again after each connection.
    pub(crate) wanted: watch::Receiver<Vec<WantedTree>>,
}

impl Warmer {
    /// Runs until `stopping`.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut standing = self.keeper.standing();
        let mut said: BTreeSet<TreeId> = BTreeSet::new();
        loop {
            let lends = lends(&standing.borrow_and_update());
            let next = self
                .wanted
                .borrow_and_update()
                .iter()
                .find(|wanted| !said.contains(&wanted.tree))
                .cloned();
            let changed = async {
                tokio::select! {
                    Ok(()) = self.wanted.changed() => true,
                    () = until_other(&mut standing, lends) => false,
                    else => std::future::pending().await,
                }
            };
            let work = async {
                match next.filter(|_| lends) {
                    None => std::future::pending().await,
                    Some(wanted) => (
                        wanted.tree,
                        fetch(&self.machine, self.uplink.clone(), &wanted).await,
                    ),
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                // What is under way is broken off, and goes on where it was if it is still wanted.
                anew = changed => if anew {
                    said.clear();
                },
                (tree, fetched) = work => {
                    said.insert(tree);
                    let problem = fetched.err();
                    self.keeper.tell(Word::Fetched { tree, problem }).await;
                }
            }
        }
    }
}

const fn lends(standing: &Standing) -> bool {
    standing.pause.is_none()
}

/// Waits until the machine lends where it did not, or the other way round.
async fn until_other(standing: &mut watch::Receiver<Standing>, now: bool) {
    // The keeper is the last to go.
    if standing
        .wait_for(|standing| lends(standing) != now)
        .await
        .is_err()
    {
        std::future::pending().await
    }
}

/// Fetches one tree, over as many connections as that takes.
async fn fetch(machine: &Machine, mut uplink: Uplink, wanted: &WantedTree) -> Result<(), Problem> {
    let cache = &machine.cache;
    let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
    let (mut broken, mut tries) = (None, 0);
    loop {
        let live = uplink.live(broken).await;
        let problem = match cache.fetch(&live.connection, wanted.tree, &()).await {
            Ok(pinned) => {
                let (cache, name) = (cache.clone(), wanted.name.clone());
                tokio::task::spawn_blocking(move || cache.call(pinned.tree(), &name));
                return Ok(());
            }
            Err(problem) => problem,
        };
        if live.connection.close_reason().is_some() {
            broken = Some(live.serial);
            continue;
        }
        tries += 1;
        let passing = matches!(
            problem.code,
            Code::Busy | Code::Protocol | Code::Unreachable
        );
        if !passing || tries == MAX_TRIES {
            return Err(problem);
        }
        tokio::time::sleep(backoff.next()).await;
    }
}
