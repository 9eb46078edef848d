use std::collections::BTreeMap;

use common::{
    machine::{Isolation, SystemInfo},
    resources::{Capacity, GpuRequest},
};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn machine(number: u8) -> MachineId {
    MachineId::from_bytes([number; 16])
}

fn gpu(place: u8) -> Gpu {
    Gpu {
        uuid: format!("GPU-{place}"),
        model: "h200".to_owned(),
        memory: Bytes::gib(80),
        driver: String::new(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    }
}

fn report(cpus: u32, gib: u64, gpus: u8) -> MachineReport {
    let capacity = Capacity {
        cpu: MilliCpu::cpus(cpus),
        memory: Bytes::gib(gib),
        disk: Bytes::gib(100),
        gpus: (0..gpus).map(gpu).collect(),
    };
    let isolation = Isolation::of(IsolationLevel::A);
    MachineReport::lending_all(capacity, isolation, SystemInfo::default())
}

fn request(cpus: u32, gib: u64) -> Request {
    Request {
        cpu: MilliCpu::cpus(cpus),
        memory: Bytes::gib(gib),
        ..Request::default()
    }
}

fn idle(report: &MachineReport) -> Spare {
    Spare::of(report, &Allocation::default(), 8)
}

/// What happens to the machines of one kind.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, u32, u64),
    Set(u8, u32, u64),
    Take(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let machine = 0..40_u8;
    let step = prop_oneof![
        3 => (machine.clone(), 0..9_u32, 0..9_u64).prop_map(|(m, c, g)| Step::Put(m, c, g)),
        3 => (machine.clone(), 0..9_u32, 0..9_u64).prop_map(|(m, c, g)| Step::Set(m, c, g)),
        1 => machine.prop_map(Step::Take),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever came and went, going from one machine with room to the next finds each of them once and no other.
    #[test]
    fn every_machine_with_room_is_found_and_no_other(
        steps in steps(),
        cpus in 0..9_u32,
        gib in 0..9_u64,
        from in any::<prop::sample::Index>(),
    ) {
        let kind = Kind::of(&report(8, 8, 0), Vec::new());
        let (mut room, mut model) = (Room::default(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Put(number, cpus, gib) => {
                    let spare = idle(&report(cpus, gib, 0));
                    room.put(machine(number), kind.clone(), spare);
                    model.insert(machine(number), spare);
                }
                Step::Set(number, cpus, gib) => {
                    let spare = idle(&report(cpus, gib, 0));
                    room.set(machine(number), spare);
                    if let Some(known) = model.get_mut(&machine(number)) {
                        *known = spare;
                    }
                }
                Step::Take(number) => {
                    room.take(machine(number));
                    model.remove(&machine(number));
                }
            }
        }
        let request = request(cpus, gib);
        let fitting = model.iter().filter(|(_, spare)| spare.covers(&request, Bytes::ZERO));
        let expected: BTreeSet<MachineId> = fitting.map(|(machine, _)| *machine).collect();
        prop_assert_eq!(room.is_empty(), model.is_empty());
        prop_assert_eq!(room.may_fit(&request, Bytes::ZERO), !expected.is_empty());
        for (_, _, group) in room.groups() {
            let walk = |mut from: usize| {
                let mut found = Vec::new();
                while let Some((place, machine)) = group.next(&request, Bytes::ZERO, from) {
                    found.push((place, machine));
                    from = place + 1;
                }
                found
            };
            let all = walk(0);
            let machines: BTreeSet<MachineId> = all.iter().map(|(_, machine)| *machine).collect();
            prop_assert_eq!((&machines, all.len()), (&expected, expected.len()));
            let from = from.index(group.machines.len() + 1);
            let rest: Vec<_> = all.iter().copied().filter(|(place, _)| *place >= from).collect();
            prop_assert_eq!(walk(from), rest);
        }
    }
}

#[test]
fn a_task_goes_to_the_smallest_kind_and_past_machines_without_its_gpus() {
    let mut room = Room::default();
    for (number, report) in [report(64, 512, 2), report(4, 8, 0), report(16, 64, 0)]
        .iter()
        .enumerate()
    {
        let number = u8::try_from(number).unwrap();
        room.put(machine(number), Kind::of(report, Vec::new()), idle(report));
    }
    let first = |request: &Request| {
        let mut groups = room.groups().filter(|(_, kind, _)| kind.has_model(request));
        groups.find_map(|(_, _, group)| group.next(request, Bytes::ZERO, 0))
    };
    assert_eq!(first(&request(1, 1)), Some((0, machine(1))));
    assert_eq!(first(&request(8, 1)), Some((0, machine(2))));
    let mut graphics = request(1, 1);
    let asked = GpuRequest {
        count: 2,
        model: Some("h200".to_owned()),
        memory: None,
        share: false,
        memory_most: None,
    };
    graphics.gpu = Some(asked.clone());
    assert_eq!(first(&graphics), Some((0, machine(0))));
    for (count, model) in [(3, "h200"), (1, "rtx-4090")] {
        graphics.gpu = Some(GpuRequest {
            count,
            model: Some(model.to_owned()),
            ..asked.clone()
        });
        assert_eq!(first(&graphics), None);
    }
}

#[test]
fn what_is_held_of_gpus_is_not_spare() {
    let report = report(8, 64, 2);
    let held = Allocation {
        gpus: vec!["GPU-0".to_owned(), "GPU-1".to_owned()],
        gpu_shares: [("GPU-1".to_owned(), Bytes::gib(60))].into(),
        ..Allocation::default()
    };
    let spare = Spare::of(&report, &held, 8);
    let asking = |count, memory, share| {
        let gpu = GpuRequest {
            count,
            model: None,
            memory: Some(Bytes::gib(memory)),
            share,
            memory_most: None,
        };
        Request {
            gpu: Some(gpu),
            ..request(1, 1)
        }
    };
    assert!(spare.covers(&request(8, 64), Bytes::ZERO));
    assert!(spare.covers(&asking(1, 20, true), Bytes::ZERO));
    assert!(!spare.covers(&asking(1, 21, true), Bytes::ZERO));
    assert!(!spare.covers(&asking(1, 20, false), Bytes::ZERO));
    assert!(!Spare::of(&report, &held, 0).covers(&request(1, 1), Bytes::ZERO));
}

#[test]
fn the_order_of_coming_is_no_difference() {
    let reports = [report(4, 8, 0), report(4, 8, 0), report(16, 64, 1)];
    let room = |order: [u8; 3]| {
        let mut room = Room::default();
        for number in order {
            let report = &reports[usize::from(number)];
            room.put(machine(number), Kind::of(report, Vec::new()), idle(report));
        }
        room
    };
    let mut other = room([2, 1, 0]);
    assert_eq!(room([0, 1, 2]), other);
    other.set(machine(1), Spare::default());
    assert_ne!(room([0, 1, 2]), other);
    for number in 0..3 {
        other.take(machine(number));
    }
    assert_eq!(other, Room::default());
}
