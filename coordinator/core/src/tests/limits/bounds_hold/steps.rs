//! What can happen, in any order.

use proptest::{collection::vec, prelude::*, sample::Index};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Submit {
        member: usize,
        tasks: u32,
        cpus: u32,
        gib: u64,
        gpus: u32,
        model: Option<usize>,
        share: bool,
    },
    Schedule(u32),
    End(Index, bool),
    Cancel(u64),
    OrgLimits {
        concurrent: [Option<u64>; 5],
        per_user: [Option<u64>; 5],
        running: Option<u32>,
    },
    MemberLimit {
        member: usize,
        resource: usize,
        most: Option<u64>,
    },
    /// A machine says what it lends; the same GPUs may have become another model.
    Report {
        machine: usize,
        models: Vec<usize>,
    },
    Expire(usize),
    Back(usize),
    Remove(usize),
    Rejoin(usize),
}

fn most() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 2 => (0u64..5).prop_map(Some)]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let few = [most(), most(), most(), most(), most()];
    let more = [most(), most(), most(), most(), most()];
    prop_oneof![
        6 => (0usize..3, 1u32..6, 1u32..3, 1u64..3, 0u32..3, prop::option::of(0usize..2), any::<bool>())
            .prop_map(|(member, tasks, cpus, gib, gpus, model, share)| {
                Step::Submit { member, tasks, cpus, gib, gpus, model, share }
            }),
        8 => (1u32..6).prop_map(Step::Schedule),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(index, well)| Step::End(index, well)),
        1 => (1u64..8).prop_map(Step::Cancel),
        2 => (few, more, prop::option::of(0u32..6)).prop_map(|(concurrent, per_user, running)| {
            Step::OrgLimits { concurrent, per_user, running }
        }),
        3 => (0usize..3, 0usize..5, most())
            .prop_map(|(member, resource, most)| Step::MemberLimit { member, resource, most }),
        2 => (0usize..2, vec(0usize..2, 0..5))
            .prop_map(|(machine, models)| Step::Report { machine, models }),
        1 => (0usize..2).prop_map(Step::Expire),
        2 => (0usize..2).prop_map(Step::Back),
        1 => (1usize..3).prop_map(Step::Remove),
        2 => (1usize..3).prop_map(Step::Rejoin),
    ]
}
