//! Random loads: whatever takes whose place, it comes to an end, and nobody waits for ever.

use common::{
    id::UserId,
    job::JobSpec,
    status::{Precedence, Preemption, Priority},
};
use proptest::{collection::vec, prelude::*};

use super::{pass_time, run, set};
use crate::{
    Event,
    schedule::preempt::MAX_GAVE_WAY,
    tests::{
        history::check_preemptions,
        invariants,
        preemption::give_way,
        world::{ALICE, BOB, CAROL, World, array, asking, capacity, report},
    },
};

const PEOPLE: [UserId; 3] = [ALICE, BOB, CAROL];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        owner: usize,
        priority: usize,
        cpus: u32,
        tasks: u32,
    },
    /// What was told to give way does so.
    GiveWay,
    /// The oldest task ends.
    End,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize, 0..3usize, 1..4u32, 1..4u32)
            .prop_map(|(owner, priority, cpus, tasks)| Step::Submit { owner, priority, cpus, tasks }),
        2 => Just(Step::GiveWay),
        1 => Just(Step::End),
        3 => (10..1000u64).prop_map(Step::Wait),
    ]
}

/// Takes one step, and returns how often something gave way to others than its machine's owner.
fn take(world: &mut World, step: &Step, submitted: &mut u8) -> usize {
    let mut wait = 0;
    match step {
        Step::Submit {
            owner,
            priority,
            cpus,
            tasks,
        } => {
            *submitted += 1;
            let spec = JobSpec {
                priority: Priority::ALL[*priority],
                array: array(*tasks, None).array,
                ..asking(*cpus, 1)
            };
            world.submit(PEOPLE[*owner], *submitted, spec).unwrap();
        }
        Step::GiveWay => give_way(world),
        Step::End => {
            let running = world.live();
            running.first().iter().for_each(|id| world.succeed(**id));
        }
        Step::Wait(seconds) => wait = *seconds,
    }
    run(world);
    let before = world.clone();
    let events = pass_time(world, wait);
    check_preemptions(&before, &events);
    assert_eq!(invariants::unblocked(world), None, "there is room");
    let guests = events.iter().filter(|event| match event {
        Event::AttemptPreempted { by, .. } => by.precedence != Precedence::OwnMachine,
        _ => false,
    });
    guests.count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn who_gave_way_causes_nothing_and_everything_ends(
        steps in vec(step(), 1..30),
        share in any::<bool>(),
    ) {
        let mut world = World::new();
        world.machine(10, ALICE, "ten", report(capacity(4, 64)));
        world.machine(11, BOB, "eleven", report(capacity(3, 64)));
        let rule = if share { Preemption::Share } else { Preemption::Priority };
        set(&mut world, "preemption", rule.as_str());
        let mut submitted = 100;
        let mut preemptions = 0;
        for step in &steps {
            preemptions += take(&mut world, step, &mut submitted);
            invariants::check(&world);
        }
        // Nothing new comes: a task runs for a quarter of an hour, unless it has to give way.
        const MOST_ROUNDS: usize = 1000;
        let mut rounds = 0;
        while world.state.progress.values().any(|progress| progress.ended_at.is_none()) {
            rounds += 1;
            prop_assert!(rounds < MOST_ROUNDS, "it goes on for ever");
            for step in [Step::Wait(900), Step::GiveWay, Step::End] {
                preemptions += take(&mut world, &step, &mut submitted);
            }
        }
        let tasks: usize = world.state.jobs.values().map(|job| job.task_count() as usize).sum();
        prop_assert!(preemptions <= tasks * MAX_GAVE_WAY as usize);
    }
}
