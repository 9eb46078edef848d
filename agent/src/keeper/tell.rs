//! What the keeper says: reports to the coordinator, its standing to the rest of the agent.

use std::sync::Arc;

use agent_core::desired::Desired;
use common::{
    id::TreeId,
    problem::Problem,
    resources::Allocation,
    wire::agent::{AgentMessage, MAX_REPORTS},
};

use super::Keeper;
use crate::machine::Standing;

impl Keeper {
    /// Says everything that was not yet said over this connection.
    pub(super) fn say(&mut self) {
        let Some(outbox) = &self.outbox else {
            return;
        };
        let mut news = Vec::new();
        for (attempt, held) in &mut self.held {
            let said = held.said;
            let reports = held.attempt.unacknowledged().into_iter();
            let reports = reports.filter(|report| Some(report.stage()) > said);
            // What ended first is said first, and then what runs: by then its place is known to be free.
            let order = held.attempt.ended_at();
            for report in reports {
                held.said = held.said.max(Some(report.stage()));
                news.push(((order.is_none(), order), (*attempt, report)));
            }
        }
        news.sort_by_key(|(order, _)| *order);
        let mut news = news.into_iter().map(|(_, report)| report).peekable();
        while news.peek().is_some() {
            let reports = news.by_ref().take(MAX_REPORTS).collect();
            if outbox.try_send(AgentMessage::Attempts { reports }).is_err() {
                // A session that does not send has lost its connection; the next one says it all again.
                self.outbox = None;
                return;
            }
        }
    }

    /// Says what came of data that was only to be here.
    pub(super) fn say_fetched(&self, tree: TreeId, problem: Option<Problem>) {
        if let Some(problem) = &problem {
            tracing::warn!(%tree, %problem, "wanted data cannot be had");
        }
        if let Some(outbox) = &self.outbox {
            // What is lost is said again over the next connection.
            drop(outbox.try_send(AgentMessage::Fetched { tree, problem }));
        }
    }

    /// Tells everybody who watches.
    pub(super) fn publish(&self) {
        let mut held = Allocation::default();
        for one in self.held.values().filter(|one| one.has_place()) {
            held = held.checked_add(&one.spec.allocation).unwrap_or(held);
        }
        let standing = Standing {
            generation: self
                .desired
                .as_ref()
                .map_or(self.journaled_generation, Desired::generation),
            pause: self.pause(),
            held,
            attempts: self.held.keys().copied().collect(),
            withheld: self.withheld().into_keys().collect(),
            rules: Arc::clone(&self.rules.borrow().rules),
        };
        self.standing.send_if_modified(|before| {
            let changed = *before != standing;
            *before = standing;
            changed
        });
    }
}
