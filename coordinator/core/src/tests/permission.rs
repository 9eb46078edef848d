//! What a permission check costs: no memory, however large the org is.

use common::status::Role;

use super::world::{ALICE, BOB, CAROL, ORG, World, capacity, job_id, report, spec};
use crate::policy::{self, Action};

#[test]
fn a_check_that_lets_through_allocates_nothing() {
    let mut world = World::new();
    world.machine(1, BOB, "box", report(capacity(4, 8)));
    world.submit(BOB, 1, spec()).unwrap();
    world.dataset(BOB, 2, "digits");
    let state = &world.state;
    let job = &state.jobs[&job_id(1)];
    let dataset = state.datasets.values().next().unwrap();
    let mut let_through = 0;
    let counted = allocation_counter::measure(|| {
        for user in [ALICE, BOB, CAROL] {
            for action in Action::ALL {
                // Who is refused is told why, which takes words.
                let Ok(member) = policy::member(state, ORG, user) else {
                    continue;
                };
                if policy::always(member.role, *action) {
                    let permitted = policy::permit(state, ORG, user, *action).is_ok();
                    let_through += u32::from(permitted);
                }
            }
            let_through += u32::from(policy::may_see_job(state, user, Role::Member, job));
            let_through += u32::from(policy::may_cancel_job(state, user, Role::Member, job));
            let_through += u32::from(policy::may_read_dataset(state, user, Role::Member, dataset));
            let_through += u32::from(policy::may_extend_dataset(
                state,
                user,
                Role::Member,
                dataset,
            ));
            // Bob made it.
            let own = policy::check_delete(state, BOB, Role::Member, dataset, None);
            let_through += u32::from(own.is_ok());
        }
    });
    assert!(let_through > 50, "{let_through}");
    assert_eq!(counted.count_total, 0, "{counted:?}");
    // It is counted at all.
    assert_ne!(
        allocation_counter::measure(|| drop(vec![let_through])).count_total,
        0
    );
}
