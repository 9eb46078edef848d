//! The audit log: whose an event is, what is said of it, and what is never said.

use std::collections::BTreeMap;

use common::{
    audit::AuditEntry,
    code::Code,
    id::{CodeDigest, InvitationId, JobId, OrgId},
    job::JobSpec,
    limits::Limits,
    status::{AuditKind, EndReason, Role},
    time::Span,
    wire::agent::AttemptReport,
};
use serde_json::{Value, json};

use super::world::{
    ALICE, BOB, CAROL, ORG, World, asking, capacity, machine_id, name, outcome, report, spec, user,
    wish,
};
use crate::{
    Actor, Body, Event, State, audit,
    command::invitation::{CreateInvitations, InvitationCommand},
    query::audit::{Kept, Sought, in_words, may_see, seek},
};

/// Fields that hold what only its owner may know, sealed or not, or what it could be guessed from.
const NEVER_TOLD: [&str; 14] = [
    "code",
    "codes",
    "digest",
    "ciphertext",
    "encapsulated",
    "value",
    "password",
    "hash",
    "salt",
    "totp",
    "totp_secret",
    "recovery_codes",
    "token_hash",
    "secret_hash",
];

/// Checks what the trail says of an event. Every event that any test of the core makes comes through here.
pub(super) fn check_entry(state: &State, event: &Event) {
    let json = serde_json::to_value(event).expect("an event is JSON");
    let fields = json.as_object().expect("an event has fields");
    assert!(fields.get("event").is_some_and(Value::is_string), "{json}");
    nothing_secret(&json);
    let filed = audit::file(state, event);
    if let Some(org) = fields.get("org") {
        let said: OrgId = serde_json::from_value(org.clone()).expect("an id");
        assert_eq!(filed.org, Some(said), "it says whose it is: {json}");
    }
    if let Some(org) = filed.org {
        assert_eq!(filed.orgs, [org]);
    }
    if fields.contains_key("after") {
        assert!(fields.contains_key("before"), "{json}");
    }
}

fn nothing_secret(json: &Value) {
    match json {
        Value::Object(fields) => {
            for (field, value) in fields {
                let told = NEVER_TOLD.contains(&field.as_str()) && !value.is_null();
                assert!(!told, "{field} is told: {json}");
                if field == "env" {
                    let values = value.as_object().into_iter().flat_map(|env| env.values());
                    values.for_each(|value| assert_eq!(value, "(not told)"));
                }
                nothing_secret(value);
            }
        }
        Value::Array(items) => items.iter().for_each(nothing_secret),
        _ => {}
    }
}

/// Returns what the log says of an event, which somebody has done.
fn said(state: &State, actor: Actor, event: &Event) -> AuditEntry {
    let filed = audit::file(state, event);
    let kept = Kept {
        number: 0,
        at: common::time::Timestamp::default(),
        kind: filed.kind,
        actor,
        json: json!({"at": 0, "event": event}).to_string(),
    };
    in_words(state, kept)
}

#[track_caller]
fn check(world: &World, events: &[Event], event: &str, subject: &str, change: Option<&str>) {
    let entries = events
        .iter()
        .map(|event| said(&world.state, Actor::User(ALICE), event));
    let all: Vec<AuditEntry> = entries.collect();
    let entry = all
        .iter()
        .find(|entry| entry.event == event)
        .unwrap_or_else(|| panic!("no {event} in {all:?}"));
    assert_eq!(entry.actor.name.as_deref(), Some("alice"));
    assert_eq!(entry.subject.as_deref().unwrap_or(""), subject, "{entry:?}");
    assert_eq!(entry.change.as_deref(), change, "{entry:?}");
}

#[test]
fn entries_say_names_and_what_was_before_and_after() {
    let mut world = World::new();
    let role = Body::SetRole {
        org: ORG,
        handle: name("bob"),
        role: Role::Admin,
    };
    let events = world.user_does(ALICE, role).unwrap();
    let change = Some("member -> admin");
    check(&world, &events, "role_changed", "bob", change);
    let limits = Limits {
        max_machines_per_user: Some(3),
        ..Limits::default()
    };
    let body = Body::ApplyLimits {
        org: ORG,
        limits: Box::new(limits),
    };
    let events = world.user_does(ALICE, body).unwrap();
    let change = Some("max_machines_per_user: none -> 3");
    check(&world, &events, "limits_applied", "", change);

    for (reset, change) in [(false, "sign-in link"), (true, "sign-in link with a reset")] {
        let number = u8::from(reset) + 90;
        let link = Body::CreateLoginLink {
            invitation: InvitationId::from_bytes([number; 16]),
            org: ORG,
            code: CodeDigest::new([number; 32]),
            ttl: Span::from_secs(60),
            user: Some(name("carol")),
            reset,
        };
        let events = world.user_does(ALICE, link).unwrap();
        let subject = format!(
            "carol, who may sign in by {}",
            InvitationId::from_bytes([number; 16])
        );
        check(
            &world,
            &events,
            "invitation_created",
            &subject,
            Some(change),
        );
    }

    let events = world.register(10, BOB, "box").unwrap();
    check(&world, &events, "machine_registered", "box", None);
    let body = Body::RejectMachine {
        org: ORG,
        name: name("box"),
        reason: "not ours".to_owned(),
    };
    let events = world.user_does(ALICE, body).unwrap();
    check(&world, &events, "machine_rejected", "box", Some("not ours"));

    world.machine(11, BOB, "other", report(capacity(4, 8)));
    let events = world.submit(CAROL, 30, asking(1, 1)).unwrap();
    check(&world, &events, "job_submitted", "job 1", None);
    world.schedule();
    let attempt = world.live()[0];
    let events = world.end(attempt, outcome(EndReason::Exited, Some(0)));
    check(
        &world,
        &events,
        "attempt_ended",
        "job 1.0, try 1",
        Some("exited"),
    );
    check(&world, &events, "job_ended", "job 1", Some("succeeded"));

    let decided = json!({"event": {
        "event": "approval_decided",
        "subject": {"machine": machine_id(11)},
        "before": "waiting",
        "after": {"rejected": {"by": {"user": ALICE}, "at": 0, "reason": "too loud"}},
    }});
    let entry = in_words(
        &world.state,
        Kept {
            number: 8,
            at: common::time::Timestamp::default(),
            kind: AuditKind::Approval,
            actor: Actor::User(ALICE),
            json: decided.to_string(),
        },
    );
    assert_eq!(entry.subject.as_deref(), Some("other"));
    let change = "waiting -> rejected: too loud";
    assert_eq!(entry.change.as_deref(), Some(change));

    // Ids of people and projects are names.
    world.project(BOB, 70, "vision");
    let users = json!({"event": {
        "event": "secret_users_changed",
        "before": {"members": [], "projects": []},
        "after": {"members": [ALICE, BOB], "projects": [super::projects::project_id(70)]},
    }});
    let entry = in_words(
        &world.state,
        Kept {
            number: 9,
            at: common::time::Timestamp::default(),
            kind: AuditKind::Secret,
            actor: Actor::System,
            json: users.to_string(),
        },
    );
    assert_eq!(
        entry.change.as_deref(),
        Some("members: none -> alice and bob, projects: none -> vision")
    );
    assert_eq!(entry.actor.shown(), "(system)");

    // What this program does not know is not made up.
    let unknown = Kept {
        number: 7,
        at: common::time::Timestamp::default(),
        kind: AuditKind::Org,
        actor: Actor::System,
        json: r#"{"event":{"event":"from_the_future","machine":7,"after":{"x":["long"]}}}"#
            .to_owned(),
    };
    let entry = in_words(&world.state, unknown.clone());
    assert_eq!((entry.number, entry.event.as_str()), (7, "from_the_future"));
    assert_eq!((entry.subject, entry.actor.name), (None, None));
    for json in ["", "[]", "{", r#"{"event":7}"#] {
        let json = json.to_owned();
        let entry = in_words(
            &world.state,
            Kept {
                json,
                ..unknown.clone()
            },
        );
        assert_eq!(entry.event, "");
    }
}

#[test]
fn what_happens_to_a_user_is_told_in_each_of_their_orgs() {
    let mut world = World::new();
    let shop = OrgId::from_bytes([2; 16]);
    let body = Body::CreateOrg {
        org: shop,
        name: name("shop"),
        owner: ALICE,
        handle: name("alice"),
    };
    world.must(Actor::System, body);
    let of = |world: &World, event: &Event| audit::file(&world.state, event);
    let signed_in = |who| Event::CertificateIssued {
        serial: common::id::CertificateSerial::new([77; 16]),
        holder: who,
        device: None,
        key: common::id::Fingerprint::new([77; 32]),
        at: world.now,
        expires_at: world.now,
    };
    let alices = of(&world, &signed_in(crate::event::Holder::User(ALICE)));
    assert_eq!((alices.org, alices.orgs), (None, vec![ORG, shop]));
    let bobs = of(&world, &signed_in(crate::event::Holder::User(BOB)));
    assert_eq!((bobs.org, bobs.orgs), (None, vec![ORG]));
    let strangers = of(&world, &signed_in(crate::event::Holder::User(user(99))));
    assert_eq!((strangers.org, strangers.orgs), (None, Vec::new()));
    let gone = Event::JobCancelled {
        job: JobId::from_bytes([99; 16]),
    };
    assert_eq!(of(&world, &gone).orgs, Vec::new());
}

#[test]
fn admins_see_the_log_and_find_who_was_there() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    let may = |world: &World, user| may_see(&world.state, user, ORG).map_err(|p| p.code);
    assert_eq!(may(&world, ALICE), Ok(()));
    assert_eq!(may(&world, BOB), Err(Code::Permission));
    assert_eq!(may(&world, user(99)), Err(Code::NotFound));
    let of = |world: &World, name: &str| seek(&world.state, ORG, name);
    assert_eq!(of(&world, "bob"), Sought::Known(Actor::User(BOB)));
    let the_box = Actor::Machine(machine_id(10));
    assert_eq!(of(&world, "box"), Sought::Known(the_box));
    for system in ["system", "(system)"] {
        assert_eq!(of(&world, system), Sought::Known(Actor::System));
    }
    for nobody in ["nobody", "", "B O B"] {
        assert_eq!(of(&world, nobody), Sought::Unknown);
    }
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(ALICE, body).unwrap();
    assert_eq!(of(&world, "bob"), Sought::Past(Actor::User(BOB)));
    assert_eq!(of(&world, "box"), Sought::Known(the_box), "it was here");
}

#[test]
fn variables_are_told_by_name_only() {
    let mut world = World::new();
    let env = BTreeMap::from([("HF_TOKEN".to_owned(), "hunter2".to_owned())]);
    let events = world.submit(CAROL, 30, JobSpec { env, ..spec() }).unwrap();
    let json = serde_json::to_string(&events).unwrap();
    assert!(
        json.contains("HF_TOKEN") && !json.contains("hunter2"),
        "{json}"
    );
    assert_eq!(
        world.state.jobs.values().next().unwrap().spec.env["HF_TOKEN"],
        "hunter2"
    );
}

#[test]
fn an_invitation_for_an_address_is_told_with_it() {
    let mut world = World::new();
    let wish = CreateInvitations {
        invitee: Some("grace@lab.example".parse().unwrap()),
        ..wish(50, Role::Member)
    };
    let body = Body::Invitation(InvitationCommand::Create(wish));
    let events = world.user_does(ALICE, body).unwrap();
    let id = InvitationId::from_bytes([50; 16]);
    let subject = format!("invitation {id} for grace@lab.example");
    let change = Some("as member");
    check(&world, &events, "invitation_created", &subject, change);
    let code = CodeDigest::new([50; 32]);
    let declined = world.run(Actor::Stranger, Body::DeclineInvitation { code });
    let declined = declined.unwrap();
    check(&world, &declined, "invitation_declined", &subject, None);
    // What was told stays told, and that it was forgotten is no news to anybody.
    world.wait(31 * 86_400);
    let forgotten = world.run(Actor::System, Body::ForgetInvitations { most: 100 });
    check(&world, &events, "invitation_created", &subject, change);
    for event in forgotten.unwrap() {
        let filed = audit::file(&world.state, &event);
        assert_eq!(filed.kind, AuditKind::Connection);
    }
}

#[test]
fn of_an_attempt_the_end_is_kept_and_the_steps_before_are_not() {
    let mut world = World::new();
    world.machine(11, BOB, "other", report(capacity(4, 8)));
    let mut events = world.submit(CAROL, 30, asking(1, 1)).unwrap();
    events.extend(world.must(Actor::System, Body::Schedule { most: 8 }));
    let attempt = world.live()[0];
    let at = world.now;
    let started = AttemptReport::Started { at };
    events.extend(world.report(attempt, started).unwrap());
    events.extend(world.end(attempt, outcome(EndReason::Exited, Some(0))));

    let stored = events.iter().filter(|event| !event.touched().is_empty());
    let (kept, steps): (Vec<&Event>, Vec<&Event>) = stored.partition(|event| audit::is_kept(event));
    let named = |events: Vec<&Event>| -> Vec<Value> {
        let events = events.into_iter();
        let values = events.map(|event| serde_json::to_value(event).unwrap());
        values.map(|mut value| value["event"].take()).collect()
    };
    assert_eq!(named(kept), ["job_submitted", "attempt_ended", "job_ended"]);
    assert_eq!(named(steps), ["attempt_placed", "attempt_started"]);
}
