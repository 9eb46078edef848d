use proptest::prelude::*;

use super::*;

fn gpu(uuid: &str, model: &str, gib: u64) -> Gpu {
    Gpu {
        uuid: uuid.to_owned(),
        model: model.to_owned(),
        memory: Bytes::gib(gib),
        driver: "550".to_owned(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    }
}

#[test]
fn the_smallest_gpu_that_will_do_is_taken() {
    let capacity = Capacity {
        cpu: MilliCpu::cpus(8),
        memory: Bytes::gib(64),
        disk: Bytes::gib(100),
        gpus: vec![gpu("a", "h200", 141), gpu("b", "rtx-4090", 24)],
    };
    let ask = |model: Option<&str>, count, memory| Request {
        gpu: Some(GpuRequest {
            count,
            model: model.map(str::to_owned),
            memory,
            share: false,
            memory_most: None,
        }),
        ..Request::default()
    };
    assert_eq!(capacity.allocate(&ask(None, 1, None)).unwrap().gpus, ["b"]);
    assert_eq!(
        capacity.allocate(&ask(Some("h200"), 1, None)).unwrap().gpus,
        ["a"]
    );
    assert_eq!(
        capacity
            .allocate(&ask(None, 1, Some(Bytes::gib(80))))
            .unwrap()
            .gpus,
        ["a"]
    );
    assert_eq!(
        capacity.allocate(&ask(None, 3, None)),
        Err(vec![Shortage::Gpu])
    );
}

#[test]
fn a_gpu_in_use_by_others_is_not_lent_but_could_be_one_day() {
    let mut capacity = Capacity {
        gpus: vec![gpu("a", "h200", 141)],
        ..Capacity::default()
    };
    capacity.gpus[0].health = GpuHealth::UsedByOthers;
    let request = Request {
        cpu: MilliCpu::ZERO,
        memory: Bytes::ZERO,
        disk: Bytes::ZERO,
        gpu: Some(GpuRequest {
            count: 1,
            model: None,
            memory: None,
            share: false,
            memory_most: None,
        }),
        exclusive: false,
    };
    assert_eq!(capacity.allocate(&request), Err(vec![Shortage::Gpu]));
    assert_eq!(capacity.could_ever_fit(&request), Ok(()));
}

#[test]
fn shares_fill_one_gpu_before_the_next_and_leave_whole_ones_alone() {
    let mut free = Capacity {
        gpus: vec![gpu("a", "h200", 24), gpu("b", "h200", 24)],
        ..Capacity::default()
    };
    let ask = |gib: u64, share| Request {
        cpu: MilliCpu::ZERO,
        memory: Bytes::ZERO,
        disk: Bytes::ZERO,
        gpu: Some(GpuRequest {
            count: 1,
            model: None,
            memory: Some(Bytes::gib(gib)),
            share,
            memory_most: None,
        }),
        exclusive: false,
    };
    let mut held = Allocation::default();
    for (gib, share, expect) in [
        (10, true, Ok("a")),
        (10, true, Ok("a")),
        (10, true, Ok("b")),
        (4, true, Ok("a")),
        (1, false, Err(vec![Shortage::Gpu])),
        (20, true, Err(vec![Shortage::Gpu])),
    ] {
        let given = free.allocate(&ask(gib, share));
        let named = given.as_ref().map(|given| given.gpus[0].as_str());
        assert_eq!(named.map_err(Clone::clone), expect, "{gib} {share}");
        if let Ok(given) = given {
            free = free.minus(&given);
            held = held.checked_add(&given).unwrap();
            assert_eq!(
                held.checked_sub(&given).unwrap().checked_add(&given),
                Some(held.clone())
            );
        }
    }
    assert_eq!(held.gpu_shares["a"], Bytes::gib(24));
}

proptest! {
    #[test]
    fn adding_then_taking_away_changes_nothing(a: (u32, u64, u64), b: (u32, u64, u64)) {
        let make = |(cpu, memory, disk): (u32, u64, u64), gpu: &str| Allocation {
            cpu: MilliCpu(cpu), memory: Bytes(memory), disk: Bytes(disk), gpus: vec![gpu.to_owned()],
            gpu_shares: BTreeMap::new(),
        };
        let (a, b) = (make(a, "a"), make(b, "b"));
        if let Some(sum) = a.checked_add(&b) {
            prop_assert_eq!(sum.checked_sub(&b), Some(a.clone()));
            prop_assert_eq!(b.checked_add(&a), Some(sum.clone()));
            prop_assert!(sum.checked_add(&a).is_none());
        }
    }
}
