//! Layers as they are read: unpacked on the way, and given up where they grow beyond all reason.

use std::io::{self, BufRead, BufReader, Read};

use common::problem::Problem;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::{bad_image, manifest::Packing};

/// What any layer may unpack to, whatever its size.
const FREE_BYTES: u64 = 256 << 20;
/// How many times its own size a larger one may unpack to. Programs and data reach ten.
const MAX_RATIO: u64 = 200;
/// Most memory that a zstd layer may ask for to be unpacked; its programs use 8 MiB unless told otherwise.
const MAX_WINDOW_BYTES: u64 = 128 << 20;

/// Returns the archive in a layer of `size` bytes.
pub(super) fn layer<R: Read + 'static>(file: R, packing: Packing, size: u64) -> Box<dyn Read> {
    let file = BufReader::with_capacity(128 << 10, file);
    let most = size.saturating_mul(MAX_RATIO).max(FREE_BYTES);
    match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(Bounded {
            reader: MultiGzDecoder::new(file),
            size,
            left: most,
        }),
        Packing::Zstd => Box::new(Bounded {
            reader: Zstd::new(file),
            size,
            left: most,
        }),
    }
}

/// Stops a reader that gives too much.
struct Bounded<R> {
    reader: R,
    size: u64,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                let problem: Problem = bad_image(format!(
                    "a layer of {} bytes unpacks to more than {MAX_RATIO} times its size",
                    self.size
                ));
                return Err(io::Error::other(problem));
            }
        }
        Ok(count)
    }
}

/// A stream of zstd frames, one after the other, with others in between that say nothing.
pub(super) struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW_BYTES);
        Self {
            source,
            decoder,
            within: false,
        }
    }

    /// Begins the next frame; returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = Read::by_ref(&mut self.source).take(u64::from(length));
                    io::copy(&mut { skipped }, &mut io::sink())?;
                }
                Err(error) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        error.to_string(),
                    ));
                }
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        loop {
            if !self.within {
                if !self.begin()? {
                    return Ok(0);
                }
                self.within = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, UptoBlocks(1))
                    .map_err(|error| {
                        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
                    })?;
            }
            let count = Read::read(&mut self.decoder, buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.within = false;
        }
    }
}

#[cfg(test)]
mod tests;
