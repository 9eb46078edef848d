//! A job's secrets: in its environment, and nowhere else on the machine.

use std::fs;

use agent::supervise::{Given, Secrets, Supervisor};
use common::{secret::SecretValue, status::LogStream};

use crate::world::{Attempt, Finished, block_on, everyone, program};

const VALUE: &str = "hunter22-and-more";

fn run(script: &str) -> (Attempt, Finished) {
    let attempt = Attempt::shell(script);
    let finished = block_on(async {
        let secret = SecretValue {
            name: "TOKEN".parse().unwrap(),
            value: VALUE.to_owned(),
        };
        let given = Given {
            secrets: Some(Secrets::new(vec![secret]).pack().unwrap()),
            ..Given::default()
        };
        let (folder, program) = (attempt.folder.path(), program());
        let mut supervisor =
            Supervisor::launch_given(Some(&program), folder, &attempt.plan, given).unwrap();
        attempt.finish(&mut supervisor).await
    });
    (attempt, finished)
}

#[test]
fn a_secret_is_in_the_environment_and_masked_in_the_log() {
    everyone(
        "secrets::a_secret_is_in_the_environment_and_masked_in_the_log",
        || {
            // The last is written in two pieces, with time for the first to be read alone.
            let (_attempt, finished) = run(
                "echo a $TOKEN b; echo $TOKEN >&2; printf %s $TOKEN | cut -c1-8; echo ${#TOKEN}
                printf %.5s $TOKEN; sleep 0.3; printf %s ${TOKEN#hunte}; echo .",
            );
            let told = finished.text(LogStream::System);
            assert_eq!(finished.stdout(), "a *** b\nhunter22\n17\n***.\n", "{told}");
            assert_eq!(finished.text(LogStream::Stderr), "***\n");
        },
    );
}

#[test]
fn a_secret_is_in_no_file_of_the_attempt() {
    everyone("secrets::a_secret_is_in_no_file_of_the_attempt", || {
        let (attempt, finished) = run("test -n \"$TOKEN\" && env && exit 3");
        assert_eq!(finished.result.outcome.exit_code, Some(3));
        let mut folders = vec![attempt.folder.path().to_owned()];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files += 1;
                    let bytes = fs::read(entry.path()).unwrap();
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    assert!(!text.contains(VALUE), "{}", entry.path().display());
                }
            }
        }
        assert!(files >= 3, "plan, log and result at least");
    });
}
