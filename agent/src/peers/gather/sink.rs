//! What the chunks go through that come from several sides: it tells the sink's own problems from those of whoever
//! sends, and lets nothing in once the tree is sealed.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes as Buffer;
use common::{code::Code, problem::Problem, tree::ChunkRef, units::Bytes};
use link::trees::ChunkSink;

#[derive(Debug)]
pub(super) struct Guarded<K> {
    sink: Arc<K>,
    /// Held for reading while something is written.
    sealed: RwLock<bool>,
    problem: Mutex<Option<Problem>>,
}

impl<K> Guarded<K> {
    pub(super) const fn new(sink: Arc<K>) -> Self {
        Self {
            sink,
            sealed: RwLock::new(false),
            problem: Mutex::new(None),
        }
    }

    /// Returns why something could not be kept, if so.
    pub(super) fn problem(&self) -> Option<Problem> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone()
    }
}

impl<K: ChunkSink> ChunkSink for Guarded<K> {
    fn has(&self, ordinal: u32, chunk: &ChunkRef) -> bool {
        self.sink.has(ordinal, chunk)
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        self.sink.reserve(missing)
    }

    fn put(&self, chunks: &[(u32, Buffer)]) -> Result<(), Problem> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        if *sealed {
            // From a machine that was given up: somebody else was faster.
            let why = "the tree is complete";
            return Err(Problem::new(Code::WrongState, "it came too late", why));
        }
        self.sink.put(chunks).inspect_err(|problem| {
            let mut first = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| problem.clone());
        })
    }

    fn seal(&self) -> Result<(), Problem> {
        let mut sealed = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
        *sealed = true;
        // What came twice counts once: the other one may be the one that was not kept.
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        self.sink.seal()
    }
}
