//! The engine's promises towards those who ask: a reply only after the commit, one commit for a batch, and none
//! once a commit has failed.

use std::sync::Mutex;

use common::{
    id::{OrgId, UserId},
    time::Timestamp,
};
use coordinator_core::{RowKey, query::enrolment};

use super::*;
use crate::{clock::Clock, store::Batch};

/// A book in memory that can be told to wait, or to fail.
#[derive(Clone, Default)]
struct TestBook {
    commits: Arc<Mutex<Vec<Commit>>>,
    /// Where there is a gate, a commit says that it has begun and waits for its verdict.
    gate: Option<Arc<Mutex<Gate>>>,
}

struct Gate {
    begun: mpsc::UnboundedSender<()>,
    verdicts: std::sync::mpsc::Receiver<Verdict>,
}

/// The other side of a gate.
struct Keeper {
    begun: mpsc::UnboundedReceiver<()>,
    verdicts: std::sync::mpsc::Sender<Verdict>,
}

struct Commit {
    rows: Vec<RowKey>,
    events: usize,
}

enum Verdict {
    Good,
    Bad,
}

impl Book for TestBook {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(gate) = &self.gate {
            let gate = gate.lock().unwrap();
            // A keeper that does not look needs not be told.
            let _ = gate.begun.send(());
            match gate.verdicts.recv().unwrap() {
                Verdict::Good => {}
                Verdict::Bad => return Err(std::io::Error::other("no disk").into()),
            }
        }
        self.commits.lock().unwrap().push(Commit {
            rows: batch.rows.iter().map(|(row, _)| row.clone()).collect(),
            events: batch.events.len(),
        });
        Ok(())
    }
}

fn gated() -> (TestBook, Keeper) {
    let (sender, verdicts) = std::sync::mpsc::channel();
    let (begin, begun) = mpsc::unbounded_channel();
    let gate = Gate {
        begun: begin,
        verdicts,
    };
    let book = TestBook {
        gate: Some(Arc::new(Mutex::new(gate))),
        ..TestBook::default()
    };
    let keeper = Keeper {
        begun,
        verdicts: sender,
    };
    (book, keeper)
}

fn start(book: TestBook) -> (Engine, thread::JoinHandle<()>, oneshot::Receiver<String>) {
    let clock = Arc::new(Clock::starting_at(Timestamp::from_unix_ms(1_000)));
    let clerk = Clerk::new(State::new(), book, clock);
    let (fail, failed) = oneshot::channel();
    let outside = Outside {
        publish: Box::new(|_| {}),
        failed: Box::new(move |error| {
            let _ = fail.send(crate::store::chain(error));
        }),
    };
    let (engine, thread) = Engine::start(clerk, outside).unwrap();
    (engine, thread, failed)
}

fn create_org(number: u8) -> Body {
    Body::CreateOrg {
        org: OrgId::from_bytes([number; 16]),
        name: format!("lab-{number}").parse().unwrap(),
        owner: UserId::from_bytes([number; 16]),
        handle: format!("alice-{number}").parse().unwrap(),
    }
}

#[tokio::test]
async fn the_reply_and_the_view_come_after_the_commit() {
    let (book, mut gate) = gated();
    let commits = Arc::clone(&book.commits);
    let (engine, thread, _failed) = start(book);
    let pending = engine.post(Actor::System, create_org(1)).await.unwrap();
    let mut reply = std::pin::pin!(pending.done());
    gate.begun.recv().await.unwrap();
    // Everything is decided and applied, and the commit has begun: nobody has a reply, and nobody can look.
    assert!(now(&mut reply).await.is_none());
    assert!(engine.state.try_read().is_err());
    gate.verdicts.send(Verdict::Good).unwrap();
    let events = reply.await.unwrap();
    assert!(!events.is_empty());
    assert_eq!(commits.lock().unwrap().len(), 1);
    assert_eq!(enrolment::orgs(&engine.read()).len(), 1);
    engine.stop().await;
    thread.join().unwrap();
}

/// Polls a future once.
async fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let (book, gate) = gated();
    let commits = Arc::clone(&book.commits);
    let (engine, thread, _failed) = start(book);
    let mut pending = vec![engine.post(Actor::System, create_org(1)).await.unwrap()];
    // While the first commit waits at the gate, nine more gather.
    for number in 2..=10 {
        let body = create_org(number);
        pending.push(engine.post(Actor::System, body).await.unwrap());
    }
    for _ in 0..10 {
        gate.verdicts.send(Verdict::Good).unwrap();
    }
    for one in pending {
        one.done().await.unwrap();
    }
    engine.stop().await;
    thread.join().unwrap();
    let commits = commits.lock().unwrap();
    assert!((1..=2).contains(&commits.len()), "{}", commits.len());
    let orgs = commits
        .iter()
        .flat_map(|commit| &commit.rows)
        .filter(|row| row.table == coordinator_core::Table::Orgs);
    assert_eq!(orgs.count(), 10);
    assert!(commits.iter().all(|commit| commit.events > 0));
}

#[tokio::test]
async fn a_failed_commit_is_the_end_and_nobody_is_told_yes() {
    let (book, gate) = gated();
    let (engine, thread, failed) = start(book);
    let pending = engine.post(Actor::System, create_org(1)).await.unwrap();
    gate.verdicts.send(Verdict::Bad).unwrap();
    assert!(matches!(pending.done().await, Err(NotDone::Stopped)));
    assert!(failed.await.unwrap().contains("no disk"));
    thread.join().unwrap();
    let after = engine.ask(Actor::System, create_org(2)).await;
    assert!(matches!(after, Err(NotDone::Stopped)));
    // What is in memory was never committed: nobody may look at it.
    assert!(engine.state.try_read().is_err());
}

#[tokio::test]
async fn a_refused_command_writes_nothing() {
    let book = TestBook::default();
    let commits = Arc::clone(&book.commits);
    let (engine, thread, _failed) = start(book);
    let refused = engine.ask(Actor::Stranger, create_org(1)).await;
    assert!(matches!(refused, Err(NotDone::Rejected(_))));
    engine.stop().await;
    thread.join().unwrap();
    assert!(commits.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_full_mailbox_says_so() {
    let (book, gate) = gated();
    let (engine, thread, _failed) = start(book);
    let mut pending = Vec::new();
    let refused = loop {
        let (letter, reply) = commands(Actor::System, vec![create_org(1)]);
        match engine.mailbox.try_send(letter) {
            Ok(()) => pending.push(reply),
            Err(_) => break engine.ask(Actor::System, create_org(2)).await,
        }
        assert!(pending.len() <= MAILBOX + BATCH);
    };
    assert!(matches!(refused, Err(NotDone::Busy)));
    drop(gate.verdicts.send(Verdict::Bad));
    thread.join().unwrap();
}
