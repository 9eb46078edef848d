//! The GPU path against a library that speaks as the driver's does, built from this workspace.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use common::resources::{Gpu, GpuHealth};

use super::*;

/// A copy of the mock driver in a folder of its own, with the scenario that it plays.
struct Driver {
    folder: tempfile::TempDir,
}

impl Driver {
    fn playing(scenario: &str) -> Self {
        let driver = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::copy(built(), driver.library()).unwrap();
        driver.play(scenario);
        driver
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    fn play(&self, scenario: &str) {
        std::fs::write(self.folder.path().join("scenario"), scenario).unwrap();
    }

    /// Renames a symbol inside the library's file, so that the loader does not find it.
    fn without(self, symbol: &str) -> Self {
        let mut bytes = std::fs::read(self.library()).unwrap();
        let name = format!("{symbol}\0").into_bytes();
        let mut found = 0;
        for at in 0..bytes.len().saturating_sub(name.len()) {
            if bytes[at..].starts_with(&name) {
                bytes[at + symbol.len() - 1] = b'#';
                found += 1;
            }
        }
        assert!(found > 0, "{symbol} is not in the library");
        std::fs::write(self.library(), bytes).unwrap();
        self
    }

    fn gpus(&self) -> Gpus {
        Gpus::open_library(Some(self.library().as_os_str()))
    }
}

fn built() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let build = ["build", "--quiet", "-p", "compute-share-mock-nvml"];
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let status = Command::new(cargo).args(build).status().unwrap();
        assert!(status.success(), "the mock driver does not build");
        let test = std::env::current_exe().unwrap();
        let target = test
            .ancestors()
            .nth(3)
            .expect("tests lie in target/PROFILE/deps");
        target.join("debug/libmock_nvml.so")
    })
}

const TWO: &str = "driver 550.90\n\
    gpu GPU-aaaa 24564 NVIDIA GeForce RTX 4090\n\
    gpu GPU-bbbb 143771 NVIDIA H200\n";

fn health(gpus: &[Gpu]) -> Vec<&GpuHealth> {
    gpus.iter().map(|gpu| &gpu.health).collect()
}

#[test]
fn no_driver_is_a_normal_answer() {
    let mut gpus = Gpus::open_library(Some("/nowhere/libnvidia-ml.so.1".as_ref()));
    assert_eq!(gpus.sample(&[]), []);
    assert_eq!(Driver::playing("").gpus().sample(&[]), []);
}

#[test]
fn two_gpus_are_told_with_everything() {
    let driver = Driver::playing(TWO);
    let mut gpus = driver.gpus();
    let found = gpus.sample(&[]);
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
    assert_eq!(gpus.devices()["GPU-bbbb"], Path::new("/dev/nvidia1"));
}

#[test]
fn a_gpu_that_somebody_else_uses_is_occupied_unless_an_attempt_holds_it() {
    let driver = Driver::playing(&format!("{TWO}process 0 4242\n"));
    let mut gpus = driver.gpus();
    assert_eq!(
        health(&gpus.sample(&[])),
        [&GpuHealth::UsedByOthers, &GpuHealth::Usable]
    );
    assert_eq!(
        health(&gpus.sample(&["GPU-aaaa".to_owned()])),
        [&GpuHealth::Usable, &GpuHealth::Usable]
    );
}

#[test]
fn a_lost_gpu_is_named_and_comes_back() {
    let driver = Driver::playing(TWO);
    let mut gpus = driver.gpus();
    gpus.sample(&[]);
    driver.play(&format!("{TWO}fault 1 15\n"));
    let lost = gpus.sample(&[]);
    assert_eq!(lost[1].uuid, "GPU-bbbb");
    assert!(
        matches!(lost[1].health, GpuHealth::Faulty(_)),
        "{:?}",
        lost[1]
    );
    assert_eq!(lost[0].health, GpuHealth::Usable);
    driver.play(TWO);
    assert_eq!(gpus.sample(&[])[1].health, GpuHealth::Usable);
}

#[test]
fn a_driver_that_vanishes_takes_all_gpus_out() {
    let driver = Driver::playing(TWO);
    let mut gpus = driver.gpus();
    gpus.sample(&[]);
    driver.play(&format!("{TWO}fault all 9\n"));
    let gone = gpus.sample(&[]);
    assert_eq!(gone.len(), 2);
    assert!(
        gone.iter()
            .all(|gpu| matches!(gpu.health, GpuHealth::Faulty(_)))
    );
}

#[test]
fn memory_errors_and_absurd_answers_are_faults() {
    let driver = Driver::playing(&format!("{TWO}ecc 0 3\nprocesses 1 4294967290\n"));
    let found = driver.gpus().sample(&[]);
    assert_eq!(
        health(&found),
        [
            &GpuHealth::Faulty("3 uncorrected memory errors".to_owned()),
            &GpuHealth::Faulty("the driver claims 4294967290 processes".to_owned()),
        ]
    );
    let driver = Driver::playing(&format!("{TWO}count 4294967295\n"));
    assert_eq!(driver.gpus().sample(&[]), []);
}

#[test]
fn every_error_code_of_a_driver_is_survived() {
    let driver = Driver::playing(TWO);
    let mut gpus = driver.gpus();
    gpus.sample(&[]);
    for code in (1..=30_u32).chain([57, 999, 4_000_000_000]) {
        driver.play(&format!("{TWO}fault 0 {code}\n"));
        let found = gpus.sample(&[]);
        assert_eq!(found.len(), 2, "code {code}");
        assert_ne!(found[0].health, GpuHealth::Usable, "code {code}");
    }
}

#[test]
fn an_older_driver_without_some_functions_still_serves() {
    let driver = Driver::playing(TWO).without("nvmlDeviceGetTemperature");
    let found = driver.gpus().sample(&[]);
    assert_eq!((found.len(), found[0].temperature_celsius), (2, None));
    let driver = Driver::playing(TWO).without("nvmlInit_v2");
    assert_eq!(driver.gpus().sample(&[]), []);
}

#[test]
fn this_machine_has_something_to_lend() {
    let temp = tempfile::tempdir().unwrap();
    let folder = AgentFolder::new(temp.path());
    let mut probe = Probe::new(&folder).unwrap();
    let sample = probe.sample(&Allocation::default(), Bytes::ZERO, &OwnerRules::default());
    assert!(sample.capacity.cpu >= MilliCpu::cpus(1));
    assert!(sample.capacity.memory > Bytes::ZERO && sample.offer.memory < sample.capacity.memory);
    assert!(sample.offer.disk <= sample.capacity.disk);
    assert!(!system_info().kernel.is_empty());
}

#[test]
fn free_space_is_news_only_when_it_matters() {
    let (gib, mib) = (Bytes::gib, Bytes::mib);
    assert_eq!(steady(Bytes::ZERO, mib(10_000)), mib(9984));
    assert_eq!(steady(gib(100), gib(105)), gib(100));
    assert_eq!(steady(gib(100), gib(120)), gib(120));
    assert_eq!(steady(gib(100), mib(99 * 1024 + 3)), gib(99));
}
