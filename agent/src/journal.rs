//! What survives the daemon: attempts that were accepted, the newest generation, the owner's pause.
//!
//! An attempt is written down, durably, before anything of it runs, so that after a crash nothing runs that is not
//! known, and nothing runs twice. A folder that was made for one meanwhile is nobody's then, and goes. How it went on is not written here: its own folder tells that (see [`crate::supervise`]).

use std::{collections::BTreeMap, path::Path, sync::Arc};

use common::{
    code::Code, id::AttemptId, machine::Pause, problem::Problem, wire::agent::AttemptSpec,
};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

/// Memory for the journal's pages; it holds a few thousand short rows at most.
const CACHE_BYTES: usize = 1 << 20;
/// Written into every journal. A newer number is refused.
const VERSION: u64 = 1;

/// Key of [`AttemptId::key`], JSON of the specification.
const ATTEMPTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("attempts-1");
/// Text keys, JSON values.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts-1");
const FACT_VERSION: &str = "version";
const FACT_GENERATION: &str = "generation";
const FACT_PAUSE: &str = "pause";
const FACT_GPU_PAUSES: &str = "gpu_pauses";

/// The journal of one agent.
#[derive(Debug)]
pub(crate) struct Journal {
    database: Database,
}

/// What a journal held when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) generation: u64,
    pub(crate) pause: Option<Pause>,
    /// By the driver's identifier.
    pub(crate) gpu_pauses: BTreeMap<String, Pause>,
    pub(crate) attempts: Vec<(AttemptId, AttemptSpec)>,
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("the journal cannot be opened: {0}")]
    Open(#[source] redb::DatabaseError),
    #[error("the journal cannot be used: {0}")]
    Store(#[source] Box<redb::Error>),
    #[error("the journal holds what no agent wrote: {0}")]
    Row(#[from] serde_json::Error),
    #[error("the journal was written by a newer version ({0}; this one knows {VERSION})")]
    Newer(u64),
}

macro_rules! from_store {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for JournalError {
            fn from(error: redb::$error) -> Self {
                Self::Store(Box::new(error.into()))
            }
        }
    )*};
}
from_store! { TransactionError TableError StorageError CommitError SetDurabilityError }

impl JournalError {
    /// Makes the problem that ends an agent.
    pub(crate) fn into_problem(self, path: &Path) -> Problem {
        let code = match &self {
            Self::Open(redb::DatabaseError::DatabaseAlreadyOpen) => Code::AgentRunning,
            Self::Newer(_) => Code::StoreNewer,
            Self::Store(error) if is_full(error) => Code::DiskFull,
            _ => Code::StoreDamaged,
        };
        let what = format!("{} cannot be used", path.display());
        let problem = Problem::new(code.clone(), what, self.to_string());
        if code == Code::StoreDamaged {
            problem.help(
                "If the disk is well, move the file away: the agent then begins anew and the coordinator \
                 counts its attempts as lost.",
            )
        } else {
            problem
        }
    }
}

fn is_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull)
}

impl Journal {
    /// Opens or makes the journal at `path`.
    pub(crate) fn open(path: &Path) -> Result<(Self, Kept), JournalError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(JournalError::Open)?;
        let write = database.begin_write()?;
        {
            let mut facts = write.open_table(FACTS)?;
            let version = fact(&facts, FACT_VERSION)?;
            match version {
                Some(version) if version > VERSION => return Err(JournalError::Newer(version)),
                Some(_) => {}
                None => {
                    facts.insert(FACT_VERSION, serde_json::to_vec(&VERSION)?.as_slice())?;
                }
            }
            write.open_table(ATTEMPTS)?;
        }
        write.commit()?;
        let journal = Self { database };
        let kept = journal.read()?;
        Ok((journal, kept))
    }

    fn read(&self) -> Result<Kept, JournalError> {
        let read = self.database.begin_read()?;
        let facts = read.open_table(FACTS)?;
        let mut kept = Kept {
            generation: fact(&facts, FACT_GENERATION)?.unwrap_or(0),
            pause: fact(&facts, FACT_PAUSE)?.flatten(),
            gpu_pauses: fact(&facts, FACT_GPU_PAUSES)?.unwrap_or_default(),
            attempts: Vec::new(),
        };
        for row in read.open_table(ATTEMPTS)?.iter()? {
            let (_, value) = row?;
            kept.attempts.push(serde_json::from_slice(value.value())?);
        }
        Ok(kept)
    }

    /// Writes down that these attempts were accepted under `generation`, which may be known as a later one by now.
    /// Durable when it returns.
    pub(crate) fn accept(
        &self,
        generation: u64,
        accepted: &[(AttemptId, Arc<AttemptSpec>)],
    ) -> Result<(), JournalError> {
        let write = self.database.begin_write()?;
        {
            let mut attempts = write.open_table(ATTEMPTS)?;
            for (attempt, spec) in accepted {
                let row = serde_json::to_vec(&(attempt, &**spec))?;
                attempts.insert(attempt.key().as_slice(), row.as_slice())?;
            }
            let mut facts = write.open_table(FACTS)?;
            let known: Option<u64> = fact(&facts, FACT_GENERATION)?;
            let latest = known.unwrap_or(0).max(generation);
            facts.insert(FACT_GENERATION, serde_json::to_vec(&latest)?.as_slice())?;
        }
        Ok(write.commit()?)
    }

    /// Forgets attempts. Becomes durable with the next thing that is: an attempt that comes back after a
    /// crash has no folder any more, is not wanted, and is forgotten again.
    pub(crate) fn forget(&self, attempts: &[AttemptId]) -> Result<(), JournalError> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::None)?;
        {
            let mut table = write.open_table(ATTEMPTS)?;
            for attempt in attempts {
                table.remove(attempt.key().as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    /// Writes down whether the owner lends, and which GPUs not. Durable when it returns.
    pub(crate) fn pause(
        &self,
        pause: Option<&Pause>,
        gpus: &BTreeMap<String, Pause>,
    ) -> Result<(), JournalError> {
        let write = self.database.begin_write()?;
        {
            let mut facts = write.open_table(FACTS)?;
            facts.insert(FACT_PAUSE, serde_json::to_vec(&pause)?.as_slice())?;
            facts.insert(FACT_GPU_PAUSES, serde_json::to_vec(gpus)?.as_slice())?;
        }
        Ok(write.commit()?)
    }
}

fn fact<T: serde::de::DeserializeOwned>(
    facts: &impl redb::ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<T>, JournalError> {
    match facts.get(name)? {
        None => Ok(None),
        Some(value) => Ok(Some(serde_json::from_slice(value.value())?)),
    }
}

#[cfg(test)]
mod tests {
    use common::{
        id::JobId,
        job::JobNumber,
        resources::Allocation,
        status::Network,
        time::{Span, Timestamp},
    };

    use super::*;

    fn accepted(task: u32) -> (AttemptId, AttemptSpec) {
        let attempt = AttemptId {
            job: JobId::from_bytes([5; 16]),
            task,
            number: 1,
        };
        let spec = AttemptSpec {
            org: "lab".parse().unwrap(),
            job_number: JobNumber(42),
            job_name: "train".to_owned(),
            submitter: "alice".parse().unwrap(),
            own_machine: false,
            task_count: 2,
            command: vec!["true".to_owned()],
            env: BTreeMap::new(),
            image: common::wire::agent::AttemptImage::Host,
            registry_login: false,
            secrets: Vec::new(),
            strong: false,
            workdir: None,
            allocation: Allocation::default(),
            datasets: Vec::new(),
            outputs: Vec::new(),
            network: Network::None,
            max_runtime: Some(Span::from_millis(1500)),
            grace: Span::from_secs(30),
            project: None,
            nodes: Vec::new(),
            checkpoint: None,
            restore: None,
            params: None,
            shares: false,
        };
        (attempt, spec)
    }

    #[test]
    fn everything_comes_back_after_a_restart() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("journal.redb");
        let (journal, kept) = Journal::open(&path).unwrap();
        assert_eq!(kept, Kept::default());
        let pause = Pause {
            until: Some(Timestamp::from_unix_ms(77)),
            reason: String::new(),
            by: common::machine::PausedBy::Command,
        };
        let row = |task| {
            let (attempt, spec) = accepted(task);
            (attempt, Arc::new(spec))
        };
        journal.accept(3, &[row(0)]).unwrap();
        // Written later than what came after it.
        journal.accept(2, &[row(1)]).unwrap();
        journal.forget(&[accepted(0).0]).unwrap();
        let gpus = BTreeMap::from([("GPU-a".to_owned(), pause.clone())]);
        journal.pause(Some(&pause), &gpus).unwrap();
        assert!(matches!(
            Journal::open(&path),
            Err(JournalError::Open(redb::DatabaseError::DatabaseAlreadyOpen))
        ));
        drop(journal);

        let (journal, kept) = Journal::open(&path).unwrap();
        assert_eq!(
            kept,
            Kept {
                generation: 3,
                pause: Some(pause),
                gpu_pauses: gpus,
                attempts: vec![accepted(1)],
            }
        );
        journal.pause(None, &BTreeMap::new()).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().1.pause, None);
    }

    #[test]
    fn a_newer_or_damaged_journal_is_refused_and_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("journal.redb");
        let (journal, _) = Journal::open(&path).unwrap();
        let write = journal.database.begin_write().unwrap();
        write
            .open_table(FACTS)
            .unwrap()
            .insert(FACT_VERSION, b"9".as_slice())
            .unwrap();
        write.commit().unwrap();
        drop(journal);
        let problem = Journal::open(&path).unwrap_err().into_problem(&path);
        assert_eq!(problem.code, Code::StoreNewer);

        std::fs::write(&path, b"not a journal at all").unwrap();
        let problem = Journal::open(&path).unwrap_err().into_problem(&path);
        assert_eq!(problem.code, Code::StoreDamaged);
        assert!(problem.what.contains("journal.redb"));
    }
}
