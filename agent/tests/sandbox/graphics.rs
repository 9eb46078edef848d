//! GPUs in a sandbox. Ordinary devices play the part of a GPU's nodes, which most machines lack.

use std::{collections::BTreeMap, fs};

use agent_core::sandbox_plan::{Folders, GpuFiles, PlanInput, ProxyRules, plan};
use common::{
    id::{AttemptId, JobId},
    status::LogStream,
};

use crate::{
    matrix::row,
    world::{Attempt, spec},
};

/// Makes an attempt on a machine with `gpus`, of which it was granted some.
fn with_gpus(command: &[&str], gpus: BTreeMap<String, GpuFiles>, granted: &[&str]) -> Attempt {
    let mut attempt = Attempt::of(command);
    attempt.host.gpus = gpus;
    let mut spec = spec(command, &[]);
    spec.allocation.gpus = granted.iter().map(|&gpu| gpu.to_owned()).collect();
    attempt.plan = plan(&PlanInput {
        attempt: AttemptId {
            job: JobId::from_bytes([9; 16]),
            task: 0,
            number: 1,
        },
        spec: &spec,
        machine: &"olive".parse().unwrap(),
        host: &attempt.host,
        image: None,
        folders: &Folders {
            work: attempt.path("work"),
            output: attempt.path("output"),
            datasets: Vec::new(),
        },
        rules: &ProxyRules::default(),
        params: None,
    });
    attempt
}

/// Two GPUs: the first one's node answers as `/dev/null` does, the other's as `/dev/zero`.
fn gpus() -> BTreeMap<String, GpuFiles> {
    let gpu = |uuid: &str, own: &str, plays: &str| {
        let nodes = [(own, plays), ("/dev/nvidiactl", "/dev/full")];
        let files = GpuFiles {
            nodes: nodes
                .map(|(path, source)| (path.to_owned(), source.into()))
                .into(),
            ..GpuFiles::default()
        };
        (uuid.to_owned(), files)
    };
    BTreeMap::from([
        gpu("GPU-a", "/dev/nvidia0", "/dev/null"),
        gpu("GPU-b", "/dev/nvidia1", "/dev/zero"),
    ])
}

#[test]
fn g1_only_the_nodes_of_granted_gpus_are_there() {
    row(
        &["G1"],
        "graphics::g1_only_the_nodes_of_granted_gpus_are_there",
        || {
            let script = "cd /dev; ls -d nvidia*; head -c 3 nvidia1 | wc -c; head -c 3 nvidia0; \
                echo $NVIDIA_VISIBLE_DEVICES $CUDA_VISIBLE_DEVICES; \
                ls -A /proc/driver/nvidia 2>/dev/null; mknod /dev/nvidia0 c 195 0; \
                mknod /tmp/nvidia0 c 195 0; rm nvidia1; head -c 1 nvidia1 >nvidiactl";
            let command = ["/bin/sh", "-c", script];
            let finished = with_gpus(&command, gpus(), &["GPU-b"]).run();
            assert_eq!(
                finished.stdout(),
                "nvidia1\nnvidiactl\n3\nGPU-b GPU-b\n",
                "{finished:?}"
            );
            let errors = finished.text(LogStream::Stderr);
            for text in [
                "'nvidia0'",
                "mknod: /dev/nvidia0",
                "mknod: /tmp/nvidia0",
                "rm: ",
            ] {
                assert!(errors.contains(text), "no {text} in {errors}");
            }
            assert!(errors.contains("No space left"), "{errors}");
        },
    );
}

#[test]
fn a_gpu_that_is_gone_is_told_before_the_job_begins() {
    let mut gone = gpus();
    for files in gone.values_mut() {
        let nodes = files.nodes.values_mut();
        nodes.for_each(|source| *source = "/dev/nvidia-not-there".into());
    }
    row(
        &["G1"],
        "graphics::a_gpu_that_is_gone_is_told_before_the_job_begins",
        || {
            let finished = with_gpus(&["true"], gone.clone(), &["GPU-b"]).run();
            let outcome = finished.result.outcome;
            assert_eq!(outcome.reason, common::status::EndReason::PrepareFailed);
            let detail = outcome.detail.unwrap();
            assert!(detail.contains("/dev/nvidia-not-there"), "{detail}");
        },
    );
}

#[test]
fn the_drivers_files_are_there_to_read_and_not_to_change() {
    row(
        &["G1"],
        "graphics::the_drivers_files_are_there_to_read_and_not_to_change",
        || {
            let place = tempfile::tempdir().unwrap();
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(place.path(), open).unwrap();
            let library = place.path().canonicalize().unwrap().join("libcuda.so.550");
            fs::write(&library, "cuda").unwrap();
            let mut gpus = gpus();
            for files in gpus.values_mut() {
                let name = "libcuda.so.1".to_owned();
                files.libraries.insert(name, library.clone());
            }
            let script = "echo $LD_LIBRARY_PATH; cat /.nvidia/lib/libcuda.so.1; echo; \
                echo x >/.nvidia/lib/libcuda.so.1; touch /.nvidia/lib/more";
            let command = ["/bin/bash", "-c", script];
            let finished = with_gpus(&command, gpus, &["GPU-a"]).run();
            assert_eq!(finished.stdout(), "/.nvidia/lib\ncuda\n", "{finished:?}");
            assert_eq!(fs::read_to_string(&library).unwrap(), "cuda");
        },
    );
}
