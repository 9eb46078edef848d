//! GPUs as the mock driver plays them.

use std::{path::Path, process::Command};

use common::id::JobId;

use super::{
    driver::REOPEN,
    mock::{Mock, START, TWO},
    *,
};

mod faults;
mod shares;

fn health(gpus: &[Gpu]) -> Vec<&GpuHealth> {
    gpus.iter().map(|gpu| &gpu.health).collect()
}

/// Looks once, with a driver that plays this.
fn look(scenario: &str) -> Vec<Gpu> {
    Mock::playing(scenario).gpus().look(START, false)
}

fn attempt(number: u32) -> AttemptId {
    AttemptId {
        job: JobId::from_bytes([3; 16]),
        task: 0,
        number,
    }
}

#[test]
fn no_driver_is_a_normal_answer() {
    let nowhere = Some("/nowhere/libnvidia-ml.so.1".into());
    let gpus = Gpus::open_with(nowhere, Places::under(Path::new("/nowhere")), "/a".into());
    assert_eq!(gpus.look(START, false), []);
    assert_eq!(look(""), []);
}

#[test]
fn two_gpus_are_told_with_everything() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    let found = gpus.look(START, false);
    let expect = Gpu {
        uuid: "GPU-aaaa".to_owned(),
        model: "rtx-4090".to_owned(),
        memory: Bytes::mib(24564),
        driver: "550.90".to_owned(),
        health: GpuHealth::Usable,
        temperature_celsius: Some(41),
        utilization_percent: Some(7),
        memory_used: Bytes::mib(300),
    };
    assert_eq!(found[0], expect);
    assert_eq!(found[1].model, "h200");
    let node = "/dev/nvidia1".to_owned();
    let source = driver.folder.path().join("root/dev/nvidia1");
    assert_eq!(gpus.files()["GPU-bbbb"].nodes, [(node, source)].into());
}

#[test]
fn a_gpu_that_somebody_else_uses_is_occupied_also_beside_a_job_of_ours() {
    let stranger = std::process::id();
    let driver = Mock::playing(&format!("{TWO}process 0 {stranger} 500\n"));
    let gpus = driver.gpus();
    let occupied = [&GpuHealth::UsedByOthers, &GpuHealth::Usable];
    assert_eq!(health(&gpus.look(START, false)), occupied);
    let allocation = Allocation {
        gpus: vec!["GPU-aaaa".to_owned()],
        ..Allocation::default()
    };
    let hold = gpus.hold(attempt(1), &allocation);
    assert_eq!(health(&gpus.look(START, false)), occupied);
    assert_eq!(gpus.used_by_others(), ["GPU-aaaa"]);
    drop(hold);
    driver.play(&format!("{TWO}process 0 {stranger} 500 draws\n"));
    assert_eq!(gpus.look(START, false)[0].health, GpuHealth::Usable);
    driver.play(&format!("{TWO}process 0 {stranger} 9000 draws\n"));
    assert_eq!(gpus.look(START, false)[0].health, GpuHealth::UsedByOthers);
}

#[test]
fn an_older_driver_without_some_functions_still_serves() {
    let driver = Mock::playing(TWO)
        .without("nvmlDeviceGetTemperature")
        .without("nvmlDeviceGetRemappedRows")
        .without("nvmlEventSetCreate")
        .without("nvmlDeviceGetGraphicsRunningProcesses_v3");
    let found = driver.gpus().look(START, false);
    assert_eq!((found.len(), found[0].temperature_celsius), (2, None));
    assert_eq!(found[0].health, GpuHealth::Usable);
    let driver = Mock::playing(TWO).without("nvmlInit_v2");
    assert_eq!(driver.gpus().look(START, false), []);
}
