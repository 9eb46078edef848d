//! What the server has to say in its job's log: lines of JSON to its supervisor.

use std::{
    io::Write as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Most lines that a job's log gets from its server.
const MAX_LINES: u32 = 200;
/// The same line is said again only after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// What the supervisor is told: one line of JSON each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// For the job's log.
    Said(String),
}

/// Whoever says it.
#[derive(Debug, Default)]
pub(super) struct Teller(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    lines: u32,
    last: Option<(String, Instant)>,
}

impl Teller {
    pub(super) fn say(&self, line: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = told
            .last
            .as_ref()
            .is_some_and(|(last, at)| last == line && at.elapsed() < AGAIN);
        if again || told.lines >= MAX_LINES {
            return;
        }
        told.lines += 1;
        told.last = Some((line.to_owned(), Instant::now()));
        let mut word = serde_json::to_vec(&Word::Said(line.to_owned())).unwrap_or_default();
        word.push(b'\n');
        // Nobody there to be told ends this process.
        let _ = std::io::stdout().lock().write_all(&word);
        let _ = std::io::stdout().lock().flush();
    }
}
