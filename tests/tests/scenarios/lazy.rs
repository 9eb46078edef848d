//! Datasets that are mounted lazily: larger than what a machine lends, over restarts of everything.

use std::fs;

use compute_share_tests::{Agent, Org, Person, until};

const BYTES: usize = 64 << 20;
const LENT: u64 = 40 << 20;

fn upload(org: &Org) {
    let data = org.folder().join("large");
    fs::create_dir(&data).unwrap();
    let noise: Vec<u8> = (0..u32::try_from(BYTES / 4).unwrap())
        .flat_map(|i| {
            i.wrapping_mul(2_654_435_761)
                .rotate_left(i % 31)
                .to_le_bytes()
        })
        .collect();
    fs::write(data.join("noise"), noise).unwrap();
    let data = data.to_str().unwrap();
    let upload = ["dataset", "upload", data, "--name", "large"];
    org.alice.run(&upload).expect_success();
}

fn machine(org: &Org, bob: &Person) -> Agent {
    let folder = bob.agent_folder();
    fs::create_dir_all(&folder).unwrap();
    let rules = format!("resources: {{disk_limit: {}MiB}}\n", LENT >> 20);
    fs::write(folder.join("owner.yaml"), rules).unwrap();
    org.agent(bob, "box")
}

/// Returns the bytes that the lazily mounted data takes on the machine's disk.
fn on_disk(bob: &Person) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let folders = fs::read_dir(bob.agent_folder().join("lazy"))
        .unwrap()
        .flatten();
    let data = folders.map(|folder| folder.path().join("data"));
    data.map(|data| fs::metadata(data).unwrap().blocks() * 512)
        .sum()
}

#[test]
fn a_job_reads_more_than_its_machine_lends_over_restarts_of_agent_and_coordinator() {
    if !fs::exists("/dev/fuse").unwrap() {
        eprintln!("SKIPPED: this machine has no /dev/fuse");
        return;
    }
    let mut org = Org::start();
    let bob = org.join("bob");
    let mut agent = machine(&org, &bob);
    upload(&org);
    // What it reads first it has; then everybody goes away, and it reads on.
    let script = "head -c 1000000 /data/noise > /dev/null; echo begun; sleep 3
        sha256sum < /data/noise; echo whole";
    let mount = ["--dataset", "large:/data:lazy"];
    let submit = [
        "submit",
        "--no-workdir",
        "--memory",
        "256MiB",
        "--disk",
        "1MiB",
    ];
    let job = [&submit[..], &mount, &["--", "sh", "-c", script]].concat();
    org.alice.run(&job).expect_success();
    let logs = |text: &str| {
        let logs = org.alice.run(&["logs", "1"]);
        logs.stdout.contains(text).then_some(logs.stdout)
    };
    until("the job to have read", || logs("begun"));
    agent.daemon.kill();
    org.coordinator.daemon.kill();
    agent.restart();
    org.coordinator.restart();
    until("the job to end", || {
        (org.alice.job_status("1").as_deref() == Some("succeeded")).then_some(())
    });
    let logs = org.alice.run(&["logs", "1"]).expect_success().stdout;
    let noise = org.folder().join("large/noise");
    let sum = std::process::Command::new("sha256sum")
        .arg(noise)
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = sum.split(' ').next().unwrap();
    assert_eq!(logs, format!("begun\n{sum}  -\nwhole\n"));
    let held = on_disk(&bob);
    assert!(held > 0 && held <= LENT, "{held} bytes on the disk");
}
