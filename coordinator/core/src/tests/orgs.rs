//! Roles, settings and their switches, limits, leaving.

use common::{
    code::Code,
    job::{JobSpec, TaskCounts},
    limits::Limits,
    org::{OrgSettings, settings::SettingsChange},
    problem::Problem,
    status::{EndReason, JobStatus, Role, Visibility},
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, capacity, job_id, name, refused, report, spec, wish},
};
use crate::{
    Body, Effect, Event,
    command::{OrgCommand, invitation::InvitationCommand},
    effects,
    event::OrgEvent,
    query::enrolment,
};

#[test]
fn only_the_owner_makes_admins() {
    let mut world = World::new();
    let role = |handle, role| Body::SetRole {
        org: ORG,
        handle: name(handle),
        role,
    };
    assert_eq!(
        refused(world.user_does(BOB, role("carol", Role::Admin))).code,
        Code::Permission
    );
    world.user_does(ALICE, role("bob", Role::Admin)).unwrap();
    assert_eq!(
        refused(world.user_does(BOB, role("carol", Role::Admin))).code,
        Code::Permission
    );
    assert_eq!(
        refused(world.user_does(ALICE, role("bob", Role::Owner))).code,
        Code::OneOwner
    );
    assert_eq!(
        refused(world.user_does(ALICE, role("alice", Role::Member))).code,
        Code::OneOwner
    );
    assert_eq!(
        refused(world.user_does(ALICE, role("dora", Role::Admin))).code,
        Code::NotFound
    );
    assert_eq!(
        world.user_does(ALICE, role("bob", Role::Admin)),
        Ok(Vec::new())
    );
    invariants::check(&world);
}

#[test]
fn an_admin_cannot_remove_an_admin_and_nobody_the_owner() {
    let mut world = World::new();
    world.join(4, "dora", Role::Member);
    for handle in ["bob", "carol"] {
        let body = Body::SetRole {
            org: ORG,
            handle: name(handle),
            role: Role::Admin,
        };
        world.user_does(ALICE, body).unwrap();
    }
    let remove = |handle| Body::RemoveMember {
        org: ORG,
        handle: name(handle),
    };
    assert_eq!(
        refused(world.user_does(BOB, remove("carol"))).code,
        Code::Permission
    );
    assert_eq!(
        refused(world.user_does(BOB, remove("alice"))).code,
        Code::OwnerStays
    );
    assert_eq!(
        refused(world.user_does(ALICE, remove("alice"))).code,
        Code::OwnerStays
    );
    world.user_does(BOB, remove("dora")).unwrap();
    world.user_does(BOB, remove("bob")).unwrap();
    assert_eq!(
        refused(world.user_does(BOB, remove("carol"))).code,
        Code::NotFound
    );
    invariants::check(&world);
}

#[test]
fn removal_ends_everything_of_the_member_in_one_go() {
    let mut world = World::new();
    world.machine(10, BOB, "bobs", report(capacity(2, 8)));
    world.machine(11, ALICE, "alices", report(capacity(2, 8)));
    // Carol's job on bob's machine, bob's on alice's and one that waits.
    world.submit(CAROL, 31, spec()).unwrap();
    for number in 32..36 {
        world.submit(BOB, number, spec()).unwrap();
    }
    assert_eq!(world.schedule().len(), 4);
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    let events = world.user_does(ALICE, body).unwrap();
    invariants::check(&world);
    let closed = events.iter().flat_map(|event| effects(&world.state, event));
    let closed = closed
        .filter(|effect| matches!(effect, Effect::Close(_)))
        .count();
    assert_eq!(closed, 2, "his and his machine's certificate");
    let certificates = world.state.certificates.keys();
    let mut good = certificates
        .filter(|serial| enrolment::certificate(&world.state, **serial, world.now).is_ok());
    assert_eq!(
        (good.by_ref().count(), world.state.certificates.len()),
        (2, 4)
    );
    for (id, attempt) in &world.state.attempts {
        let job = &world.state.jobs[&id.job];
        if attempt.is_live() {
            assert!(
                job.owner != BOB
                    || matches!(
                        attempt.state,
                        crate::lifecycle::attempt::AttemptState::Stopping {
                            reason: EndReason::Cancelled
                        }
                    )
            );
        }
    }
    world.schedule();
    for id in world.live() {
        world.succeed(id);
    }
    world.schedule();
    invariants::check(&world);
    for (id, progress) in &world.state.progress {
        let TaskCounts { queued, .. } = progress.counts;
        if world.state.jobs[id].owner == BOB {
            assert_eq!(queued, 0);
            assert!(progress.status().has_ended());
        }
    }
    let statuses = world
        .state
        .progress
        .values()
        .map(crate::state::job::JobProgress::status);
    assert!(
        statuses
            .filter(|status| *status == JobStatus::Cancelled)
            .count()
            >= 1
    );
    assert_eq!(refused(world.submit(BOB, 40, spec())).code, Code::NotFound);
}

#[test]
fn a_limit_names_itself_its_value_and_the_use() {
    let mut world = World::new();
    let limits = Limits {
        max_machines_per_user: Some(1),
        max_queued_jobs_per_user: Some(3),
        max_job_memory: Some(common::units::Bytes::gib(2)),
        max_job_runtime: Some("1h".parse().unwrap()),
        ..Limits::default()
    };
    let body = Body::ApplyLimits {
        org: ORG,
        limits: Box::new(limits.clone()),
    };
    assert_eq!(refused(world.user_does(BOB, body)).code, Code::Permission);
    world.limit(limits);
    world.register(10, BOB, "one").unwrap();
    let problem = refused(world.register(11, BOB, "two"));
    assert_eq!(problem.code, Code::Limit);
    assert_eq!(
        problem.why,
        "max_machines_per_user is 1 in the limits of org lab; 1 machine registered now"
    );
    world.submit(BOB, 30, super::world::array(2, None)).unwrap();
    let problem = refused(world.submit(BOB, 31, super::world::array(2, None)));
    assert!(
        problem.why.contains("max_queued_jobs_per_user is 3")
            && problem.why.contains("2 tasks wait"),
        "{problem}"
    );
    let problem = refused(world.submit(BOB, 32, super::world::asking(1, 3)));
    assert!(problem.why.contains("max_job_memory is 2 GiB"), "{problem}");
    let long = JobSpec {
        max_runtime: Some("2h".parse().unwrap()),
        ..spec()
    };
    let problem = refused(world.submit(BOB, 33, long));
    assert!(problem.why.contains("max_job_runtime is 1h"), "{problem}");
    assert!(matches!(
        world.submit(CAROL, 34, spec()).unwrap()[..],
        [Event::JobSubmitted { .. }]
    ));
}

fn set(
    world: &mut World,
    by: common::id::UserId,
    settings: &[(&str, &str)],
) -> Result<Vec<Event>, crate::Rejection> {
    let mut change = SettingsChange::default();
    for (key, value) in settings {
        change.set(key, value).unwrap();
    }
    let change = Box::new(change);
    world.user_does(
        by,
        Body::Org(OrgCommand::ChangeSettings { org: ORG, change }),
    )
}

#[test]
fn admins_change_settings_and_the_owner_alone_those_of_safety() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    let dora = super::world::user(4);
    let texts = [
        ("display_name", "The Lab"),
        ("members_may_open_ports", "on"),
    ];
    assert_eq!(refused(set(&mut world, BOB, &texts)).code, Code::Permission);
    let events = set(&mut world, dora, &texts).unwrap();
    let [Event::Org(OrgEvent::OrgSettingsChanged { before, after, .. })] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(**before, OrgSettings::default());
    assert_eq!(
        (after.display_name.as_str(), after.members_may_open_ports),
        ("The Lab", true)
    );
    assert_eq!(
        set(&mut world, dora, &texts),
        Ok(Vec::new()),
        "what is so already is no event"
    );
    let trail = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(trail["event"], "org_settings_changed");
    assert_eq!(trail["before"]["display_name"], "");
    for who in [ALICE, dora] {
        super::two_factor::turn_on(&mut world, who);
    }
    for key in ["admins_may_manage_admins", "require_two_factor"] {
        assert_eq!(
            refused(set(&mut world, dora, &[(key, "on")])).code,
            Code::Permission
        );
        set(&mut world, ALICE, &[(key, "on")]).unwrap();
        assert_eq!(
            refused(set(&mut world, dora, &[(key, "off")])).code,
            Code::Permission
        );
    }
    let long = "x".repeat(5000);
    let before = world.state.clone();
    let problem = refused(set(
        &mut world,
        ALICE,
        &[("contact", "me"), ("description", &long)],
    ));
    assert_eq!(problem.code, Code::BadSetting);
    assert!(
        problem.why.contains("description has 5000 bytes"),
        "{problem}"
    );
    assert!(world.state == before, "nothing of it is changed");
    invariants::check(&world);
}

#[test]
fn switches_widen_what_roles_may_at_once() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    let dora = super::world::user(4);
    let invite = |number, role| Body::Invitation(InvitationCommand::Create(wish(number, role)));
    let problem = refused(world.user_does(BOB, invite(50, Role::Member)));
    assert_eq!(
        problem.why,
        "your role is member; it takes admin, or the org's setting members_may_invite"
    );
    set(&mut world, ALICE, &[("members_may_invite", "on")]).unwrap();
    world.user_does(BOB, invite(51, Role::Member)).unwrap();
    assert_eq!(
        refused(world.user_does(BOB, invite(52, Role::Admin))).code,
        Code::Permission
    );
    set(&mut world, ALICE, &[("members_may_invite", "off")]).unwrap();
    assert_eq!(
        refused(world.user_does(BOB, invite(53, Role::Member))).code,
        Code::Permission
    );

    let bob_is = |role| Body::SetRole {
        org: ORG,
        handle: name("bob"),
        role,
    };
    assert_eq!(
        refused(world.user_does(dora, bob_is(Role::Admin))).code,
        Code::Permission
    );
    assert_eq!(
        refused(world.user_does(dora, invite(54, Role::Admin))).code,
        Code::Permission
    );
    set(&mut world, ALICE, &[("admins_may_manage_admins", "on")]).unwrap();
    world.user_does(dora, bob_is(Role::Admin)).unwrap();
    world.user_does(dora, invite(55, Role::Admin)).unwrap();
    let bob_goes = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(dora, bob_goes).unwrap();
    invariants::check(&world);
}

#[test]
fn datasets_and_jobs_have_the_visibility_that_the_org_says_where_their_makers_say_nothing() {
    use Visibility::{OrgRead, OrgWrite, Personal};
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    let said = |visibility| JobSpec {
        visibility: Some(visibility),
        ..spec()
    };
    let mut number = 20;
    for (setting, default) in [
        (None, Personal),
        (Some("org_read"), OrgRead),
        (Some("org_write"), OrgWrite),
    ] {
        if let Some(setting) = setting {
            set(&mut world, ALICE, &[("default_visibility", setting)]).unwrap();
        }
        let called = format!("data-{number}");
        world.add_version(BOB, number, &called, None, None).unwrap();
        let row = world
            .state
            .datasets
            .values()
            .find(|row| row.name == name(&called));
        assert_eq!(row.unwrap().visibility, default);
        world.submit(BOB, number, spec()).unwrap();
        world.submit(BOB, number + 1, said(Personal)).unwrap();
        world.submit(BOB, number + 2, said(OrgRead)).unwrap();
        let job = |number| world.state.jobs[&job_id(number)].visibility();
        assert_eq!(
            [job(number), job(number + 1), job(number + 2)],
            [default, Personal, OrgRead]
        );
        number += 3;
    }
    // Submitted before, it stays as it was; who may read may look, and who may write may cancel.
    let codes = [1, 4, 7].map(|number| {
        let cancelled = world.cancel(CAROL, number, None);
        cancelled
            .err()
            .map(|rejection| Problem::from(rejection).code)
    });
    assert_eq!(codes, [Some(Code::NotFound), Some(Code::Permission), None]);

    // What belongs to a project is the project's, whatever the org says.
    world.project(BOB, 1, "vision");
    let inside = JobSpec {
        project: Some(name("vision")),
        ..spec()
    };
    world.submit(BOB, 40, inside).unwrap();
    assert_eq!(refused(world.cancel(CAROL, 10, None)).code, Code::NotFound);
    invariants::check(&world);
}
