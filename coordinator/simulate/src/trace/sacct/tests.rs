use super::*;

const HEADER: &str = "JobID|User|Submit|ElapsedRaw|AllocCPUS|ReqMem|TimelimitRaw|State";

fn read_lines(lines: &str) -> Result<Trace, Problem> {
    let pool = Pool::parse("10x8:32GiB").unwrap();
    let text = format!("{HEADER}\n{lines}\n");
    read("log", &text, Some(pool), MAX_MS).map(|(trace, _)| trace)
}

#[test]
fn jobs_are_read_and_steps_skipped() {
    let trace = read_lines(
        "12|ada|2024-03-05T10:00:00|90|4|2Gc|10|COMPLETED\n\
         12.batch||2024-03-05T10:00:00|90|4|||COMPLETED\n\
         13_2|bob|2024-03-05T10:01:00|60|1|4000Mn|Partition_Limit|FAILED\n\
         14|bob|2024-03-05T10:02:00|0|1|1G|5|CANCELLED by 7\n\
         15|bob|2024-03-05T10:02:00|7|1|1G|5|RUNNING",
    );
    let trace = trace.unwrap();
    assert_eq!(trace.members, ["ada", "bob"]);
    let [first, second] = &trace.jobs[..] else {
        panic!("{trace:?}")
    };
    assert_eq!(
        (first.submit_ms, first.runs_ms[0], first.limit_ms),
        (0, 90_000, 600_000)
    );
    assert_eq!(first.ask.memory, common::units::Bytes::gib(8));
    assert_eq!((second.submit_ms, second.limit_ms), (60_000, 60_000));
    assert_eq!(second.ask.memory, common::units::Bytes::mib(4000));
    assert!(
        trace
            .notes
            .iter()
            .any(|note| note == "jobs that never ran, left out: 2"),
        "{:?}",
        trace.notes
    );
}

#[test]
fn columns_have_other_forms() {
    let pool = || Some(Pool::parse("1x8:32GiB").unwrap());
    let text = "State|End|Start|Submit|User|ReqCPUS|JobID|Timelimit\n\
                DONE|2024-03-06T00:00:01|2024-03-05T23:00:00|2024-03-05T10:00:00|ada|2|1|1-02:00:00\n\
                DONE|Unknown|Unknown|2024-03-05T10:00:00|ada|2|2|UNLIMITED\n";
    let (trace, _) = read("log", text, pool(), MAX_MS).unwrap();
    assert_eq!(trace.jobs.len(), 1);
    assert_eq!(
        (trace.jobs[0].runs_ms[0], trace.jobs[0].limit_ms),
        (3_601_000, 93_600_000)
    );
    assert_eq!(duration("Elapsed", "05:07.003"), Ok(Some(307_000)));
}

#[test]
fn a_bad_line_is_named_with_what_was_expected() {
    #[track_caller]
    fn check(line: &str, expect: &str) {
        let problem = read_lines(line).unwrap_err();
        assert!(problem.what.contains("line 2 of \"log\""), "{problem}");
        assert!(problem.why.contains(expect), "{line}: {problem}");
    }
    check("12|ada", "it has 2 fields, the first line 8");
    check("|ada|2024-03-05T10:00:00|90|4|2Gc|10|X", "JobID is empty");
    check(
        "12|ada|yesterday|90|4|2Gc|10|X",
        "Submit is \"yesterday\", not a moment",
    );
    check("12|ada|1024-03-05T10:00:00|90|4|2Gc|10|X", "not a moment");
    check(
        "12|ada|2024-03-05T10:00:00|-90|4|2Gc|10|X",
        "ElapsedRaw is \"-90\"",
    );
    check(
        "12|ada|2024-03-05T10:00:00|99999999999999999|4|2Gc|10|X",
        "ElapsedRaw",
    );
    check(
        "12|ada|2024-03-05T10:00:00|99999999|4|2Gc|10|X",
        "ElapsedRaw",
    );
    check(
        "12|ada|2024-03-05T10:00:00|90|four|2Gc|10|X",
        "\"four\" is not a number of processors",
    );
    for amount in ["2X", "G", "1.G", "1.xG", "-1G", "\u{7}1G", "é", "1.é5G"] {
        check(
            &format!("12|ada|2024-03-05T10:00:00|90|4|{amount}|10|X"),
            "ReqMem is",
        );
    }
    check(
        "12|ada|2024-03-05T10:00:00|90|4|2Gc|ten|X",
        "TimelimitRaw is \"ten\"",
    );
}

#[test]
fn a_header_that_lacks_a_column_is_refused() {
    #[track_caller]
    fn check(header: &str, expect: &str) {
        let problem = read("log", header, None, MAX_MS).unwrap_err();
        assert!(problem.why.contains(expect), "{header}: {problem}");
    }
    check("", "no column JobID");
    check("JobID|User|Submit|Elapsed", "no column AllocCPUS");
    check(
        "JobID|User|Submit|AllocCPUS|Start",
        "neither ElapsedRaw nor Elapsed",
    );
    check(HEADER, "does not say which machines");
}

#[test]
fn hostile_amounts_are_bounded() {
    let huge = "1|\u{1b}[31m\u{202e}ada|2024-03-05T10:00:00|90|1|18446744073709551615Tc|10|X";
    let trace = read_lines(huge).unwrap();
    assert_eq!(trace.members, ["[31mada"]);
    assert_eq!(trace.jobs[0].ask.memory, common::units::Bytes::gib(32));
    let many = "1|ada|2024-03-05T10:00:00|90|18446744073709551615|1G|10|X";
    assert!(read_lines(many).unwrap_err().why.contains("more than"));
}
