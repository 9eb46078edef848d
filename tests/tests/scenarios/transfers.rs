//! Folders on their way, and whoever is killed meanwhile.

use std::{fs, path::Path};

use compute_share_tests::{Org, until};

/// What goes up: large enough that it takes a while.
const FILES: u32 = 3;
const FILE_BYTES: usize = 48 << 20;

/// Writes files of bytes that neither compress nor repeat.
fn fill(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..FILES {
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        while bytes.len() < FILE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
}

/// Returns how much the coordinator has stored of data.
fn stored(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => stored(&entry.path()),
        Ok(found)
            if entry
                .path()
                .parent()
                .is_some_and(|folder| folder.ends_with("packs")) =>
        {
            found.len()
        }
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

#[test]
fn an_upload_that_is_killed_at_either_end_sends_only_the_rest() {
    let mut org = Org::start();
    let data = org.folder().join("data");
    fill(&data);
    let arguments = ["dataset", "upload", data.to_str().unwrap(), "--name", "d"];
    let whole = u64::from(FILES) * FILE_BYTES as u64;

    let mut upload = org.alice.background("first upload", &arguments);
    until("something to be stored", || {
        (stored(org.coordinator.data()) > whole / 8).then_some(())
    });
    upload.kill();
    org.alice
        .run(&["dataset", "show", "d"])
        .expect_refusal(4, "not_found");

    let mut upload = org.alice.background("second upload", &arguments);
    until("more to be stored", || {
        (stored(org.coordinator.data()) > whole / 2).then_some(())
    });
    org.coordinator.daemon.kill();
    assert!(!upload.wait().success());
    org.coordinator.restart();
    until("the coordinator to answer", || {
        org.alice.run(&["ps"]).succeeded()
    });

    org.alice.run(&arguments).expect_success();
    let kept = stored(org.coordinator.data());
    // What was on its way when somebody was killed may have been written and not noted.
    assert!(kept < whole + whole / 2, "{kept} of {whole}");
    let shown = org.alice.json(&["dataset", "show", "d"]);
    assert_eq!(shown["versions"][0]["files"], FILES);
    let back = org.folder().join("back");
    org.alice
        .run(&["dataset", "download", "d", "--to", back.to_str().unwrap()])
        .expect_success();
    for number in 0..FILES {
        let read = |folder: &Path| fs::read(folder.join(number.to_string())).unwrap();
        assert!(read(&data) == read(&back), "file {number}");
    }
    // The same once more: nothing is new.
    org.alice.run(&arguments).expect_success();
    assert_eq!(stored(org.coordinator.data()), kept);
}
