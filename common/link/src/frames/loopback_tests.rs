//! Frames over real streams: what arrives, and what is seen of a peer that goes away.

use common::wire::{Hello, agent::LogData, close};
use quinn::{ConnectionError, VarInt};

use super::*;
use crate::test_org::{Pair, pair};

/// Both ends of one stream; the first frame has gone over it.
async fn stream(pair: &Pair) -> (FrameSender, FrameReceiver) {
    let (mut sender, _) = split(pair.client.open_bi().await.unwrap());
    sender.send(&Hello::ours()).await.unwrap();
    let (_, mut receiver) = split(pair.server.accept_bi().await.unwrap());
    let hello: Hello = receiver.expect().await.unwrap();
    assert_eq!(hello, Hello::ours());
    (sender, receiver)
}

#[tokio::test]
async fn messages_and_raw_frames_of_every_size_arrive_in_order() {
    let pair = pair().await;
    let (mut sender, mut receiver) = stream(&pair).await;
    let sizes = [0, 1, 1199, 1200, 65_536, 256 << 10];
    let raw = [0, 1, 5000, PIECES_BYTES as usize];
    let send = async {
        for size in sizes {
            let bytes = vec![1; size];
            sender.send(&LogData { offset: 0, bytes }).await.unwrap();
        }
        for size in raw {
            let header = Header {
                length: u32::try_from(size).unwrap(),
                codec: CODEC_RAW,
                kind: Kind::Pieces,
                version: PIECES_VERSION,
            };
            let frame = [&header.to_bytes()[..], &vec![2; size]].concat();
            sender.send_frame(frame.into()).await.unwrap();
        }
        sender.finish();
        sender.delivered().await.unwrap();
    };
    let receive = async {
        for size in sizes {
            let data: LogData = receiver.expect().await.unwrap();
            assert_eq!(data.bytes, vec![1; size]);
        }
        for size in raw {
            let bytes = receiver.pieces().await.unwrap().unwrap();
            assert_eq!(&bytes[..], &vec![2; size][..]);
        }
        assert!(receiver.pieces().await.unwrap().is_none());
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let pair = pair().await;
    let (mut sender, mut receiver) = stream(&pair).await;
    let large = LogData {
        offset: 0,
        bytes: vec![0; 400 << 10],
    };
    assert!(matches!(
        sender.send(&large).await,
        Err(SendError::Encode(_))
    ));
    // Nothing of it went out.
    sender.send(&Hello::ours()).await.unwrap();
    let hello: Hello = receiver.expect().await.unwrap();
    assert_eq!(hello, Hello::ours());
}

#[tokio::test]
async fn a_refusal_comes_and_then_the_end() {
    let pair = pair().await;
    let (mut sender, mut receiver) = stream(&pair).await;
    let problem = Problem::new(Code::Limit, "cannot run it", "too many jobs");
    sender.refuse(&problem).await.unwrap();
    match receiver.recv::<LogData>().await {
        Err(RecvError::Refused(told)) => assert_eq!(told, problem),
        other => panic!("{other:?}"),
    }
    assert!(receiver.recv::<LogData>().await.unwrap().is_none());
}

#[tokio::test]
async fn a_peer_that_gives_up_a_stream_is_seen_on_both_ends() {
    let pair = pair().await;
    let (mut sender, mut receiver) = stream(&pair).await;
    sender.stream.reset(VarInt::from_u32(7)).unwrap();
    match receiver.recv::<Hello>().await {
        Err(RecvError::Lost(ReadError::Reset(code))) => assert_eq!(code, VarInt::from_u32(7)),
        other => panic!("{other:?}"),
    }
    let (mut sender, receiver) = stream(&pair).await;
    drop(receiver);
    sender.delivered().await.unwrap();
    assert!(matches!(
        sender.send(&Hello::ours()).await,
        Err(SendError::Lost(WriteError::Stopped(_)))
    ));
}

#[tokio::test]
async fn a_closed_connection_is_lost_with_its_reason() {
    let pair = pair().await;
    let (mut sender, mut receiver) = stream(&pair).await;
    let gone = Problem::new(Code::CertificateRevoked, "", "it was removed");
    crate::refuse(&pair.server, close::UNAUTHORISED, &gone);
    let error = pair.client.closed().await;
    assert!(matches!(error, ConnectionError::ApplicationClosed(_)));
    let told = Problem::from(sender.send(&Hello::ours()).await.unwrap_err());
    assert_eq!(
        (told.code, told.why.as_str()),
        (Code::CertificateRevoked, "it was removed")
    );
    let own = Problem::from(receiver.recv::<Hello>().await.unwrap_err());
    assert_eq!(own.code, Code::Cancelled);
}
