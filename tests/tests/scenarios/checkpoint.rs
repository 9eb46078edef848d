//! A job that gives way writes down how far it is, and goes on from there: nothing that it did is lost.

use compute_share_tests::until;

use crate::preemption::Crowded;

/// Counts for ever, writes down how far it is when it is asked to, and ends once it goes on from there.
const COUNTING: &str = "
    n=$(cat /output/count 2>/dev/null || echo 0)
    trap 'echo $n > /output/count; exit 3' USR1
    echo from $n, restored: $COMPUTE_SHARE_RESTORED
    test $n -gt 0 && test -f partial && exit 9
    test $n -gt 0 && exit 0
    echo of an earlier try > partial
    while :; do n=$((n + 1)); sleep 0.05; done";

#[test]
fn a_job_that_gives_way_goes_on_from_what_it_wrote_down() {
    let crowded = Crowded::start();
    let org = &crowded.org;
    let (bob, carol) = (org.join("bob"), org.join("carol"));
    let writes = ["--priority", "low", "--checkpoint", "USR1:60s"];
    let declared = ["--output", "partial"];
    let low = crowded.submit(&bob, &[&writes[..], &declared].concat(), COUNTING);
    until("the first job to count", || {
        let log = bob.run(&["logs", &low]).stdout;
        log.contains("from 0, restored:").then_some(())
    });
    let high = crowded.submit(&carol, &["--priority", "high"], "true");
    for (who, number) in [(&carol, &high), (&bob, &low)] {
        until("both to be done", || {
            (who.job_status(number).as_deref() == Some("succeeded")).then_some(())
        });
    }
    let shown = bob.json(&["job", "show", &low]);
    let (first, second) = (&shown["attempts"][0], &shown["attempts"][1]);
    assert_eq!(first["outcome"]["reason"], "preempted", "{shown}");
    assert_eq!(first["outcome"]["exit_code"], 3, "{shown}");
    assert_eq!(second["outcome"]["exit_code"], 0, "{shown}");
    let log = bob.run(&["logs", &low]).expect_success();
    assert!(log.stdout.contains("restored: 1"), "{}", log.stdout);

    // What it wrote down is a result like others.
    let pulled = org.folder().join("pulled");
    let into = pulled.to_str().unwrap();
    bob.run(&["job", "pull", &low, "--to", into])
        .expect_success();
    let count = std::fs::read_to_string(pulled.join("count")).unwrap();
    assert!(count.trim().parse::<u32>().unwrap() > 0, "{count}");
    let text = bob.run(&["job", "show", &low]).expect_success();
    assert!(text.stdout.contains("USR1:1m"), "{}", text.stdout);
}
