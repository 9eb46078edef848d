//! GPUs: whether there are any, whether their driver answers, and whether jobs can be given its libraries.

use std::{fs, path::Path};

use common::{
    resources::{Allocation, Gpu, GpuHealth},
    units::Bytes,
};

use super::{
    super::machine::gpu_counts,
    finding::Finding,
    sandbox::{as_root, installing},
};
use crate::{probe::Probe, registration::AgentFolder};

/// Every device on the PCI bus.
const PCI: &str = "/sys/bus/pci/devices";
const NVIDIA: &str = "0x10de";
/// Where the devices' descriptions for containers are.
const CDI: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// What a description of NVIDIA's GPUs has in it.
const CDI_KIND: &str = "nvidia.com/gpu";
/// Longest description that is looked into.
const MAX_CDI_BYTES: u64 = 4 << 20;

/// `scratch` is an empty folder, so that no owner's file says what is lent.
pub(super) fn findings(scratch: &Path) -> Vec<Finding> {
    let gpus = match Probe::new(&AgentFolder::new(scratch)) {
        Ok(mut probe) => {
            probe
                .sample(
                    &Allocation::default(),
                    Bytes::ZERO,
                    &agent_core::owner::OwnerRules::default(),
                )
                .capacity
                .gpus
        }
        Err(problem) => return vec![Finding::unknown("gpus", problem.why)],
    };
    let mut findings = vec![driver(&gpus, nvidia_on_the_bus(Path::new(PCI)))];
    if !gpus.is_empty() {
        findings.push(cdi(CDI
            .iter()
            .any(|folder| describes_gpus(Path::new(folder)))));
    }
    findings
}

fn driver(gpus: &[Gpu], on_the_bus: usize) -> Finding {
    let faults = gpus.iter().filter_map(|gpu| match &gpu.health {
        GpuHealth::Faulty(fault) => Some(format!("\n- {}: {fault}", gpu.model)),
        _ => None,
    });
    let faults: String = faults.collect();
    match (gpus, on_the_bus) {
        ([], 0) => Finding::ok("gpus", "none"),
        ([], _) => {
            let text = "there is a GPU by NVIDIA, and its driver does not answer";
            Finding::better("gpus", text).remedy(installing("nvidia-driver"))
        }
        (gpus, _) if faults.is_empty() => {
            let driver = gpus
                .first()
                .map(|gpu| gpu.driver.as_str())
                .unwrap_or_default();
            Finding::ok("gpus", format!("{}, driver {driver}", gpu_counts(gpus)))
        }
        (gpus, _) => Finding::better("gpus", format!("{}{faults}", gpu_counts(gpus))),
    }
}

fn cdi(described: bool) -> Finding {
    if described {
        return Finding::ok("gpu libraries", "described for jobs (CDI)");
    }
    let text = "no description says which libraries a job on a GPU gets (CDI)";
    Finding::better("gpu libraries", text).remedy(as_root(
        "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    ))
}

/// Returns how many graphics devices by NVIDIA there are, driver or not.
fn nvidia_on_the_bus(bus: &Path) -> usize {
    let Ok(devices) = fs::read_dir(bus) else {
        return 0;
    };
    let is_gpu = |device: &fs::DirEntry| {
        let read = |name: &str| fs::read_to_string(device.path().join(name)).unwrap_or_default();
        // Display controllers, of which 3D controllers are a kind.
        read("vendor").trim() == NVIDIA && read("class").trim().starts_with("0x03")
    };
    devices.flatten().filter(is_gpu).count()
}

fn describes_gpus(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let describes = |entry: fs::DirEntry| {
        let path = entry.path();
        let known = path
            .extension()
            .is_some_and(|kind| kind == "json" || kind == "yaml");
        let bounded = fs::metadata(&path).is_ok_and(|meta| meta.len() <= MAX_CDI_BYTES);
        known && bounded && fs::read_to_string(&path).is_ok_and(|text| text.contains(CDI_KIND))
    };
    entries.flatten().any(describes)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_gpu_without_its_driver_is_seen() {
        let bus = tempfile::tempdir().unwrap();
        let device = |name: &str, vendor: &str, class: &str| {
            let folder = bus.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("vendor"), format!("{vendor}\n")).unwrap();
            fs::write(folder.join("class"), format!("{class}\n")).unwrap();
        };
        device("0", "0x10de", "0x040300");
        device("1", "0x8086", "0x030000");
        assert_eq!(nvidia_on_the_bus(bus.path()), 0);
        device("2", "0x10de", "0x030200");
        assert_eq!(nvidia_on_the_bus(bus.path()), 1);
        assert_eq!(nvidia_on_the_bus(&bus.path().join("none")), 0);
        assert_eq!(driver(&[], 0).verdict, Verdict::Ok);
        let asleep = driver(&[], 1);
        assert_eq!(asleep.verdict, Verdict::Better);
        assert!(asleep.remedy.unwrap().contains("nvidia-driver"));
    }

    #[test]
    fn a_faulty_gpu_is_named() {
        let gpu = |health| Gpu {
            uuid: "GPU-1".to_owned(),
            model: "rtx-4090".to_owned(),
            memory: Bytes::gib(24),
            driver: "550.1".to_owned(),
            health,
            temperature_celsius: None,
            utilization_percent: None,
            memory_used: Bytes::ZERO,
        };
        let sound = driver(&[gpu(GpuHealth::Usable)], 1);
        assert_eq!(sound, Finding::ok("gpus", "rtx-4090, driver 550.1"));
        let faulty = driver(&[gpu(GpuHealth::Faulty("Xid 79".to_owned()))], 1);
        assert_eq!(
            faulty,
            Finding::better("gpus", "rtx-4090\n- rtx-4090: Xid 79")
        );
    }

    #[test]
    fn only_a_description_of_gpus_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!describes_gpus(folder.path()));
        fs::write(
            folder.path().join("net.json"),
            r#"{"kind": "lab.example/net"}"#,
        )
        .unwrap();
        fs::write(folder.path().join("nvidia.txt"), CDI_KIND).unwrap();
        assert!(!describes_gpus(folder.path()));
        fs::write(folder.path().join("nvidia.yaml"), "kind: nvidia.com/gpu\n").unwrap();
        assert!(describes_gpus(folder.path()));
        assert_eq!(cdi(false).verdict, Verdict::Better);
    }
}
