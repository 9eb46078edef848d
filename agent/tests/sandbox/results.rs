//! What a job leaves for the agent to collect, made to harm who collects it: F9 to F11.

use std::{fs, path::Path};

use agent::transfer::{Collected, Source, collect};
use common::{problem::Problem, status::EndReason, time::Span, units::Bytes};

use crate::world::{Attempt, block_on, row};

fn collected(folder: &Path, most: usize) -> Result<Collected, Problem> {
    let only = None;
    collect(&[Source { folder, only }], most, Bytes::gib(1))
}

fn names(collected: &Collected) -> Vec<String> {
    let manifest = collected.walked.manifest().unwrap();
    let entries = manifest.tree().entries();
    entries.iter().map(|entry| entry.path.to_string()).collect()
}

#[test]
fn f9_links_in_results_lead_nowhere() {
    row(&["F9"], "results::f9_links_in_results_lead_nowhere", || {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "of the host").unwrap();
        let path = outside.path().display();
        let script = format!(
            "cd /output; echo fine > fine; ln -s {path} folder; ln -s {path}/secret file; ln -s /etc/passwd up
            ln -s ../../../../../../..{path}/secret relative; ln fine second
            ln /etc/passwd /output/hard; ln {path}/secret /output/other; mkdir -p a; ln -s .. a/loop; echo done"
        );
        let attempt = Attempt::shell(&script);
        assert!(attempt.run().stdout().ends_with("done\n"));
        let collected = collected(&attempt.path("output"), 1000).unwrap();
        let names = names(&collected);
        let kept: Vec<&str> = names.iter().map(String::as_str).collect();
        // A link that stays inside is kept as the link that it is.
        assert_eq!(
            kept,
            ["a", "a/loop", "fine", "second"],
            "{:?}",
            collected.skipped
        );
        assert_eq!(collected.skipped.count, 4, "{:?}", collected.skipped);
    });
}

#[test]
fn f10_a_folder_swapped_while_it_is_read_leads_nowhere() {
    row(
        &["F10"],
        "results::f10_a_folder_swapped_while_it_is_read_leads_nowhere",
        || {
            let outside = tempfile::tempdir().unwrap();
            fs::write(outside.path().join("canary"), "of the host").unwrap();
            let script = format!(
                r#"perl -e 'chdir "/output"; mkdir "real"; open(F, ">", "real/fine"); close F;
                symlink "{}", "link"; $| = 1; print "ready\n";
                while (1) {{ rename "real", "x"; rename "link", "real"; rename "real", "link"; rename "x", "real" }}'"#,
                outside.path().display()
            );
            let attempt = Attempt::shell(&script);
            let mut seen = 0;
            block_on(async {
                let mut supervisor = attempt.launch();
                crate::lifecycle::heard(&mut supervisor).await;
                for _ in 0..500 {
                    // A folder that changes under its reader may be refused as a whole.
                    let Ok(collected) = collected(&attempt.path("output"), 1000) else {
                        continue;
                    };
                    seen += 1;
                    let names = names(&collected);
                    assert!(
                        !names.iter().any(|name| name.contains("canary")),
                        "{names:?}"
                    );
                }
                supervisor
                    .stop(EndReason::Cancelled, Span::from_secs(0))
                    .await
                    .unwrap();
                attempt.finish(&mut supervisor).await;
            });
            assert!(seen > 0, "it could never be read");
        },
    );
}

#[test]
fn f11_strange_files_are_left_out_and_hold_nobody_up() {
    row(
        &["F11"],
        "results::f11_strange_files_are_left_out_and_hold_nobody_up",
        || {
            let script = r#"cd /output; echo fine > fine; mkfifo fifo; mknod device c 1 3 2>/dev/null
            perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un("socket")) or die'
            truncate -s 1T sparse 2>/dev/null; stat -c %s sparse
            : > "$(printf 'name\377')"; mkdir many; cd many; seq 3000 | xargs touch; echo done"#;
            let attempt = Attempt::shell(script);
            let finished = attempt.run();
            assert!(finished.stdout().ends_with("done\n"), "{finished:?}");
            // The size of a file is bounded by the job's disk.
            let size = finished.stdout().lines().next().unwrap().to_owned();
            assert!(
                size.parse::<u64>().unwrap() <= attempt.plan.limits.disk.0,
                "{size}"
            );
            assert!(!attempt.path("output/device").exists());
            // Many are bounded, whether that refuses them all or only the rest.
            if let Ok(bounded) = collected(&attempt.path("output"), 1000) {
                let kept = names(&bounded).len();
                assert!(kept <= 1000 && bounded.skipped.count > 0, "{kept}");
            }
            let collected = collected(&attempt.path("output"), 10_000).unwrap();
            let names = names(&collected);
            assert!(names.contains(&"fine".to_owned()));
            // Whatever a name's bytes are, it is kept.
            assert!(names.iter().any(|name| name.starts_with("name")));
            let strange = |name: &String| ["fifo", "socket", "device"].contains(&name.as_str());
            assert!(
                !names.iter().any(strange) && names.len() < 3010,
                "{}",
                names.len()
            );
            assert!(
                (2..=3).contains(&collected.skipped.count),
                "{:?}",
                collected.skipped
            );
        },
    );
}
