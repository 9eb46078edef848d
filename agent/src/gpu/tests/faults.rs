//! What goes wrong with GPUs and their driver.

use super::*;

/// Looks until `fits`, for what another thread hears.
fn until(gpus: &Gpus, fits: impl Fn(&[Gpu]) -> bool) -> Vec<Gpu> {
    let begun = std::time::Instant::now();
    loop {
        let seen = gpus.look(START, false);
        if fits(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn faulty(text: &str) -> GpuHealth {
    GpuHealth::Faulty(text.to_owned())
}

#[test]
fn a_lost_gpu_is_named_and_comes_back() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    gpus.look(START, false);
    driver.play(&format!("{TWO}fault 1 15\n"));
    let lost = gpus.look(START, false);
    assert_eq!(lost[1].uuid, "GPU-bbbb");
    let text = "device fell off the bus or has otherwise become inacessible";
    assert_eq!(lost[1].health, faulty(text));
    assert_eq!(lost[0].health, GpuHealth::Usable);
    driver.play(TWO);
    assert_eq!(gpus.look(START, false)[1].health, GpuHealth::Usable);
}

#[test]
fn a_driver_that_vanishes_takes_all_gpus_out_until_it_is_loaded_again() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    gpus.look(START, false);
    driver.play(&format!("{TWO}fault all 9\n"));
    let gone = gpus.look(START, false);
    assert_eq!(gone.len(), 2);
    let out = |gpu: &Gpu| matches!(gpu.health, GpuHealth::Faulty(_));
    assert!(gone.iter().all(out), "{gone:?}");
    // A driver that was loaded anew does not know whoever asked the one before.
    driver.play(&format!("{TWO}loaded 2\n"));
    assert!(gpus.look(START, false).iter().all(out), "too soon to try");
    let back = gpus.look(START + REOPEN, false);
    assert_eq!(health(&back), [&GpuHealth::Usable; 2]);
    driver.play(&format!("{TWO}loaded 3\n"));
    assert!(gpus.look(START + REOPEN, false).iter().all(out));
    let back = gpus.look(START + REOPEN * 2, false);
    assert_eq!(health(&back), [&GpuHealth::Usable; 2]);
}

#[test]
fn memory_that_fails_is_a_fault_in_words() {
    let found = look(&format!("{TWO}ecc 0 3\nremap 1 pending\n"));
    let text = "bad parts of its memory are replaced when it is reset";
    let expect = [faulty("3 uncorrected memory errors"), faulty(text)];
    assert_eq!(health(&found), expect.iter().collect::<Vec<_>>());
    let found = look(&format!("{TWO}remap 0 failed\nretiring 1\n"));
    assert!(found.iter().all(|gpu| gpu.health != GpuHealth::Usable));
    let found = look(&format!("{TWO}mig 0\n"));
    let text = "it is cut into parts (MIG), which cannot be lent yet";
    assert_eq!(health(&found), [&faulty(text), &GpuHealth::Usable]);
}

#[test]
fn absurd_answers_are_faults_or_no_gpus() {
    let found = look(&format!("{TWO}processes 1 4294967290\n"));
    let text = "the driver claims 4294967290 processes";
    assert_eq!(health(&found), [&GpuHealth::Usable, &faulty(text)]);
    assert_eq!(look(&format!("{TWO}count 4294967295\n")), []);
}

#[test]
fn every_error_code_of_a_driver_is_survived() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    gpus.look(START, false);
    for code in (1..=30_u32).chain([57, 999, 4_000_000_000]) {
        driver.play(&format!("{TWO}fault 0 {code}\n"));
        let found = gpus.look(START, false);
        assert_eq!(found.len(), 2, "code {code}");
        assert_ne!(found[0].health, GpuHealth::Usable, "code {code}");
    }
}

#[test]
fn an_event_takes_a_gpu_out_until_its_reset_and_a_programs_mistake_does_not() {
    let driver = Mock::playing(TWO);
    let gpus = driver.gpus();
    gpus.look(START, false);
    driver.play(&format!("{TWO}xid 1 0 31\nxid 2 1 79\nxid 3 1 13\n"));
    let out = until(&gpus, |seen| seen[1].health != GpuHealth::Usable);
    let text = "it fell off the bus (Xid 79); it has to be reset";
    assert_eq!(health(&out), [&GpuHealth::Usable, &faulty(text)]);
    until(&gpus, |_| gpus.remarks().len() == 3);
    let remarks = gpus.remarks();
    assert_eq!(remarks[0], format!("GPU-bbbb (h200): it is faulty: {text}"));
    let remark = "GPU-aaaa: a program used memory that it does not have (Xid 31)";
    assert_eq!(remarks[1], remark);
    // A reset: it does not answer, and then it does.
    assert_eq!(gpus.look(START * 100, false)[1].health, faulty(text));
    driver.play(&format!("{TWO}fault 1 16\n"));
    gpus.look(START, false);
    driver.play(TWO);
    assert_eq!(gpus.look(START, false)[1].health, GpuHealth::Usable);
}
