//! The wire as it was shipped: golden bytes of every kind, and what hostile bytes do.
//!
//! `tests/golden.txt` has one line per sample. A line that changes is an incompatible change: it needs a higher
//! version or a new kind. A new sample's line is printed by the test that misses it.

mod samples;

use std::{collections::BTreeSet, fmt::Debug, fmt::Write as _};

use proptest::{prelude::*, sample::Index};

use self::samples::samples;
use super::{
    data::Wanted,
    frame::{CODEC_BINCODE, HEADER_BYTES},
    *,
};
use crate::{code::Code, problem::Problem};

const GOLDEN: &str = include_str!("tests/golden.txt");

/// One message, as bytes, and how to read such bytes again.
struct Sample {
    name: &'static str,
    kind: Kind,
    frame: Vec<u8>,
    /// Decodes a payload; what can be decoded must come back from both codecs.
    read: fn(&[u8]) -> Result<(), DecodeError>,
}

impl Sample {
    fn new<M: Message + PartialEq + Debug>(name: &'static str, message: &M) -> Self {
        let frame = encode(message).unwrap();
        let decoded: M = decode(&header_of(&frame), &frame[HEADER_BYTES..]).unwrap();
        assert_eq!(decoded, *message, "{name}");
        Self {
            name,
            kind: M::KIND,
            frame,
            read: read::<M>,
        }
    }

    fn payload(&self) -> &[u8] {
        &self.frame[HEADER_BYTES..]
    }

    fn line(&self) -> String {
        let mut line = format!("{:?}/{} ", self.kind, self.name);
        for byte in &self.frame {
            write!(line, "{byte:02x}").unwrap();
        }
        line
    }
}

fn read<M: Message + PartialEq + Debug>(payload: &[u8]) -> Result<(), DecodeError> {
    let header = Header {
        length: u32::try_from(payload.len()).unwrap(),
        codec: CODEC_BINCODE,
        kind: M::KIND,
        version: M::VERSION,
    };
    let message: M = decode(&header, payload)?;
    let again = encode(&message).unwrap();
    assert_eq!(
        decode::<M>(&header_of(&again), &again[HEADER_BYTES..]).unwrap(),
        message
    );
    // The codec's announced successor carries the same types.
    let other = postcard::to_allocvec(&message).unwrap();
    assert_eq!(postcard::from_bytes::<M>(&other).unwrap(), message);
    Ok(())
}

fn header_of(frame: &[u8]) -> Header {
    let mut bytes = [0; HEADER_BYTES];
    bytes.copy_from_slice(&frame[..HEADER_BYTES]);
    Header::parse(bytes).unwrap()
}

#[test]
fn shipped_messages_keep_their_bytes() {
    let golden: BTreeSet<&str> = GOLDEN.lines().collect();
    let lines: Vec<String> = samples().iter().map(Sample::line).collect();
    let missing: Vec<&String> = lines
        .iter()
        .filter(|line| !golden.contains(line.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "not in golden.txt:\n{}",
        missing
            .into_iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(golden.len(), lines.len(), "golden.txt has lines too many");
}

#[test]
fn every_kind_has_a_sample() {
    let known: BTreeSet<Kind> = (0..=u16::MAX)
        .filter_map(|number| {
            let [high, low] = number.to_be_bytes();
            let header = Header::parse([0, 0, 0, 0, CODEC_BINCODE, high, low, 0, 1]);
            header.ok().map(|header| header.kind)
        })
        .collect();
    // Pieces are raw bytes and so no message.
    let mut covered = BTreeSet::from([Kind::Pieces]);
    covered.extend(samples().iter().map(|sample| sample.kind));
    assert_eq!(covered, known);
}

#[test]
fn a_payload_cut_anywhere_or_with_more_behind_it_is_an_error() {
    for sample in samples() {
        let payload = sample.payload();
        for cut in 0..payload.len() {
            let got = (sample.read)(&payload[..cut]);
            assert!(got.is_err(), "{} cut at {cut}", sample.name);
        }
        let mut longer = payload.to_vec();
        longer.push(0);
        assert!((sample.read)(&longer).is_err(), "{}", sample.name);
    }
}

#[test]
fn every_variant_beyond_the_last_is_an_error() {
    for sample in samples() {
        if matches!(
            sample.kind,
            Kind::Request | Kind::Answer | Kind::AgentMessage | Kind::CoordinatorMessage
        ) {
            // 250 is the largest number that one byte carries.
            let mut payload = sample.payload().to_vec();
            payload[0] = 250;
            assert!((sample.read)(&payload).is_err(), "{}", sample.name);
        }
    }
}

#[test]
fn a_claimed_length_beyond_what_came_is_an_error_and_no_allocation() {
    // A list that claims 2^62 entries.
    let mut payload = vec![253];
    payload.extend((1_u64 << 62).to_le_bytes());
    assert!(matches!(
        read::<Wanted>(&payload),
        Err(DecodeError::Malformed { .. })
    ));
    // One that claims as many as a frame may have bytes.
    let mut payload = vec![252];
    payload.extend((1_u32 << 20).to_le_bytes());
    assert!(read::<Wanted>(&payload).is_err());
}

#[test]
fn a_message_beyond_its_bound_cannot_be_sent() {
    let problem = Problem {
        code: Code::Io,
        what: "x".repeat(20_000),
        why: String::new(),
        help: String::new(),
    };
    assert_eq!(encode(&problem).unwrap_err().kind, Kind::Problem);
}

#[test]
fn versions_agree_on_the_highest_that_both_speak() {
    let range = |min, max| VersionRange { min, max };
    assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
    assert_eq!(range(1, 1).common(range(1, 1)), Some(1));
    assert_eq!(range(1, 2).common(range(3, 4)), None);
    assert_eq!(range(3, 4).common(range(1, 2)), None);
}

proptest! {
    #[test]
    fn hostile_bytes_are_an_error_or_a_message(bytes: Vec<u8>) {
        for sample in samples() {
            let _any = (sample.read)(&bytes);
        }
    }

    #[test]
    fn hostile_headers_are_an_error_or_a_header(bytes: [u8; HEADER_BYTES]) {
        if let Ok(header) = Header::parse(bytes) {
            prop_assert_eq!(header.to_bytes(), bytes);
        }
    }

    /// Messages that are nearly right reach deeper than noise does; those that can be read must come back.
    #[test]
    fn changed_messages_are_an_error_or_come_back(
        which: Index,
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let samples = samples();
        let sample = which.get(&samples);
        let mut payload = sample.payload().to_vec();
        for (at, byte) in changes {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        let _any = (sample.read)(&payload);
    }

    #[test]
    fn texts_and_numbers_of_any_kind_come_back(
        what: String, why: String, offset: u64, bytes: Vec<u8>,
        words in prop::collection::vec(any::<String>(), 0..4),
        variables in prop::collection::btree_map(any::<String>(), any::<String>(), 0..3),
    ) {
        let problem = Problem::new(Code::Other("x".to_owned()), what, why);
        prop_assert!(Sample::new("problem", &problem).frame.len() > HEADER_BYTES);
        Sample::new("log", &agent::LogData { offset, bytes });
        let mut job = samples::submit_job();
        job.spec.command = words;
        job.spec.env = variables;
        Sample::new("job", &crate::api::Request::SubmitJob(Box::new(job)));
    }
}
