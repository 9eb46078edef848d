//! What the probe finds on the machine that runs the tests.

use super::*;

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
