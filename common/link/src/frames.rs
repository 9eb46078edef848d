//! Streams of frames: whole messages in, whole messages out.
//!
//! A sender writes a frame to its end before the next. A receiver checks every length before it reads or allocates for
//! it, and keeps what has arrived of a frame, so that waiting for one may be given up (`select!`) and begun again.

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use common::{
    code::Code,
    problem::Problem,
    wire::{
        DecodeError, EncodeError, Header, Kind, Message,
        data::PIECES_BYTES,
        decode, encode,
        frame::{CODEC_RAW, HEADER_BYTES},
    },
};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::close_problem;

pub(crate) const PIECES_VERSION: u16 = 1;

/// Most bytes that are read beyond a header, so that small messages arrive in one read. An idle stream holds no
/// more than that.
const READ_AHEAD_BYTES: usize = 1 << 10;
/// Memory for a payload is at first for so many bytes, so that a claimed length alone costs nothing.
const LEAST_STEP_BYTES: usize = 64 << 10;
/// Then it grows to so many times what has arrived: that is copied, so it should be seldom.
const GROWTH: usize = 16;

/// Wraps both halves of a stream.
pub fn split((send, recv): (SendStream, RecvStream)) -> (FrameSender, FrameReceiver) {
    (FrameSender::new(send), FrameReceiver::new(recv))
}

/// Sends frames on a stream.
///
/// What was begun must be awaited to its end: after a `send` that was given up, the stream is of no more use.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
}

impl FrameSender {
    pub const fn new(stream: SendStream) -> Self {
        Self { stream }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The message is too large for its kind, or the other side does not read any more.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), SendError> {
        self.send_frame(encode(message)?.into()).await
    }

    /// Says that what was asked for cannot be done, and that this is all.
    ///
    /// # Errors
    /// As for [`FrameSender::send`].
    pub async fn refuse(&mut self, problem: &Problem) -> Result<(), SendError> {
        self.send(problem).await?;
        self.finish();
        Ok(())
    }

    /// Sends a frame that was made before.
    ///
    /// # Errors
    /// The other side does not read any more.
    pub async fn send_frame(&mut self, frame: Bytes) -> Result<(), SendError> {
        self.stream
            .write_chunk(frame)
            .await
            .map_err(SendError::Lost)
    }

    /// Sends a frame that was made before, in parts that lie somewhere and are sent from there. As all else that was
    /// begun, it must be awaited to its end.
    ///
    /// # Errors
    /// The other side does not read any more.
    pub async fn send_parts(&mut self, mut parts: Vec<Bytes>) -> Result<(), SendError> {
        let sent = self.stream.write_all_chunks(&mut parts).await;
        sent.map_err(SendError::Lost)
    }

    /// Returns the stream's number, the same on both sides of its connection.
    pub fn number(&self) -> u64 {
        quinn::VarInt::from(self.stream.id()).into_inner()
    }

    /// Says that nothing more will come. The other side then sees a clean end.
    pub fn finish(&mut self) {
        // The only error is that it was finished before.
        let _finished = self.stream.finish();
    }

    /// Waits until everything up to [`FrameSender::finish`] has arrived, or the other side does not want it.
    ///
    /// # Errors
    /// The connection was lost first.
    pub async fn delivered(&mut self) -> Result<(), SendError> {
        match self.stream.stopped().await {
            Ok(_) => Ok(()),
            Err(error) => Err(SendError::Lost(error.into())),
        }
    }
}

/// Receives frames from a stream.
#[derive(Debug)]
pub struct FrameReceiver<R = RecvStream> {
    stream: R,
    /// What has arrived and was not yet asked for: never more than one frame and [`READ_AHEAD_BYTES`].
    buffer: BytesMut,
}

impl<R> FrameReceiver<R> {
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }
}

impl<R: AsyncRead + Unpin> FrameReceiver<R> {
    /// Returns the next message, or `None` at a clean end. May be given up and called again.
    ///
    /// After an error the stream is of no more use.
    ///
    /// # Errors
    /// See [`RecvError`]; a problem in place of the message is [`RecvError::Refused`].
    pub async fn recv<M: Message>(&mut self) -> Result<Option<M>, RecvError> {
        let Some(header) = self.header().await? else {
            return Ok(None);
        };
        if header.kind == Kind::Problem && M::KIND != Kind::Problem {
            return Err(self.problem(&header).await);
        }
        self.message(&header).await.map(Some)
    }

    /// Returns the next message where an end would be a mistake.
    ///
    /// # Errors
    /// As for [`FrameReceiver::recv`]; an end is [`RecvError::Cut`].
    pub async fn expect<M: Message>(&mut self) -> Result<M, RecvError> {
        self.recv().await?.ok_or(RecvError::Cut)
    }

    /// Returns what the next frame carries, which stays where it is, or `None` at a clean end. For streams that carry
    /// more than one kind.
    ///
    /// # Errors
    /// As for [`FrameReceiver::recv`].
    pub async fn kind(&mut self) -> Result<Option<Kind>, RecvError> {
        let Some(header) = self.header().await? else {
            return Ok(None);
        };
        if header.kind == Kind::Problem {
            return Err(self.problem(&header).await);
        }
        Ok(Some(header.kind))
    }

    /// Returns the payload of the next frame of pieces, or `None` at a clean end.
    ///
    /// # Errors
    /// As for [`FrameReceiver::recv`].
    pub async fn pieces(&mut self) -> Result<Option<Bytes>, RecvError> {
        let Some(header) = self.header().await? else {
            return Ok(None);
        };
        if header.kind == Kind::Problem {
            return Err(self.problem(&header).await);
        }
        let length = check_pieces(&header)?;
        self.payload(length).await.map(Some)
    }

    /// Reads the next header, and leaves it in the buffer until its payload is there too.
    async fn header(&mut self) -> Result<Option<Header>, RecvError> {
        while self.buffer.len() < HEADER_BYTES {
            if self.fill(READ_AHEAD_BYTES).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(RecvError::Cut)
                };
            }
        }
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&self.buffer[..HEADER_BYTES]);
        Ok(Some(Header::parse(bytes)?))
    }

    async fn message<M: Message>(&mut self, header: &Header) -> Result<M, RecvError> {
        let payload = self.payload(header.expect::<M>()?).await?;
        Ok(decode(header, &payload)?)
    }

    async fn problem(&mut self, header: &Header) -> RecvError {
        self.message(header)
            .await
            .map_or_else(|error| error, RecvError::Refused)
    }

    /// Takes the header and a payload of `length` bytes, which was checked, out of the buffer.
    async fn payload(&mut self, length: usize) -> Result<Bytes, RecvError> {
        let whole = HEADER_BYTES + length;
        while self.buffer.len() < whole {
            let missing = whole - self.buffer.len();
            let step = missing.min(((GROWTH - 1) * self.buffer.len()).max(LEAST_STEP_BYTES));
            if self.fill(step).await? == 0 {
                return Err(RecvError::Cut);
            }
        }
        let mut frame = self.buffer.split_to(whole).freeze();
        if self.buffer.is_empty() {
            // Not kept for the next frame: an idle stream should hold nothing.
            self.buffer = BytesMut::new();
        }
        frame.advance(HEADER_BYTES);
        Ok(frame)
    }

    /// Reads at most `most` bytes into the buffer; 0 is the end of the stream.
    async fn fill(&mut self, most: usize) -> Result<usize, RecvError> {
        self.buffer.reserve(most);
        let mut room = (&mut self.buffer).limit(most);
        self.stream.read_buf(&mut room).await.map_err(lost)
    }
}

fn check_pieces(header: &Header) -> Result<usize, DecodeError> {
    if header.kind != Kind::Pieces {
        Err(DecodeError::UnexpectedKind {
            expected: Kind::Pieces,
            found: header.kind,
        })
    } else if header.codec != CODEC_RAW {
        Err(DecodeError::UnknownCodec(header.codec))
    } else if header.version != PIECES_VERSION {
        Err(DecodeError::UnknownVersion {
            kind: header.kind,
            version: header.version,
        })
    } else if header.length > PIECES_BYTES {
        Err(DecodeError::TooLong {
            kind: header.kind,
            length: header.length,
            most: PIECES_BYTES,
        })
    } else {
        Ok(header.length as usize)
    }
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the stream was lost")]
    Lost(#[source] WriteError),
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// The other side says that it cannot be done.
    #[error(transparent)]
    Refused(Problem),
    /// What came is not what it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The stream ended in the middle of a frame, or where one was expected.
    #[error("the stream ended too early")]
    Cut,
    #[error("the stream was lost")]
    Lost(#[source] ReadError),
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Encode(error) => {
                Self::new(Code::BadRequest, "cannot send this", error.to_string())
            }
            SendError::Lost(WriteError::ConnectionLost(error)) => close_problem(&error),
            SendError::Lost(error) => {
                Self::new(Code::Protocol, "cannot send any more", error.to_string())
            }
        }
    }
}

impl From<RecvError> for Problem {
    fn from(error: RecvError) -> Self {
        let what = "cannot understand the other side";
        match error {
            RecvError::Refused(problem) => problem,
            RecvError::Lost(ReadError::ConnectionLost(error)) => close_problem(&error),
            RecvError::Decode(DecodeError::UnknownVersion { kind, version }) => Self::new(
                Code::Version,
                what,
                format!("a {kind:?} message of unknown version {version}"),
            ),
            RecvError::Decode(_) | RecvError::Cut | RecvError::Lost(_) => {
                Self::new(Code::Protocol, what, error.to_string())
            }
        }
    }
}

fn lost(error: io::Error) -> RecvError {
    let inner = error
        .into_inner()
        .map(|inner| inner.downcast::<ReadError>());
    match inner {
        Some(Ok(error)) => RecvError::Lost(*error),
        // Only a stream that is not quinn's can fail in any other way.
        _ => RecvError::Lost(ReadError::ClosedStream),
    }
}

#[cfg(test)]
mod loopback_tests;
#[cfg(test)]
mod tests;
