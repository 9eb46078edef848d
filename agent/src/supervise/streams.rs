//! The job's two output streams, read as they come, without its secrets.

use std::{
    io::{self, PipeReader, Read as _},
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use common::status::LogStream;

use super::mask::{Mask, Patterns};

/// Read from the job in one go.
const PIECE_BYTES: usize = common::logs::MAX_RECORD_BYTES;

/// What can still be read of the job's output.
#[derive(Debug)]
pub(super) struct Streams {
    streams: [Stream; 2],
    piece: Vec<u8>,
}

#[derive(Debug)]
struct Stream {
    kind: LogStream,
    pipe: Option<PipeReader>,
    mask: Mask,
}

impl Streams {
    pub(super) fn new(stdout: PipeReader, stderr: PipeReader, patterns: &Arc<Patterns>) -> Self {
        let pipes = [(LogStream::Stdout, stdout), (LogStream::Stderr, stderr)];
        Self {
            streams: pipes.map(|(kind, pipe)| Stream {
                kind,
                pipe: Some(pipe),
                mask: Mask::new(patterns),
            }),
            piece: vec![0; PIECE_BYTES],
        }
    }

    pub(super) fn are_open(&self) -> bool {
        self.streams.iter().any(|stream| stream.pipe.is_some())
    }

    /// Returns where each is read from, output first; `None` for one that has ended.
    pub(super) fn pipes(&self) -> impl Iterator<Item = Option<BorrowedFd<'_>>> {
        let pipes = self.streams.iter().map(|stream| stream.pipe.as_ref());
        pipes.map(|pipe| pipe.map(PipeReader::as_fd))
    }

    /// Reads a piece of each that is ready, and passes on what may be shown of it.
    pub(super) fn read(&mut self, ready: [bool; 2], mut show: impl FnMut(LogStream, &[u8])) {
        for (stream, ready) in self.streams.iter_mut().zip(ready) {
            let (Some(open), true) = (stream.pipe.as_mut(), ready) else {
                continue;
            };
            let shown = match open.read(&mut self.piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(count @ 1..) => stream.mask.pass(&self.piece[..count]),
                Ok(0) | Err(_) => {
                    stream.pipe = None;
                    stream.mask.finish()
                }
            };
            // With what was held back before, it may be more than one record.
            for record in shown.chunks(PIECE_BYTES) {
                show(stream.kind, record);
            }
        }
    }
}
