//! What attempts use, who takes too much, and what they leave. A supervisor is played by a shell that calls itself
//! one, with processes below it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use super::*;

/// An attempt's processes, as far as the driver and the process table show them.
struct Running {
    shell: Child,
    pid: u32,
}

impl Running {
    fn start(driver: &Mock, attempt: AttemptId) -> Self {
        let folder = driver.folder.path();
        std::fs::write(
            folder.join(crate::supervise::ROLE),
            "sleep 60 & echo $!; wait",
        )
        .unwrap();
        let mut shell = Command::new("bash")
            .arg(crate::supervise::ROLE)
            .arg(driver.attempts().join(attempt.to_string()))
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = shell.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        Self {
            shell,
            pid: line.trim().parse().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.pid).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
        let killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        assert!(killed.is_ok() && self.shell.wait().is_ok());
    }
}

fn share(mib: u64) -> Allocation {
    Allocation {
        gpus: vec!["GPU-aaaa".to_owned()],
        gpu_shares: [("GPU-aaaa".to_owned(), Bytes::mib(mib))].into(),
        ..Allocation::default()
    }
}

fn whole(gpu: &str) -> Allocation {
    Allocation {
        gpus: vec![gpu.to_owned()],
        ..Allocation::default()
    }
}

#[tokio::test]
async fn of_two_jobs_on_one_gpu_the_one_over_its_share_is_named_and_the_other_is_left_alone() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    let [greedy, modest] = [1, 2].map(|number| Running::start(&driver, attempt(number)));
    let mut greedy_hold = gpus.hold(attempt(1), &share(8000));
    let mut modest_hold = gpus.hold(attempt(2), &share(8000));
    let play = |mib: u32| {
        driver.play(&format!(
            "{TWO}process 0 {} {mib}\nprocess 0 {} 7000\npercent {} 30\n",
            greedy.pid, modest.pid, greedy.pid
        ));
    };
    play(7900);
    let seen = gpus.look(START, true);
    assert_eq!(seen[0].health, GpuHealth::Usable);
    let used = gpus.used(attempt(1));
    assert_eq!(
        (used.memory, used.percent),
        (Some(Bytes::mib(7900)), Some(30))
    );
    assert_eq!(gpus.used(attempt(2)).percent, Some(0));
    play(9000);
    gpus.look(START, true);
    play(100);
    gpus.look(START, true);
    play(9000);
    gpus.look(START, true);
    gpus.look(START, true);
    let detail = greedy_hold.overuse().await;
    let text = "it used 8.8 GiB of the memory of GPU-aaaa, of which its share was 7.8 GiB";
    assert_eq!(detail, text);
    let quiet = tokio::time::timeout(Duration::from_millis(20), modest_hold.overuse());
    assert!(quiet.await.is_err(), "nobody else is harmed");
    drop(greedy);
    driver.play(TWO);
    assert_eq!(greedy_hold.let_go().await, Some(Bytes::mib(9000)));
}

#[tokio::test]
async fn two_jobs_on_two_gpus_are_told_apart() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    let [first, second] = [1, 2].map(|number| Running::start(&driver, attempt(number)));
    let _holds = [
        gpus.hold(attempt(1), &whole("GPU-aaaa")),
        gpus.hold(attempt(2), &whole("GPU-bbbb")),
    ];
    driver.play(&format!(
        "{TWO}process 0 {} 20000\nprocess 1 {} 90000\n",
        first.pid, second.pid
    ));
    let seen = gpus.look(START, true);
    assert_eq!(health(&seen), [&GpuHealth::Usable; 2]);
    let [first, second] = [1, 2].map(|number| gpus.used(attempt(number)));
    assert_eq!(first.memory, Some(Bytes::mib(20_000)));
    assert_eq!(second.memory, Some(Bytes::mib(90_000)));
    assert_eq!(second.percent, Some(7), "all of the GPU's");
}

#[tokio::test]
async fn what_a_job_leaves_blocks_its_gpu_until_it_is_gone() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    gpus.look(START, false);
    let running = Running::start(&driver, attempt(1));
    let hold = gpus.hold(attempt(1), &whole("GPU-aaaa"));
    driver.play(&format!("{TWO}process 0 {} 5000\n", running.pid));
    assert_eq!(gpus.look(START, true)[0].health, GpuHealth::Usable);
    drop(running);
    // The driver has not let go of the memory, and names nobody for it.
    driver.play(&format!("{TWO}idle 0 5300\n"));
    assert_eq!(hold.let_go().await, Some(Bytes::mib(5000)));
    let left = gpus.look(START, false);
    assert_eq!(health(&left), [&GpuHealth::Leftover, &GpuHealth::Usable]);
    let mut ready = Box::pin(async { gpus.ready(&whole("GPU-aaaa")).await });
    let soon = tokio::time::timeout(Duration::from_millis(50), &mut ready);
    assert!(soon.await.is_err(), "the next job waits");
    driver.play(TWO);
    assert!(ready.await.unwrap().contains_key("GPU-aaaa"));
    assert_eq!(gpus.look(START, false)[0].health, GpuHealth::Usable);
}

#[tokio::test]
async fn a_process_that_outlives_its_attempt_blocks_the_gpu_too() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    let running = Running::start(&driver, attempt(1));
    driver.play(&format!("{TWO}process 0 {} 50\n", running.pid));
    let hold = gpus.hold(attempt(1), &whole("GPU-aaaa"));
    gpus.look(START, true);
    drop(hold);
    assert_eq!(gpus.look(START, true)[0].health, GpuHealth::Leftover);
}

#[tokio::test]
async fn what_cannot_be_attributed_is_told_and_nobody_is_stopped_for_it() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    let running = Running::start(&driver, attempt(1));
    driver.play(&format!(
        "{TWO}untold\nprocess 0 {} 9000\nprocess 0 4294967294 1\n",
        running.pid
    ));
    let mut hold = gpus.hold(attempt(1), &share(100));
    for _ in 0..4 {
        gpus.look(START, true);
    }
    assert_eq!(gpus.used(attempt(1)).memory, None);
    assert_eq!(gpus.remarks().len(), 2, "{:?}", gpus.remarks());
    let quiet = tokio::time::timeout(Duration::from_millis(20), hold.overuse());
    assert!(quiet.await.is_err());
}
