//! The clerk: decides, applies and writes down one batch. The engine's thread is one around it; `init` and
//! `login-link` use it directly while no coordinator runs.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use common::{
    id::{OrgId, TokenId},
    status::AuditKind,
    time::Timestamp,
};
use coordinator_core::{
    Actor, Body, Command, Effect, Event, RowKey, State, apply, audit, decide, effects, query,
};
use serde::Serialize;

use super::Reply;
use crate::{
    clock::Clock,
    store::{Batch, Book, Entry, StoreError},
};

/// Most tasks placed by one `Schedule` command.
const PLACED_PER_PASS: u32 = 256;
/// Most `Schedule` commands in one batch; what is still due then comes with the next.
const PASSES_PER_BATCH: u32 = 64;

/// The state, the book it is kept in and the clock.
#[derive(Debug)]
pub(crate) struct Clerk<B> {
    state: Arc<RwLock<State>>,
    book: B,
    clock: Arc<Clock>,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) struct Done {
    /// One for each command, in order.
    pub(crate) replies: Vec<Reply>,
    /// Each once.
    pub(crate) effects: BTreeSet<Effect>,
}

/// An event as it is written into the audit trail.
#[derive(Serialize)]
struct Written<'a> {
    at: Timestamp,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
    kind: AuditKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<OrgId>,
    event: &'a Event,
}

impl<B: Book> Clerk<B> {
    pub(crate) fn new(state: State, book: B, clock: Arc<Clock>) -> Self {
        Self {
            state: Arc::new(RwLock::new(state)),
            book,
            clock,
        }
    }

    pub(super) fn state(&self) -> Arc<RwLock<State>> {
        Arc::clone(&self.state)
    }

    /// Decides and applies each command, lets the schedule do what is due, and commits all of it at once.
    /// Readers wait from the first change to the commit.
    ///
    /// # Errors
    /// The commit failed: the state in memory is ahead of the book and must not be used again.
    pub(crate) fn process(&mut self, commands: Vec<(Actor, Body)>) -> Result<Done, StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut pass = Pass::default();
        let mut replies = Vec::with_capacity(commands.len());
        for (actor, body) in commands {
            replies.push(pass.step(&mut state, self.clock.now(), actor, body));
        }
        for _ in 0..PASSES_PER_BATCH {
            if !state.schedule_due() {
                break;
            }
            let most = PLACED_PER_PASS;
            let schedule = Body::Schedule { most };
            if let Err(rejection) = pass.step(&mut state, self.clock.now(), Actor::System, schedule)
            {
                tracing::error!(?rejection, "the schedule was refused");
                break;
            }
        }
        if !pass.touched.is_empty() {
            let rows = pass.touched.into_iter().map(|row| {
                let json = state.encode_row(&row);
                (row, json)
            });
            let batch = Batch {
                at: pass.at,
                rows: rows.collect(),
                events: pass.events,
            };
            if let Err(error) = self.book.commit(&batch) {
                // Nobody may look at what was not committed: the lock stays locked until the process ends.
                std::mem::forget(state);
                return Err(error);
            }
        }
        drop(state);
        Ok(Done {
            replies,
            effects: pass.effects,
        })
    }
}

/// What a batch has led to so far.
#[derive(Default)]
struct Pass {
    /// When the last command was decided.
    at: Timestamp,
    touched: BTreeSet<RowKey>,
    events: Vec<Entry>,
    effects: BTreeSet<Effect>,
}

impl Pass {
    fn step(&mut self, state: &mut State, at: Timestamp, actor: Actor, body: Body) -> Reply {
        self.at = at;
        let command = Command { at, actor, body };
        let events = decide(state, &command)?;
        for event in &events {
            let touched = event.touched();
            // What is of this process only does not last, and is in nobody's log.
            let kept = !touched.is_empty() && audit::is_kept(event);
            let entry = kept.then(|| write(state, at, actor, event));
            apply(state, event);
            self.effects.extend(effects(state, event));
            self.touched.extend(touched);
            self.events.extend(entry);
        }
        Ok(events.into())
    }
}

/// Writes an event for the audit trail; the state has not taken it in yet.
fn write(state: &State, at: Timestamp, actor: Actor, event: &Event) -> Entry {
    let audit::Filed { kind, org, orgs } = audit::file(state, event);
    let written = Written {
        at,
        actor: query::audit::id(actor),
        token: query::audit::token(actor),
        kind,
        org,
        event,
    };
    let json = serde_json::to_vec(&written);
    Entry {
        json: json.expect("an event has text keys and finite numbers only"),
        at,
        actor,
        kind,
        orgs,
    }
}
