//! A job that waits takes the place of one that can, which goes on afterwards.

use compute_share_tests::{Agent, Org, Person, until};

/// One machine, and jobs that take all of it: the urgent ones at once from others.
pub(crate) struct Crowded {
    pub(crate) org: Org,
    _agent: Agent,
    cpus: String,
}

impl Crowded {
    pub(crate) fn start() -> Self {
        let org = Org::start();
        let agent = org.agent(&org.alice, "box");
        let settings = ["org", "set", "preempts_after=0s", "preempted_after=0s"];
        org.alice.run(&settings).expect_success();
        let cpus = org.alice.json(&["status"])["offer"]["cpu"].to_string();
        Self {
            org,
            _agent: agent,
            cpus,
        }
    }

    /// Submits a program of a shell, and returns its number.
    pub(crate) fn submit(&self, who: &Person, flags: &[&str], program: &str) -> String {
        let asks = ["submit", "--no-workdir", "--memory", "64MiB", "--cpu"];
        let runs = ["--", "sh", "-c", program];
        let words = [&asks[..], &[&self.cpus], flags, &runs].concat();
        who.json(&words)["number"].to_string()
    }
}

#[test]
fn an_urgent_job_takes_the_place_of_one_that_goes_on_afterwards() {
    let crowded = Crowded::start();
    let org = &crowded.org;
    let (bob, carol) = (org.join("bob"), org.join("carol"));
    let submit = |who: &Person, priority: &str, program: &str| {
        crowded.submit(who, &["--priority", priority], program)
    };
    let low = submit(&bob, "low", "test $COMPUTE_SHARE_ATTEMPT = 2 || sleep 1000");
    until("the first job to run", || {
        let shown = bob.json(&["job", "show", &low]);
        (shown["attempts"][0]["status"] == "running").then_some(())
    });
    let high = submit(&carol, "high", "true");
    for (who, number) in [(&carol, &high), (&bob, &low)] {
        until("both to be done", || {
            (who.job_status(number).as_deref() == Some("succeeded")).then_some(())
        });
    }
    let shown = bob.json(&["job", "show", &low]);
    let (first, second) = (&shown["attempts"][0], &shown["attempts"][1]);
    assert_eq!(first["outcome"]["reason"], "preempted");
    assert_eq!(first["preempted_by"]["precedence"], "priority");
    assert!(first["preempted_by"]["job"].is_null(), "bob may not see it");
    assert_eq!(second["outcome"]["exit_code"], 0);
    assert!(second["preempted_by"].is_null());
    let text = org.alice.run(&["job", "show", &low]).expect_success();
    let told = format!("gave way to job {high} (priority high)");
    assert!(text.stdout.contains(&told), "{}", text.stdout);
    let text = bob.run(&["job", "show", &low]).expect_success();
    let told = "gave way to a job of higher priority";
    assert!(text.stdout.contains(told), "{}", text.stdout);
}
