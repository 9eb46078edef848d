use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn params(line: &str) -> Params {
    Params::parse(line.as_bytes()).unwrap()
}

#[track_caller]
fn check(line: &str, word: &str, expect: &str) {
    let filled = params(line).fill(&[word.to_owned()]).unwrap();
    assert_eq!(filled.command, [expect], "{word} of {line}");
    assert_eq!(filled.line, line, "as it was written");
}

#[test]
fn values_go_where_their_keys_are_named() {
    let line = r#" {"lr": 1e-3, "seed":10, "name" : "a b\n\u00e9", "on": true, "none": null, "l": [1, {"x":2}]} "#;
    check(line, "--lr={lr}", "--lr=1e-3");
    check(line, "{seed}{seed}/{name}", "1010/a b\n\u{e9}");
    check(line, "{on} {none} {l}", "true null [1, {\"x\":2}]");
    check(line, "{LR} {print $1} {} {lr", "{LR} {print $1} {} {lr");
    check(
        line,
        "{{lr}} {lr}} ${lr} $x{lr}",
        "{1e-3} 1e-3} ${lr} $x1e-3",
    );
    check(r#"{"a-b.c_1": "x", "größe": 2}"#, "{a-b.c_1}{größe}", "x2");
    check("{}", "{a}", "{a}");
    check(
        r#"{"big": 123456789012345678901234567890}"#,
        "{big}",
        "123456789012345678901234567890",
    );
}

#[test]
fn a_value_is_not_looked_at_again() {
    check(r#"{"a": "{b}", "b": "{a}"}"#, "{a}{b}", "{b}{a}");
    check(r#"{"a": "{", "b": "x"}"#, "{a}b}", "{b}");
}

#[test]
fn a_line_that_is_no_object_says_what_it_is() {
    let check = |line: &[u8], expect: &str| {
        let error = Params::parse(line).unwrap_err().to_string();
        assert_eq!(error, expect, "{}", String::from_utf8_lossy(line));
    };
    check(b"", "is blank; line 1 is task 0, and each task has one");
    check(b" \t", "is blank; line 1 is task 0, and each task has one");
    check(b"[1]", "is JSON, but not an object");
    check(b"7", "is JSON, but not an object");
    check(b"lr=1", "is not JSON: expected value (column 1)");
    check(b"{\"a\": }", "is not JSON: expected value (column 7)");
    check(
        b"{\"a\": 1",
        "is not JSON: EOF while parsing an object (column 7)",
    );
    check(b"{} {}", "is not JSON: trailing characters (column 4)");
    check(b"{\"a\": 1, \"a\": 2}", "has the key \"a\" twice");
    check(b"{\"a\": \"\xff\"}", "is not UTF-8");
    check(
        b"{\"a\0\": 1}",
        "is not JSON: control character (\\u0000-\\u001F) found while parsing a string (column 3)",
    );
    let error = Params::parse(br#"{"a": "\ud800"}"#).unwrap_err();
    assert!(matches!(error, InvalidParams::NotJson(_)), "{error}");
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_LINE_BYTES));
    check(long.as_bytes(), "is longer than 64 KiB");
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(params(&deep).has("a"), "no stack is used up by it");
}

#[test]
fn what_a_command_cannot_hold_is_refused() {
    let fill = |line: &str, command: &[&str]| {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        params(line).fill(&command).unwrap_err()
    };
    assert_eq!(
        fill(r#"{"a": "\u0000"}"#, &["x", "{a}"]),
        InvalidParams::Nul
    );
    assert_eq!(
        fill(r#"{"a": ""}"#, &["{a}", "y"]),
        InvalidParams::NoProgram
    );
    let line = format!("{{\"a\": \"{}\"}}", "x".repeat(60 << 10));
    let word = "{a}".repeat(80_000);
    assert_eq!(fill(&line, &["x", &word]), InvalidParams::CommandTooLong);
    let whole = params(&line).fill(&["{a}".repeat(4)]).unwrap();
    assert_eq!(whole.command[0].len(), 240 << 10);
}

#[test]
fn names_are_found_in_order() {
    let found: Vec<&str> = names("{a}{b c}${d}{e}{{f}}{g").collect();
    assert_eq!(found, ["a", "e", "f"]);
}

proptest! {
    #[test]
    fn whatever_the_text_nothing_panics_and_the_rest_stays(
        values in prop::collection::btree_map("[a-c.]{1,2}", "[{}$a-c\\x00-\\x10é]{0,6}", 0..4),
        word in "[{}$a-cé. ]{0,24}",
    ) {
        let map: Map<String, Value> =
            values.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let params = params(&Value::Object(map).to_string());
        prop_assert!(params.keys().eq(values.keys()));
        // Cut at the names, and joined with the values.
        let mut expect = String::new();
        let mut rest = word.as_str();
        for name in names(&word) {
            let whole = format!("{{{name}}}");
            let mut from = 0;
            let at = loop {
                let at = from + rest[from..].find(&whole).unwrap();
                if !rest[..at].ends_with('$') { break at; }
                from = at + 1;
            };
            expect.push_str(&rest[..at]);
            expect.push_str(values.get(name).unwrap_or(&whole));
            rest = &rest[at + whole.len()..];
        }
        expect.push_str(rest);
        match params.fill(&["x".to_owned(), word.clone()]) {
            Ok(filled) => prop_assert_eq!(&filled.command[1], &expect),
            Err(error) => prop_assert!(error == InvalidParams::Nul && expect.contains('\0')),
        }
    }

    #[test]
    fn no_line_makes_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Params::parse(&line);
    }

    #[test]
    fn what_looks_like_json_is_taken_apart_as_json_is(line in "[{}\\[\\]:,\" 0-9a-c.e\\\\-]{0,24}") {
        let whole: Result<Map<String, Value>, _> = serde_json::from_str(&line);
        if let Ok(params) = Params::parse(line.as_bytes()) {
            let whole = whole.unwrap();
            prop_assert!(params.keys().eq(whole.keys().map(String::as_str)));
        }
    }
}
