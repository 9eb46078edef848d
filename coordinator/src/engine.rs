//! The engine: the only writer. One thread takes commands from a bounded mailbox in batches, decides and applies
//! each, makes the whole batch durable in one commit, and only then replies and publishes.
//!
//! It never waits for a connection, and nothing is decided here. Doors and loops call [`Engine::ask`]; they see
//! the state through [`Engine::read`], which waits while a batch is between its first change and its commit, so
//! that nobody is told of what may not last.

mod clerk;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    thread,
};

use common::{code::Code, problem::Problem};
use coordinator_core::{Actor, Body, Effect, Event, Rejection, State};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::clerk::Clerk;
use crate::store::{Book, StoreError};

/// Commands that may wait; whoever comes then is told to come back.
const MAILBOX: usize = 4096;
/// As many commands are one commit, and those that came together with the last of them.
const BATCH: usize = 256;

/// What a command led to, once it is committed.
pub(crate) type Reply = Result<Arc<[Event]>, Rejection>;

/// A handle on the engine's thread.
#[derive(Clone)]
pub(crate) struct Engine {
    mailbox: mpsc::Sender<Letter>,
    state: Arc<RwLock<State>>,
}

/// What lies in the mailbox.
enum Letter {
    /// What somebody wants done, in this order and in one commit.
    Commands {
        actor: Actor,
        bodies: Vec<Body>,
        reply: oneshot::Sender<Vec<Reply>>,
    },
    /// Ends the thread once everything before is done.
    Stop,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    #[error("{MAILBOX} commands wait already")]
    Busy,
    #[error("the coordinator stops")]
    Stopped,
    #[error("it was refused: {0:?}")]
    Rejected(Rejection),
}

impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Self {
        let what = "The coordinator could not do it";
        match error {
            NotDone::Busy => Self::new(Code::Busy, what, error.to_string()),
            NotDone::Stopped => Self::new(Code::Unreachable, what, error.to_string()),
            NotDone::Rejected(rejection) => rejection.into(),
        }
    }
}

/// What the engine does with the world besides the book.
pub(crate) struct Outside {
    /// Called for each effect after the commit, on the engine's thread: must not wait.
    pub(crate) publish: Box<dyn FnMut(Effect) + Send>,
    /// Called once when a commit has failed, on the engine's thread, which then ends without another reply.
    pub(crate) failed: Box<dyn FnOnce(&StoreError) + Send>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the thread. It ends after [`Engine::stop`], or when the last handle is gone.
    pub(crate) fn start<B: Book>(
        clerk: Clerk<B>,
        outside: Outside,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (mailbox, letters) = mpsc::channel(MAILBOX);
        let state = clerk.state();
        let thread = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let _guard = EndWithPanic;
                work(clerk, letters, outside);
            })?;
        Ok((Self { mailbox, state }, thread))
    }

    /// Returns the committed state. Short looks only: a reader keeps the engine from writing.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic between two changes ends the process, see `EndWithPanic`.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a command into the mailbox and waits for its commit.
    ///
    /// # Errors
    /// The mailbox is full, the engine has stopped, or the command is refused.
    pub(crate) async fn ask(&self, actor: Actor, body: Body) -> Result<Arc<[Event]>, NotDone> {
        let (letter, reply) = commands(actor, vec![body]);
        self.mailbox.try_send(letter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotDone::Busy,
            mpsc::error::TrySendError::Closed(_) => NotDone::Stopped,
        })?;
        Pending(reply).done().await
    }

    /// Puts a command into the mailbox, waiting for room in it, and returns where its reply will come. For what
    /// has to be said and can wait: reports of agents, timers.
    ///
    /// # Errors
    /// The engine has stopped.
    pub(crate) async fn post(&self, actor: Actor, body: Body) -> Result<Pending, NotDone> {
        let together = self.post_together(actor, vec![body]).await?;
        Ok(Pending(together.0))
    }

    /// Puts commands into the mailbox that are done in one commit, each on what those before it made.
    ///
    /// # Errors
    /// The engine has stopped.
    pub(crate) async fn post_together(
        &self,
        actor: Actor,
        bodies: Vec<Body>,
    ) -> Result<Together, NotDone> {
        let (letter, reply) = commands(actor, bodies);
        let sent = self.mailbox.send(letter).await;
        sent.map_err(|_| NotDone::Stopped)?;
        Ok(Together(reply))
    }

    /// Ends the thread once all that waits is done.
    pub(crate) async fn stop(&self) {
        // Closed already is stopped already.
        let _ = self.mailbox.send(Letter::Stop).await;
    }
}

/// Where the reply to a command will come.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<Vec<Reply>>);

/// Where the replies to commands will come that are done together.
#[derive(Debug)]
pub(crate) struct Together(oneshot::Receiver<Vec<Reply>>);

impl Pending {
    /// Waits for the commit.
    ///
    /// # Errors
    /// The engine has stopped, or the command is refused.
    pub(crate) async fn done(self) -> Result<Arc<[Event]>, NotDone> {
        let replies = self.0.await.map_err(|_| NotDone::Stopped)?;
        let reply = replies.into_iter().next().ok_or(NotDone::Stopped)?;
        reply.map_err(NotDone::Rejected)
    }
}

impl Together {
    /// Waits for the commit. Returns a reply for each command, in order.
    ///
    /// # Errors
    /// The engine has stopped.
    pub(crate) async fn done(self) -> Result<Vec<Reply>, NotDone> {
        self.0.await.map_err(|_| NotDone::Stopped)
    }
}

fn commands(actor: Actor, bodies: Vec<Body>) -> (Letter, oneshot::Receiver<Vec<Reply>>) {
    let (reply, receiver) = oneshot::channel();
    let letter = Letter::Commands {
        actor,
        bodies,
        reply,
    };
    (letter, receiver)
}

/// A panic between two changes leaves a state that nobody can vouch for: the process ends, and a restart reads
/// the book.
struct EndWithPanic;

impl Drop for EndWithPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// The engine's thread.
fn work<B: Book>(mut clerk: Clerk<B>, mut letters: mpsc::Receiver<Letter>, outside: Outside) {
    let Outside {
        mut publish,
        failed,
    } = outside;
    let mut stop = false;
    while !stop {
        let mut commands = Vec::new();
        let mut replies = Vec::new();
        let mut next = letters.blocking_recv();
        loop {
            match next {
                None | Some(Letter::Stop) => {
                    stop = true;
                    break;
                }
                Some(Letter::Commands {
                    actor,
                    bodies,
                    reply,
                }) => {
                    replies.push((bodies.len(), reply));
                    commands.extend(bodies.into_iter().map(|body| (actor, body)));
                }
            }
            if commands.len() >= BATCH {
                break;
            }
            match letters.try_recv() {
                Ok(letter) => next = Some(letter),
                Err(_) => break,
            }
        }
        match clerk.process(commands) {
            Ok(done) => {
                let mut outcomes = done.replies.into_iter();
                for (count, reply) in replies {
                    // Whoever asked may be gone; the book has it all the same.
                    let _ = reply.send(outcomes.by_ref().take(count).collect());
                }
                done.effects.into_iter().for_each(&mut publish);
            }
            Err(error) => return failed(&error),
        }
    }
}
