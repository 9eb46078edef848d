use common::tree::chunk_id;

use super::*;

/// A tree of files, each with a chunk for each letter: `a` is a byte long, `b` two.
fn manifest(files: &[(&str, &str)]) -> Manifest {
    let file = |(path, letters): &(&str, &str)| Entry {
        path: path.parse().unwrap(),
        kind: EntryKind::File {
            executable: false,
            chunks: letters
                .bytes()
                .map(|letter| ChunkRef {
                    id: chunk_id(&[letter]),
                    bytes: u32::from(letter - b'a') + 1,
                })
                .collect(),
        },
    };
    Manifest::new(Tree::new(files.iter().map(file).collect()).unwrap()).unwrap()
}

/// Returns what `ours` gets of several trees: which files are whose, and where each chunk stands, by ordinal.
fn lent(ours: &[(&str, &str)], theirs: &[&[(&str, &str)]]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let ours = manifest(ours);
    let mut wishes = Wishes::of(&ours);
    for theirs in theirs {
        wishes.ask(folder.path(), manifest(theirs).tree()).unwrap();
    }
    let donors = wishes.into_donors();
    let name = |source: &Source| format!("{}/{}", source.folder, source.path);
    let entries = ours.tree().entries().iter().enumerate();
    let files = entries.filter_map(|(index, entry)| {
        let source = donors.file(index)?;
        Some(format!("{} = {}", entry.path, name(source)))
    });
    let chunks = donors.chunks().iter().map(|(ordinal, spot)| {
        let source = &donors.sources[spot.source];
        format!("{ordinal}: {} {}", name(source), spot.offset)
    });
    files.chain(chunks).collect()
}

#[test]
fn files_come_by_name_or_by_content_and_chunks_from_where_they_stand() {
    let check = |ours: &[(&str, &str)], theirs: &[&[(&str, &str)]], expect: &[&str]| {
        assert_eq!(lent(ours, theirs), expect, "{ours:?} of {theirs:?}");
    };
    check(&[("f", "abc")], &[&[("f", "abc")]], &["f = 0/f"]);
    check(&[("new", "abc")], &[&[("old", "abc")]], &["new = 0/old"]);
    let changed = ["0: 0/f 0", "1: 0/f 1", "3: 0/f 6"];
    check(&[("f", "abzd")], &[&[("f", "abcd")]], &changed);
    let moved = ["0: 0/f 3", "1: 0/f 0", "2: 0/f 1"];
    check(&[("f", "cab")], &[&[("f", "abc")]], &moved);
    check(&[("f", "abax")], &[&[("f", "acay")]], &["0: 0/f 0"]);
    // One tree after the other, and each for what those before did not have.
    let three: [&[(&str, &str)]; 3] = [&[("f", "ax")], &[("y", "y")], &[("h", "abcd"), ("g", "e")]];
    let both = ["g = 1/g", "0: 0/f 0", "1: 1/h 1", "2: 1/h 3"];
    check(&[("f", "abc"), ("g", "e")], &three, &both);
}
