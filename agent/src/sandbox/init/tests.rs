use super::*;

#[test]
fn notes_come_back() {
    for note in [
        Note::Started,
        Note::Network,
        Note::Ended {
            status: 0x7f00,
            alone: true,
        },
        Note::NotRun {
            errno: 2,
            exists: true,
        },
        Note::Failed("cannot mount /proc".to_owned()),
    ] {
        assert_eq!(Note::decode(&note.encode()), Some(note));
    }
    assert_eq!(Note::decode(b""), None);
    assert_eq!(Note::decode(b"E123"), None);
}
