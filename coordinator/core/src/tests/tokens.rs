//! API tokens: made, used, bounded by scope and org, revoked.

use std::time::Duration;

use common::{
    api::{
        Request,
        account::{AccountRequest, CreateLoginLink},
        member::RegisterMachine,
        token::TokenRequest,
    },
    code::Code,
    id::{CertificateSerial, CodeDigest, DeviceId, Fingerprint, OrgId, TokenId, UserId},
    limits::Limits,
    problem::Problem,
    status::TokenScope::{self, Admin, Read, Submit},
    time::Span,
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, name, refused, spec},
};
use crate::{
    Actor, Body, Effect, Event, Rejection,
    command::{
        NewCertificate, SignIn,
        token::{ExchangeToken, TokenCommand},
    },
    effects,
    policy::scopes::{Ask, needs},
    query::enrolment,
};

const DAY: u64 = 86_400;

fn create(number: u8, called: &str, scope: TokenScope, days: u64) -> Body {
    Body::Token(TokenCommand::Create {
        token: TokenId::from_bytes([number; 16]),
        org: ORG,
        name: name(called),
        scope,
        ttl: Span::from_secs(days * DAY),
        digest: CodeDigest::new([number; 32]),
        proof: None,
    })
}

fn revoke(called: &str) -> Body {
    Body::Token(TokenCommand::Revoke {
        org: ORG,
        named: name(called),
    })
}

/// Makes a token of bob's.
pub(super) fn make(world: &mut World) {
    world.user_does(BOB, create(30, "ci", Submit, 90)).unwrap();
}

/// Signs in with the token of this number, on a computer whose key has the other.
pub(super) fn exchange(
    world: &mut World,
    token: u8,
    key: u8,
) -> Result<CertificateSerial, Rejection> {
    let certificate = NewCertificate {
        expires_at: world.now.saturating_add(Duration::from_secs(DAY / 2)),
        ..world.certificate(key)
    };
    let body = Body::ExchangeToken(ExchangeToken {
        digest: CodeDigest::new([token; 32]),
        sign_in: SignIn {
            fresh_device: DeviceId::from_bytes([key; 16]),
            name: name("ci"),
            proof: None,
        },
        certificate,
    });
    world.run(Actor::Stranger, body)?;
    Ok(certificate.serial)
}

fn asks(world: &World, serial: CertificateSerial, request: &Request) -> Result<UserId, Problem> {
    enrolment::authorise(&world.state, serial, world.now, Ask::Request(request))
}

#[track_caller]
fn code_of(result: Result<UserId, Problem>) -> Code {
    result.expect_err("this should be refused").code
}

fn submit() -> Request {
    let submit = common::api::job::SubmitJob {
        org: ORG,
        spec: spec(),
        key: common::id::IdempotencyKey::from_bytes([1; 16]),
        dry_run: false,
    };
    Request::SubmitJob(Box::new(submit))
}

#[test]
fn a_token_reaches_as_far_as_its_scope_and_no_further() {
    let mut world = World::new();
    let list = Request::ListMachines {
        org: ORG,
        after: None,
    };
    let limits = Request::ApplyLimits {
        org: ORG,
        limits: Limits::default(),
    };
    let mut serials = Vec::new();
    for (number, scope) in [(30, Read), (31, Submit), (32, Admin)] {
        let body = create(number, scope.as_str(), scope, 90);
        world.user_does(ALICE, body).unwrap();
        serials.push(exchange(&mut world, number, number + 10).unwrap());
    }
    let may = |serial: usize, request: &Request| asks(&world, serials[serial], request);
    for serial in 0..3 {
        assert_eq!(may(serial, &list), Ok(ALICE));
        // What protects the account is for no token.
        let devices = Request::Account(AccountRequest::ListDevices { of: None });
        let password = Request::Account(AccountRequest::SetPassword {
            password: "correct horse".to_owned(),
            proof: None,
        });
        let tokens = Request::Token(TokenRequest::List {
            org: ORG,
            after: None,
        });
        for request in [
            devices,
            password,
            tokens,
            Request::CreateLoginLink(CreateLoginLink {
                org: ORG,
                user: None,
                reset: false,
            }),
        ] {
            assert_eq!(code_of(may(serial, &request)), Code::TokenScope);
        }
    }
    assert_eq!(may(1, &submit()), Ok(ALICE));
    assert_eq!(may(2, &limits), Ok(ALICE));
    let problem = may(0, &submit()).unwrap_err();
    assert_eq!(problem.code, Code::TokenScope);
    assert!(problem.why.contains("scope is read") && problem.why.contains("takes submit"));
    assert!(problem.help.contains("--scope submit"), "{problem:?}");
    assert_eq!(code_of(may(1, &limits)), Code::TokenScope);
    let upload = Ask::Upload { org: ORG };
    let denied = enrolment::authorise(&world.state, serials[0], world.now, upload);
    assert_eq!(code_of(denied), Code::TokenScope);
    // Other orgs are not there, not even for who is in them.
    let elsewhere = Request::ShowOrg {
        org: OrgId::from_bytes([9; 16]),
    };
    assert_eq!(code_of(may(2, &elsewhere)), Code::NotFound);
    // Whoever signed in without a token may everything.
    let own = *world.state.index.holders[&crate::event::Holder::User(BOB)]
        .first()
        .unwrap();
    assert_eq!(asks(&world, own, &limits), Ok(BOB));
    invariants::check(&world);
}

#[test]
fn what_each_request_takes_is_as_agreed() {
    let org = ORG;
    let register = RegisterMachine {
        org,
        name: name("box"),
        key: Fingerprint::new([1; 32]),
    };
    let table: &[(&str, Request, Option<TokenScope>)] = &[
        ("whoami", Request::WhoAmI, Some(Read)),
        ("see the org", Request::ShowOrg { org }, Some(Read)),
        ("submit", submit(), Some(Submit)),
        (
            "register a machine",
            Request::RegisterMachine(register),
            Some(Admin),
        ),
        (
            "remove a member",
            Request::RemoveMember {
                org,
                handle: name("bob"),
            },
            Some(Admin),
        ),
        (
            "make a sign-in link",
            Request::CreateLoginLink(CreateLoginLink {
                org,
                user: None,
                reset: false,
            }),
            None,
        ),
        (
            "turn two-factor off",
            Request::Account(AccountRequest::StopTwoFactor { proof: None }),
            None,
        ),
        (
            "sign out",
            Request::Account(AccountRequest::RevokeDevice {
                of: None,
                device: None,
            }),
            Some(Read),
        ),
        (
            "revoke a device",
            Request::Account(AccountRequest::RevokeDevice {
                of: None,
                device: Some(name("laptop")),
            }),
            None,
        ),
    ];
    for (what, request, scope) in table {
        assert_eq!(needs(Ask::Request(request)).scope, *scope, "{what}");
    }
}

#[test]
fn unknown_expired_and_revoked_tokens_say_which_they_are_and_change_nothing() {
    let mut world = World::new();
    world.user_does(BOB, create(30, "ci", Submit, 1)).unwrap();
    world.user_does(BOB, create(31, "old", Submit, 1)).unwrap();
    let serial = exchange(&mut world, 30, 40).unwrap();
    let second = exchange(&mut world, 30, 41).unwrap();

    let events = world.user_does(BOB, revoke("ci")).unwrap();
    let told: Vec<Effect> = events
        .iter()
        .flat_map(|event| effects(&world.state, event))
        .collect();
    for serial in [serial, second] {
        assert!(told.contains(&Effect::Close(serial)), "{told:?}");
        let problem = asks(&world, serial, &Request::WhoAmI).unwrap_err();
        assert_eq!(problem.code, Code::CertificateRevoked);
    }
    assert_eq!(
        refused(world.user_does(BOB, revoke("ci"))).code,
        Code::NotFound
    );
    let by_id = TokenId::from_bytes([30; 16]).to_string();
    assert_eq!(world.user_does(BOB, revoke(&by_id)), Ok(Vec::new()));
    let before = world.state.clone();
    let mut code = |token| Problem::from(exchange(&mut world, token, 50).unwrap_err()).code;
    assert_eq!(code(99), Code::TokenInvalid);
    assert_eq!(code(30), Code::TokenRevoked);
    world.wait(DAY);
    let mut code = |token| Problem::from(exchange(&mut world, token, 50).unwrap_err()).code;
    assert_eq!(code(31), Code::TokenExpired);
    assert_eq!(world.state, before);
    // Somebody else's is not there.
    assert_eq!(
        refused(world.user_does(CAROL, revoke("old"))).code,
        Code::NotFound
    );
    invariants::check(&world);
}

#[test]
fn a_program_renews_while_its_token_is_good_and_never_beyond() {
    let mut world = World::new();
    world.user_does(BOB, create(30, "ci", Read, 1)).unwrap();
    let old = exchange(&mut world, 30, 40).unwrap();
    world.wait(DAY / 3);
    let mut new = world.certificate(40);
    let beyond = Body::RenewCertificate { old, new };
    let problem = refused(world.user_does(BOB, beyond));
    assert_eq!(problem.code, Code::TokenExpired);
    new.expires_at = world.state.tokens[&TokenId::from_bytes([30; 16])].expires_at;
    world
        .user_does(BOB, Body::RenewCertificate { old, new })
        .unwrap();
    assert_eq!(asks(&world, new.serial, &Request::WhoAmI), Ok(BOB));
    world.wait(DAY);
    let problem = asks(&world, new.serial, &Request::WhoAmI).unwrap_err();
    assert_eq!(problem.code, Code::CertificateExpired);
    invariants::check(&world);
}

#[test]
fn names_lives_and_numbers_of_tokens_are_bounded() {
    let mut world = World::new();
    world.user_does(BOB, create(30, "ci", Read, 90)).unwrap();
    let before = world.state.clone();
    for (body, code) in [
        (create(31, "ci", Read, 90), Code::NameTaken),
        (create(31, "other", Read, 0), Code::BadRequest),
        (create(31, "other", Read, 400), Code::BadRequest),
        (create(30, "other", Read, 90), Code::TokenInvalid),
    ] {
        assert_eq!(refused(world.user_does(BOB, body)).code, code);
        assert_eq!(world.state, before);
    }
    let stranger = UserId::from_bytes([77; 16]);
    let problem = refused(world.user_does(stranger, create(31, "x", Read, 1)));
    assert_eq!(problem.code, Code::NotFound);
    world.user_does(BOB, revoke("ci")).unwrap();
    let refused = (31..=255)
        .find_map(|number| {
            let body = create(number, &format!("t{number}"), Read, 1);
            world.user_does(BOB, body).err()
        })
        .map(Problem::from);
    assert_eq!(refused.map(|problem| problem.code), Some(Code::Limit));
    // What is good for nothing is forgotten in the end.
    world.wait(100 * DAY);
    for number in 140..150 {
        let body = create(number, &format!("n{number}"), Read, 90);
        world.user_does(BOB, body).unwrap();
    }
    assert_eq!(world.state.tokens.len(), 10);
    invariants::check(&world);
}

#[test]
fn removal_from_the_org_revokes_its_tokens_in_the_same_commit_and_no_others() {
    let mut world = World::new();
    let elsewhere = OrgId::from_bytes([9; 16]);
    let found = Body::CreateOrg {
        org: elsewhere,
        name: name("elsewhere"),
        owner: BOB,
        handle: name("bob"),
    };
    world.must(Actor::System, found);
    world.user_does(BOB, create(30, "ci", Submit, 90)).unwrap();
    let there = Body::Token(TokenCommand::Create {
        token: TokenId::from_bytes([31; 16]),
        org: elsewhere,
        name: name("ci"),
        scope: Submit,
        ttl: Span::from_secs(DAY),
        digest: CodeDigest::new([31; 32]),
        proof: None,
    });
    world.user_does(BOB, there).unwrap();
    let here = exchange(&mut world, 30, 40).unwrap();
    let other = exchange(&mut world, 31, 41).unwrap();
    let removal = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    let events = world.user_does(ALICE, removal).unwrap();
    let closed: Vec<Effect> = events
        .iter()
        .flat_map(|event| effects(&world.state, event))
        .filter(|effect| matches!(effect, Effect::Close(_)))
        .collect();
    assert_eq!(closed, [Effect::Close(here)]);
    assert!(asks(&world, here, &Request::WhoAmI).is_err());
    assert_eq!(asks(&world, other, &Request::WhoAmI), Ok(BOB));
    let problem = Problem::from(exchange(&mut world, 30, 42).unwrap_err());
    assert_eq!(problem.code, Code::TokenRevoked);
    assert!(!events.iter().any(|event| matches!(
        event,
        Event::Token(crate::event::token::TokenEvent::TokenRevoked { token, .. })
            if *token == TokenId::from_bytes([31; 16])
    )));
    invariants::check(&world);
}
