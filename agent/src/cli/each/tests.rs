use std::fs;

use agent_core::params::OFFSET_BYTES;

use super::*;

fn each(text: &str) -> Each {
    text.parse().unwrap()
}

fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Takes these lines in, for that command.
fn copied(lines: &[u8], words: &[&str]) -> Result<(u32, Option<String>), Problem> {
    let folder = tempfile::tempdir().unwrap();
    copy(&each("p.jsonl"), lines, folder.path(), &command(words))
}

#[track_caller]
fn refused(lines: &[u8], words: &[&str], expect: &str) {
    let problem = copied(lines, words).unwrap_err();
    assert_eq!(problem.code, Code::BadParams);
    assert_eq!(problem.what, "p.jsonl cannot be used for the tasks");
    assert_eq!(problem.why, expect, "{}", String::from_utf8_lossy(lines));
}

#[test]
fn where_the_lines_are_is_read() {
    let file = |path: &str, parallel| Each {
        source: Source::File(path.into()),
        parallel,
    };
    assert_eq!(each("a/p.jsonl"), file("a/p.jsonl", None));
    assert_eq!(each("p.jsonl%8"), file("p.jsonl", Some(8)));
    assert_eq!(each("50%%8"), file("50%", Some(8)));
    assert_eq!(each("100%.jsonl"), file("100%.jsonl", None));
    assert!(each("-").is_stdin() && each("-%2").is_stdin() && !each("./-").is_stdin());
    let mut beside = each("p.jsonl%8");
    beside.beside(Path::new("/jobs"));
    assert_eq!(beside, file("/jobs/p.jsonl", Some(8)));
    let refused = |text: &str| text.parse::<Each>().unwrap_err().to_string();
    let nothing = "name a file with an object of JSON on each line, or - for the standard input";
    assert_eq!(
        (refused(""), refused("%8")),
        (nothing.to_owned(), nothing.to_owned())
    );
    for text in ["p%0", "p%4294967296"] {
        assert!(
            refused(text).contains("is no count of tasks at once"),
            "{text}"
        );
    }
}

#[test]
fn lines_are_kept_as_they_are_with_where_each_begins() {
    let folder = tempfile::tempdir().unwrap();
    let lines = b"{\"lr\": 0.10}\r\n {\"lr\":1e-3} \n{\"lr\": 2}";
    let words = command(&["train", "{lr}"]);
    let (count, note) = copy(&each("-"), &lines[..], folder.path(), &words).unwrap();
    assert_eq!((count, note), (3, None));
    let kept = fs::read(folder.path().join(LINES)).unwrap();
    assert_eq!(kept, b"{\"lr\": 0.10}\n {\"lr\":1e-3} \n{\"lr\": 2}\n");
    let offsets = fs::read(folder.path().join(OFFSETS)).unwrap();
    let expect: Vec<u8> = [0_u64, 13, 27, 37]
        .iter()
        .flat_map(|at| at.to_le_bytes())
        .collect();
    assert_eq!((offsets.len() as u64, offsets), (4 * OFFSET_BYTES, expect));
}

#[test]
fn the_first_line_that_is_of_no_use_is_named() {
    refused(
        b"",
        &["x"],
        "it has no lines, and an array has at least one task",
    );
    refused(
        b"{}\nlr=1\n",
        &["x"],
        "line 2 is not JSON: expected value (column 1)",
    );
    refused(
        b"{}\n\n{}\n",
        &["x"],
        "line 2 is blank; line 1 is task 0, and each task has one",
    );
    refused(
        b"{}\n{}\n[1]\n",
        &["x"],
        "line 3 is JSON, but not an object",
    );
    refused(b"{\"a\": \"\xff\"}\n", &["x"], "line 1 is not UTF-8");
    refused(
        b"{\"a\": \"\\u0000\"}\n",
        &["x", "{a}"],
        "line 1 puts a NUL byte into the command",
    );
    let long = |bytes: usize| format!("{{\"a\": \"{}\"}}\n", "x".repeat(bytes - 9));
    refused(
        long(MAX_LINE_BYTES + 1).as_bytes(),
        &["x"],
        "line 1 is longer than 64 KiB",
    );
    refused(
        long(MAX_LINE_BYTES + 100).as_bytes(),
        &["x"],
        "line 1 is longer than 64 KiB",
    );
    let longest = long(MAX_LINE_BYTES);
    assert_eq!(copied(longest.as_bytes(), &["x"]).unwrap().0, 1);
    let words = ["x", "{a}{a}{a}{a}{a}"];
    refused(
        longest.as_bytes(),
        &words,
        "line 1 makes the command longer than 256 KiB",
    );
    let many = "{}\n".repeat(MAX_TASKS as usize + 1);
    let expect = "it has more than 1000000 lines, the most tasks of an array";
    refused(many.as_bytes(), &["x"], expect);
}

#[test]
fn a_key_of_some_lines_is_missed_in_the_others() {
    let lines = b"{\"lr\": 1, \"seed\": 2}\n{\"lr\": 1}\n{\"seed\": 1}\n";
    let expect = "line 2 has no \"seed\", which the command names and line 1 has";
    refused(lines, &["x", "{seed}"], expect);
    assert_eq!(copied(lines, &["x", "${seed}"]).unwrap(), (3, None));
    let note = |words: &[&str]| copied(lines, words).unwrap().1;
    assert_eq!(note(&["awk", "{print}"]), None);
    let expect = "No line has \"sede\", so {sede} stays as it is; did you mean {seed}?";
    assert_eq!(note(&["x", "{sede}"]).as_deref(), Some(expect));
}

#[test]
fn an_array_chooses_lines() {
    let chosen = |text: &str| array(&each("p.jsonl%4"), Some(text.parse().unwrap()), 10);
    assert_eq!(
        array(&each("p.jsonl%4"), None, 10).unwrap().to_string(),
        "0-9%4"
    );
    assert_eq!(array(&each("p.jsonl"), None, 1).unwrap().to_string(), "0-0");
    assert_eq!(chosen("2-3,9").unwrap().to_string(), "2-3,9%4");
    assert_eq!(chosen("0-9%2").unwrap().to_string(), "0-9%2");
    for (text, task) in [("3-10", 10), ("0-2,17-18", 17)] {
        let problem = chosen(text).unwrap_err();
        let expect = format!(
            "it has 10 lines, and task {task} would be line {}",
            task + 1
        );
        assert_eq!(problem.why, expect);
    }
}

#[test]
fn a_job_on_several_machines_has_no_task_for_each_line() {
    let on = |nodes| JobSpec {
        nodes,
        ..JobSpec::of(command(&["true"]))
    };
    let file = each("p.jsonl");
    assert!(check(&file, &on(None)).is_ok() && check(&file, &on(Some(1))).is_ok());
    let problem = check(&file, &on(Some(4))).unwrap_err();
    assert_eq!(problem.code, Code::BadParams);
    assert_eq!(problem.why, "the job is one on 4 machines at once");
}
