//! Jobs with a kernel of their own in user space, made by gVisor.

use std::{fs, time::Instant};

use agent::sandbox::probe_with;
use agent_core::sandbox_plan::Backend;
use common::{status::EndReason, time::Span};

use crate::{
    matrix::{Maker, way},
    world::{Attempt, block_on, everyone, processes_with, program},
};

/// Does a test as everyone, with gVisor instead of each backend; nothing of it depends on which that is.
fn strong(name: &str, body: impl Fn()) {
    everyone(name, || {
        if way().maker == Maker::Native {
            body();
        }
    });
}

fn attempt(script: &str) -> Attempt {
    let mut attempt = Attempt::shell(script);
    attempt.plan.backend = Backend::Runsc {
        program: attempt
            .host
            .tools
            .runsc
            .clone()
            .expect("`apt-get install runsc`"),
    };
    attempt
}

#[test]
fn a_strong_job_has_another_kernel_and_its_folders() {
    strong(
        "strong::a_strong_job_has_another_kernel_and_its_folders",
        || {
            let canary = tempfile::NamedTempFile::new().unwrap();
            fs::write(canary.path(), "secret of the host").unwrap();
            let script = format!(
            "cat /proc/version; hostname; echo kept > /output/result; echo here > file; cat file
            cat {} 2>/dev/null; echo $ASKED; grep -c -E '^Cap(Prm|Eff|Bnd):.0+$' /proc/self/status; echo x > /usr/x; exit 7",
            canary.path().display()
        );
            let attempt = attempt(&script);
            let finished = attempt.run();
            let out = finished.stdout();
            let (kernel, rest) = out.split_once('\n').unwrap();
            assert_ne!(
                kernel,
                fs::read_to_string("/proc/version").unwrap().trim_end()
            );
            assert_eq!(rest, "olive\nhere\nyes\n3\n", "{finished:?}");
            assert_eq!(finished.result.outcome.exit_code, Some(7));
            assert_eq!(
                fs::read_to_string(attempt.path("output/result")).unwrap(),
                "kept\n"
            );
            assert!(!fs::exists("/usr/x").unwrap());
        },
    );
}

#[test]
fn a_strong_job_ends_when_it_is_told_to() {
    strong("strong::a_strong_job_ends_when_it_is_told_to", || {
        let marker = format!("9201.{}", std::process::id());
        let attempt = attempt(&format!(
            "trap '' TERM; setsid sleep {marker} & echo ready; sleep {marker}"
        ));
        let name = attempt.folder.path().file_name().unwrap().to_str().unwrap();
        let name = format!("attempt-{name}");
        let finished = block_on(async {
            let mut supervisor = attempt.launch();
            crate::lifecycle::heard(&mut supervisor).await;
            assert!(!processes_with(&name).is_empty());
            let begin = Instant::now();
            supervisor
                .stop(EndReason::Cancelled, Span::from_millis(200))
                .await
                .unwrap();
            let finished = attempt.finish(&mut supervisor).await;
            assert!(begin.elapsed().as_secs() < 30);
            finished
        });
        assert_eq!(finished.result.outcome.reason, EndReason::Cancelled);
        assert_eq!(processes_with(&marker), Vec::<u32>::new());
        assert_eq!(processes_with(&name), Vec::<u32>::new());
    });
}

#[test]
fn strong_isolation_is_offered_where_it_was_seen_to_work() {
    strong(
        "strong::strong_isolation_is_offered_where_it_was_seen_to_work",
        || {
            let scratch = tempfile::tempdir().unwrap();
            let mut host = Attempt::shell("true").host;
            assert!(probe_with(&program(), scratch.path(), &host).strong);
            host.tools.runsc = Some("/bin/false".into());
            assert!(!probe_with(&program(), scratch.path(), &host).strong);
        },
    );
}
