//! Taking an agent off its machine, with a real job in the middle of its run: nothing is left.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use compute_share_tests::{Org, until};

/// A job whose daemons have left its process group and hear no signal.
const STUBBORN: &str = "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP INT; sleep 600' & done; \
                        echo all-are-up; sleep 600";

/// Returns the command lines of all processes that name `folder`.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder)).collect()
}

/// Returns the cgroups of the attempt in `folder`, as they are named after it.
fn cgroups_of(name: &str) -> Vec<std::path::PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let points = points.filter_map(|line| line.split(' ').nth(4));
    let folders = points.map(|point| Path::new(point).join("compute-share").join(name));
    folders.filter(|folder| folder.exists()).collect()
}

fn cgroup_name(attempt: &Path) -> String {
    let meta = fs::metadata(attempt).unwrap();
    format!("attempt-{:x}-{:x}", meta.dev(), meta.ino())
}

fn assert_nothing_left(folder: &Path, cgroup: &str) {
    assert!(
        !folder.exists(),
        "{:?}",
        fs::read_dir(folder).map(|all| all.flatten().collect::<Vec<_>>())
    );
    // A supervisor that was told to end says so a moment before it is gone.
    until("its processes to be gone", || {
        processes_of(folder).is_empty().then_some(())
    });
    assert_eq!(cgroups_of(cgroup), Vec::<std::path::PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*folder.to_string_lossy()), "{mounts}");
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    for device in devices {
        let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        assert!(
            !file.starts_with(&*folder.to_string_lossy()),
            "{device:?} of {file}"
        );
    }
}

#[test]
fn an_agent_that_was_killed_in_the_middle_leaves_nothing_once_uninstalled() {
    let org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    bob.run(&["submit", "--no-workdir", "--", "sh", "-c", STUBBORN])
        .expect_success();
    let attempt = until("the job to run", || {
        let attempt = agent.attempt_folder()?;
        // Its files may be on a disk that only it sees; its log never is.
        let log = fs::read(attempt.join("log")).ok()?;
        let up = String::from_utf8_lossy(&log).contains("all-are-up");
        up.then_some(attempt)
    });
    let cgroup = cgroup_name(&attempt);
    let folder = bob.agent_folder();
    agent.daemon.kill();

    let dry = bob.json(&["uninstall", "--dry-run"]);
    assert_eq!(
        (&dry["jobs"], &dry["dry_run"]),
        (&1.into(), &true.into()),
        "{dry}"
    );
    assert!(attempt.exists() && !processes_of(&folder).is_empty());
    bob.run(&["uninstall"])
        .expect_refusal(2, "confirmation_needed");
    assert!(attempt.exists());

    let done = bob.json(&["uninstall", "--yes"]);
    assert_nothing_left(&folder, &cgroup);
    assert!(
        done["gone"].to_string().contains("machine box of lab"),
        "{done}"
    );
    // Their own sign-in is still theirs, and the org does not count the machine any more.
    bob.run(&["whoami"]).expect_success();
    assert_eq!(bob.json(&["machine", "list"]).as_array().unwrap().len(), 0);
    bob.run(&["uninstall", "--yes", "--all"]).expect_success();
    bob.run(&["whoami"]).expect_refusal(3, "not_signed_in");
}

#[test]
fn an_agent_that_runs_is_stopped_first_and_other_files_stay() {
    let org = Org::start();
    let bob = org.join("bob");
    let agent = org.agent(&bob, "box");
    bob.run(&["submit", "--no-workdir", "--", "sleep", "600"])
        .expect_success();
    let attempt = until("the job to run", || {
        let attempt = agent.attempt_folder()?;
        attempt.join("started").exists().then_some(attempt)
    });
    let cgroup = cgroup_name(&attempt);
    let folder = bob.agent_folder();
    let thesis = folder.join("thesis.tex");
    fs::write(&thesis, "mine").unwrap();
    let done = bob.json(&["uninstall", "--yes"]);
    assert!(done["stays"].to_string().contains("thesis.tex"), "{done}");
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|one| one.path())
        .collect();
    assert_eq!(left, std::slice::from_ref(&thesis));
    fs::remove_file(thesis).unwrap();
    bob.run(&["uninstall", "--yes"]).expect_success();
    assert_nothing_left(&folder, &cgroup);
}
