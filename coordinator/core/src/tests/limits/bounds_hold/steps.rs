//! What can happen, in any order.

use common::{
    job::JobSpec,
    resources::GpuRequest,
    units::{Bytes, MilliCpu},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::MODELS;
use crate::tests::world::{array, spec};

/// What a job asks for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) tasks: u32,
    pub(super) cpus: u32,
    pub(super) gib: u64,
    pub(super) gpus: u32,
    pub(super) model: Option<usize>,
    pub(super) share: bool,
    pub(super) form: Form,
}

/// How its tasks lie on machines.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Array,
    /// Each has a machine to itself.
    Exclusive,
    /// All at once or none.
    Gang,
}

impl Wish {
    pub(super) fn spec(&self) -> JobSpec {
        let mut wish = JobSpec {
            array: array(self.tasks, None).array,
            ..spec()
        };
        wish.request.cpu = MilliCpu::cpus(self.cpus);
        wish.request.memory = Bytes::gib(self.gib);
        wish.request.gpu = (self.gpus > 0).then(|| GpuRequest {
            count: self.gpus,
            model: self.model.map(|index| MODELS[index].to_owned()),
            memory: self.share.then(|| Bytes::gib(8)),
            share: self.share,
            memory_most: None,
        });
        match self.form {
            Form::Array => {}
            Form::Exclusive => wish.request.exclusive = true,
            Form::Gang => {
                wish.array = None;
                wish.nodes = Some(2);
            }
        }
        wish
    }
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Submit {
        member: usize,
        wish: Wish,
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

fn wish() -> impl Strategy<Value = Wish> {
    let form =
        prop_oneof![3 => Just(Form::Array), 1 => Just(Form::Exclusive), 2 => Just(Form::Gang)];
    let model = prop::option::of(0usize..2);
    let asked = (
        1u32..6,
        1u32..3,
        1u64..3,
        0u32..3,
        model,
        any::<bool>(),
        form,
    );
    asked.prop_map(|(tasks, cpus, gib, gpus, model, share, form)| Wish {
        tasks,
        cpus,
        gib,
        gpus,
        model,
        share,
        form,
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let few = [most(), most(), most(), most(), most()];
    let more = [most(), most(), most(), most(), most()];
    prop_oneof![
        6 => (0usize..3, wish()).prop_map(|(member, wish)| Step::Submit { member, wish }),
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
