use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use common::{
    api::{Answer, Request},
    wire::{Hello, agent::LogAck, agent::LogData, frame::CODEC_BINCODE},
};
use proptest::prelude::*;
use tokio::{
    io::{AsyncWriteExt as _, ReadBuf, duplex},
    time::timeout,
};

use super::*;

const ACK: LogAck = LogAck { offset: 1 << 40 };

fn frame_of(message: &impl Message) -> Vec<u8> {
    encode(message).unwrap()
}

fn header(length: u32, codec: u8, kind: Kind, version: u16) -> Vec<u8> {
    let header = Header {
        length,
        codec,
        kind,
        version,
    };
    header.to_bytes().to_vec()
}

fn pieces(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let mut frame = header(length, CODEC_RAW, Kind::Pieces, PIECES_VERSION);
    frame.extend_from_slice(bytes);
    frame
}

/// Gives at most so many bytes at a time, in turn, and makes its reader wait before each.
struct Trickle<'a> {
    bytes: &'a [u8],
    steps: Vec<usize>,
    turn: usize,
    waited: bool,
}

impl<'a> Trickle<'a> {
    fn new(bytes: &'a [u8], steps: Vec<usize>) -> Self {
        Self {
            bytes,
            steps,
            turn: 0,
            waited: false,
        }
    }
}

impl AsyncRead for Trickle<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let step = self.steps[self.turn % self.steps.len()].max(1);
        self.turn += 1;
        let count = step.min(self.bytes.len()).min(buffer.remaining());
        let (now, later) = self.bytes.split_at(count);
        buffer.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

/// What a receiver of an `M` makes of these bytes.
async fn receive<M: Message>(bytes: &[u8]) -> Result<Option<M>, RecvError> {
    FrameReceiver::new(bytes).recv().await
}

async fn receive_pieces(bytes: &[u8]) -> Result<Option<Bytes>, RecvError> {
    FrameReceiver::new(bytes).pieces().await
}

#[tokio::test]
async fn a_frame_cut_anywhere_is_cut_and_a_clean_end_is_not() {
    let frame = frame_of(&Hello::ours());
    assert!(matches!(receive::<Hello>(&[]).await, Ok(None)));
    for cut in 1..frame.len() {
        let got = receive::<Hello>(&frame[..cut]).await;
        assert!(matches!(got, Err(RecvError::Cut)), "cut at {cut}: {got:?}");
    }
    assert_eq!(receive::<Hello>(&frame).await.unwrap(), Some(Hello::ours()));
    let frame = pieces(b"bytes");
    for cut in 1..frame.len() {
        let got = receive_pieces(&frame[..cut]).await;
        assert!(matches!(got, Err(RecvError::Cut)), "cut at {cut}: {got:?}");
    }
    let mut at_end = FrameReceiver::new(&[][..]);
    assert!(matches!(
        at_end.expect::<Hello>().await,
        Err(RecvError::Cut)
    ));
}

#[tokio::test]
async fn a_length_beyond_the_kinds_bound_is_refused_unread() {
    for length in [LogAck::MAX_BYTES + 1, u32::MAX] {
        let bytes = header(length, CODEC_BINCODE, Kind::LogAck, 1);
        match receive::<LogAck>(&bytes).await {
            Err(RecvError::Decode(DecodeError::TooLong {
                length: told, most, ..
            })) => {
                assert_eq!((told, most), (length, LogAck::MAX_BYTES));
            }
            other => panic!("{other:?}"),
        }
    }
    let nothing = header(0, CODEC_BINCODE, Kind::LogAck, 1);
    assert!(matches!(
        receive::<LogAck>(&nothing).await,
        Err(RecvError::Decode(DecodeError::Malformed { .. }))
    ));
    // As long as one may be, but not all of it is the message.
    let mut padded = header(LogAck::MAX_BYTES, CODEC_BINCODE, Kind::LogAck, 1);
    padded.resize(HEADER_BYTES + LogAck::MAX_BYTES as usize, 0);
    assert!(matches!(
        receive::<LogAck>(&padded).await,
        Err(RecvError::Decode(DecodeError::Malformed { .. }))
    ));
}

#[tokio::test]
async fn a_claimed_length_costs_nothing_until_the_bytes_come() {
    let mut bytes = header(
        Answer::MAX_BYTES,
        CODEC_BINCODE,
        Kind::Answer,
        Answer::VERSION,
    );
    bytes.extend([0; 100]);
    let (mut writer, reader) = duplex(4096);
    writer.write_all(&bytes).await.unwrap();
    let mut receiver = FrameReceiver::new(reader);
    let waiting = timeout(Duration::ZERO, receiver.recv::<Answer>()).await;
    assert!(waiting.is_err());
    assert!(receiver.buffer.capacity() <= 2 * LEAST_STEP_BYTES);
    drop(writer);
    assert!(matches!(
        receiver.recv::<Answer>().await,
        Err(RecvError::Cut)
    ));
}

#[tokio::test]
async fn an_idle_stream_holds_no_memory() {
    let big = LogData {
        offset: 0,
        bytes: vec![7; 256 << 10],
    };
    let (mut writer, reader) = duplex(1 << 20);
    writer.write_all(&frame_of(&big)).await.unwrap();
    let mut receiver = FrameReceiver::new(reader);
    assert_eq!(receiver.expect::<LogData>().await.unwrap(), big);
    let idle = timeout(Duration::ZERO, receiver.recv::<LogData>()).await;
    assert!(idle.is_err());
    assert!(receiver.buffer.capacity() <= READ_AHEAD_BYTES);
}

#[tokio::test]
async fn unknown_kinds_codecs_and_versions_are_told_apart() {
    let payload = &frame_of(&ACK)[HEADER_BYTES..];
    let length = u32::try_from(payload.len()).unwrap();
    let with = |codec: u8, kind: u16, version: u16| {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.push(codec);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(version.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    };
    let (ack, wanted) = (Kind::LogAck as u16, Kind::Wanted as u16);
    assert_eq!(
        receive::<LogAck>(&with(1, ack, 1)).await.unwrap(),
        Some(ACK)
    );
    for (bytes, expect) in [
        (with(1, 999, 1), DecodeError::UnknownKind(999)),
        (with(9, ack, 1), DecodeError::UnknownCodec(9)),
        (
            with(CODEC_RAW, ack, 1),
            DecodeError::UnknownCodec(CODEC_RAW),
        ),
        (
            with(1, ack, 2),
            DecodeError::UnknownVersion {
                kind: Kind::LogAck,
                version: 2,
            },
        ),
        (
            with(1, wanted, 1),
            DecodeError::UnexpectedKind {
                expected: Kind::LogAck,
                found: Kind::Wanted,
            },
        ),
    ] {
        match receive::<LogAck>(&bytes).await {
            Err(RecvError::Decode(error)) => assert_eq!(error, expect),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn pieces_are_raw_and_bounded() {
    let most = vec![7; PIECES_BYTES as usize];
    for bytes in [&[][..], b"x", &most] {
        let got = receive_pieces(&pieces(bytes)).await.unwrap().unwrap();
        assert_eq!(&got[..], bytes);
    }
    for (length, codec, version) in [
        (PIECES_BYTES + 1, CODEC_RAW, 1),
        (u32::MAX, CODEC_RAW, 1),
        (8, CODEC_BINCODE, 1),
        (8, CODEC_RAW, 2),
    ] {
        let mut bytes = header(length, codec, Kind::Pieces, version);
        bytes.extend([0; 64]);
        let got = receive_pieces(&bytes).await;
        assert!(
            matches!(got, Err(RecvError::Decode(_))),
            "{length} {codec} {version}: {got:?}"
        );
    }
    assert!(matches!(
        receive_pieces(&frame_of(&ACK)).await,
        Err(RecvError::Decode(DecodeError::UnexpectedKind { .. }))
    ));
}

#[tokio::test]
async fn a_problem_in_place_of_anything_is_a_refusal() {
    let problem = Problem::new(Code::NotFound, "cannot show it", "there is no such job");
    let frame = frame_of(&problem);
    match receive::<Answer>(&frame).await {
        Err(RecvError::Refused(told)) => assert_eq!(told, problem),
        other => panic!("{other:?}"),
    }
    match receive_pieces(&frame).await {
        Err(error @ RecvError::Refused(_)) => assert_eq!(Problem::from(error), problem),
        other => panic!("{other:?}"),
    }
    assert_eq!(receive::<Problem>(&frame).await.unwrap(), Some(problem));
}

#[tokio::test]
async fn waiting_may_be_given_up_at_every_byte() {
    let hello = Hello::ours();
    let frame = frame_of(&hello);
    for cut in 0..frame.len() {
        let (mut writer, reader) = duplex(4096);
        let mut receiver = FrameReceiver::new(reader);
        writer.write_all(&frame[..cut]).await.unwrap();
        let early = timeout(Duration::ZERO, receiver.recv::<Hello>()).await;
        assert!(early.is_err(), "cut at {cut}");
        writer.write_all(&frame[cut..]).await.unwrap();
        assert_eq!(receiver.expect::<Hello>().await.unwrap(), hello);
    }
}

#[test]
fn every_loss_is_a_problem_with_a_code() {
    let code = |error: RecvError| Problem::from(error).code;
    assert_eq!(code(RecvError::Cut), Code::Protocol);
    let newer = DecodeError::UnknownVersion {
        kind: Kind::Hello,
        version: 9,
    };
    assert_eq!(code(newer.into()), Code::Version);
    let lost = |error| RecvError::Lost(ReadError::ConnectionLost(error));
    assert_eq!(
        code(lost(quinn::ConnectionError::TimedOut)),
        Code::Unreachable
    );
    let too_large = EncodeError {
        kind: Kind::Request,
        reason: "too long".to_owned(),
    };
    assert_eq!(
        Problem::from(SendError::from(too_large)).code,
        Code::BadRequest
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

proptest! {
    #[test]
    fn hostile_bytes_are_an_error_or_messages(bytes: Vec<u8>, kind in 0_u16..50, length: u16) {
        // Once as they are, once behind a header that is nearly right.
        let mut framed = u32::from(length % 300).to_be_bytes().to_vec();
        framed.push(CODEC_BINCODE);
        framed.extend(kind.to_be_bytes());
        framed.extend([0, 1]);
        framed.extend_from_slice(&bytes);
        runtime().block_on(async {
            for bytes in [&bytes[..], &framed] {
                let _any = receive::<Request>(bytes).await;
                let _any = receive::<Answer>(bytes).await;
                let _any = receive::<LogData>(bytes).await;
                let _any = receive_pieces(bytes).await;
            }
        });
    }

    #[test]
    fn messages_and_pieces_come_back_however_they_are_cut(
        sent in prop::collection::vec((any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..1500)), 0..8),
        steps in prop::collection::vec(1_usize..2000, 1..8),
    ) {
        let mut wire = Vec::new();
        for (is_raw, number, bytes) in &sent {
            if *is_raw {
                wire.extend(pieces(bytes));
            } else {
                wire.extend(frame_of(&LogData { offset: u64::from(*number), bytes: bytes.clone() }));
            }
        }
        runtime().block_on(async {
            let mut receiver = FrameReceiver::new(Trickle::new(&wire, steps));
            for (is_raw, number, bytes) in &sent {
                if *is_raw {
                    prop_assert_eq!(receiver.kind().await.unwrap(), Some(Kind::Pieces));
                    let got = receiver.pieces().await.unwrap().unwrap();
                    prop_assert_eq!(&got[..], &bytes[..]);
                } else {
                    let got: LogData = receiver.expect().await.unwrap();
                    prop_assert_eq!((got.offset, &got.bytes), (u64::from(*number), bytes));
                }
            }
            prop_assert!(receiver.recv::<LogData>().await.unwrap().is_none());
            Ok(())
        })?;
    }
}
