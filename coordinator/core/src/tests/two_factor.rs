//! What shows that a user is who they say: passwords, two-factor, recovery codes, and orgs that require it.

use common::{
    code::Code,
    id::{CodeDigest, DeviceId, InvitationId, TokenId, UserId},
    join_link::LinkPurpose,
    org::settings::SettingsChange,
    seal::Sealed,
    status::TokenScope,
    time::Span,
};

use super::{
    invariants,
    world::{ALICE, BOB, ORG, World, name, refused, spec, user},
};
use crate::{
    Actor, Body, Event, Rejection,
    command::{
        AccountCommand, OrgCommand, Proof, SignIn,
        account::{PasswordHash, TryProof},
        token::TokenCommand,
    },
};

fn secret(number: u8) -> Sealed {
    Sealed {
        encapsulated: vec![number; 32],
        ciphertext: vec![number; 36],
    }
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(text.to_owned())
}

fn code(step: u64) -> Option<Proof> {
    let secret = secret(1);
    Some(Proof::Code { secret, step })
}

fn recovery(number: u8) -> CodeDigest {
    CodeDigest::new([number; 32])
}

fn account(command: AccountCommand) -> Body {
    Body::Account(command)
}

/// Turns two-factor on for the user, with the secret 1 and the recovery codes 1 to 3.
pub(super) fn turn_on(world: &mut World, who: UserId) {
    let begin = AccountCommand::BeginTwoFactor { secret: secret(1) };
    world.user_does(who, account(begin)).unwrap();
    let confirm = AccountCommand::ConfirmTwoFactor {
        secret: secret(1),
        step: 100,
        recovery: vec![recovery(1), recovery(2), recovery(3)],
    };
    world.user_does(who, account(confirm)).unwrap();
}

fn set_password(to: &str, proof: Option<Proof>) -> Body {
    account(AccountCommand::SetPassword {
        hash: hash(to),
        proof,
    })
}

/// Makes a sign-in link for alice and uses it with this proof.
fn sign_in(world: &mut World, number: u8, proof: Option<Proof>) -> Result<Vec<Event>, Rejection> {
    let link = Body::CreateLoginLink {
        invitation: InvitationId::from_bytes([number; 16]),
        org: ORG,
        code: CodeDigest::new([number; 32]),
        ttl: Span::from_secs(900),
        user: None,
        reset: false,
    };
    world.user_does(ALICE, link).unwrap();
    use_link(world, number, proof)
}

pub(super) fn use_link(
    world: &mut World,
    number: u8,
    proof: Option<Proof>,
) -> Result<Vec<Event>, Rejection> {
    let certificate = world.certificate(number);
    let body = Body::Enrol {
        code: CodeDigest::new([number; 32]),
        purpose: LinkPurpose::Login,
        fresh_user: user(number),
        handle: None,
        sign_in: SignIn {
            fresh_device: DeviceId::from_bytes([number; 16]),
            name: name("tablet"),
            proof,
        },
        certificate,
    };
    world.run(Actor::Stranger, body)
}

#[test]
fn a_password_is_changed_only_by_who_knows_the_present_one_or_has_a_code() {
    let mut world = World::new();
    world.user_does(ALICE, set_password("first", None)).unwrap();
    let before = world.state.clone();
    let wrong = Some(Proof::Password(hash("guessed")));
    for (proof, code) in [
        (None, Code::ProofNeeded),
        (wrong, Code::WrongPassword),
        // There is no two-factor that it could be of.
        (code(5), Code::TwoFactorWrong),
    ] {
        let problem = refused(world.user_does(ALICE, set_password("second", proof)));
        assert_eq!(problem.code, code);
        assert_eq!(world.state, before);
    }
    let right = Some(Proof::Password(hash("first")));
    let events = world
        .user_does(ALICE, set_password("second", right))
        .unwrap();
    // Nothing of either is in the trail or in a log line.
    let told = format!("{events:?}") + &serde_json::to_string(&events).unwrap();
    assert!(
        told.contains("password_set") && !told.contains("second"),
        "{told}"
    );
    turn_on(&mut world, ALICE);
    world
        .user_does(ALICE, set_password("third", code(101)))
        .unwrap();
    invariants::check(&world);
}

#[test]
fn a_code_is_good_once_and_an_older_one_no_more() {
    let mut world = World::new();
    turn_on(&mut world, ALICE);
    // The code of setting it up is used, too.
    for step in [100, 99] {
        let problem = refused(sign_in(&mut world, u8::try_from(step).unwrap(), code(step)));
        assert_eq!(problem.code, Code::TwoFactorWrong);
        assert!(problem.why.contains("used before"), "{problem}");
    }
    sign_in(&mut world, 50, code(101)).unwrap();
    let problem = refused(sign_in(&mut world, 51, code(101)));
    assert_eq!(problem.code, Code::TwoFactorWrong);
    // The link was not burnt by it.
    use_link(&mut world, 51, code(102)).unwrap();
    // A code of a secret that is no more.
    let old = Some(Proof::Code {
        secret: secret(9),
        step: 500,
    });
    let problem = refused(sign_in(&mut world, 52, old));
    assert_eq!(problem.code, Code::TwoFactorWrong);
    invariants::check(&world);
}

#[test]
fn signing_in_takes_a_code_and_each_recovery_code_is_good_once() {
    let mut world = World::new();
    world.user_does(ALICE, set_password("first", None)).unwrap();
    turn_on(&mut world, ALICE);
    let problem = refused(sign_in(&mut world, 50, None));
    assert_eq!(problem.code, Code::TwoFactorNeeded);
    // A password is no second factor.
    let password = Some(Proof::Password(hash("first")));
    let problem = refused(use_link(&mut world, 50, password));
    assert_eq!(problem.code, Code::TwoFactorNeeded);
    let first = || Some(Proof::Recovery(recovery(1)));
    use_link(&mut world, 50, first()).unwrap();
    // Asked again with the same key, it is the same sign-in.
    use_link(&mut world, 50, None).unwrap();
    let problem = refused(sign_in(&mut world, 51, first()));
    assert_eq!(problem.code, Code::TwoFactorWrong);
    let new = AccountCommand::NewRecoveryCodes {
        recovery: vec![recovery(7)],
        proof: Some(Proof::Recovery(recovery(2))),
    };
    world.user_does(ALICE, account(new)).unwrap();
    let problem = refused(use_link(&mut world, 51, Some(Proof::Recovery(recovery(3)))));
    assert_eq!(problem.code, Code::TwoFactorWrong);
    use_link(&mut world, 51, Some(Proof::Recovery(recovery(7)))).unwrap();
    invariants::check(&world);
}

#[test]
fn a_token_of_scope_admin_takes_a_code_where_there_is_two_factor() {
    let mut world = World::new();
    turn_on(&mut world, ALICE);
    let create = |number: u8, scope, proof| {
        Body::Token(TokenCommand::Create {
            token: TokenId::from_bytes([number; 16]),
            org: ORG,
            name: name(&format!("t{number}")),
            scope,
            ttl: Span::from_secs(60),
            digest: CodeDigest::new([number; 32]),
            proof,
        })
    };
    world
        .user_does(ALICE, create(1, TokenScope::Submit, None))
        .unwrap();
    let problem = refused(world.user_does(ALICE, create(2, TokenScope::Admin, None)));
    assert_eq!(problem.code, Code::TwoFactorNeeded);
    world
        .user_does(ALICE, create(2, TokenScope::Admin, code(101)))
        .unwrap();
    invariants::check(&world);
}

#[test]
fn wrong_tries_have_to_wait_longer_and_longer_and_a_right_one_ends_that() {
    let mut world = World::new();
    turn_on(&mut world, ALICE);
    let attempt = |world: &mut World| {
        let tried = Body::TryProof(TryProof { user: ALICE });
        world.run(Actor::System, tried).map(drop)
    };
    for _ in 0..5 {
        attempt(&mut world).unwrap();
    }
    let problem = common::problem::Problem::from(attempt(&mut world).unwrap_err());
    assert_eq!(problem.code, Code::TooManyTries);
    // It is in the book: a restart helps nobody.
    world.state = invariants::load(&invariants::save(&world.state));
    assert!(attempt(&mut world).is_err());
    world.wait(60);
    attempt(&mut world).unwrap();
    world.wait(119);
    assert!(attempt(&mut world).is_err());
    world.wait(1);
    let mut tried = 0;
    for _ in 0..24 * 60 {
        tried += u32::from(attempt(&mut world).is_ok());
        world.wait(60);
    }
    assert!(tried < 40, "{tried} guesses in a day");
    world.wait(3600);
    attempt(&mut world).unwrap();
    world
        .user_does(ALICE, set_password("new", code(101)))
        .unwrap();
    for _ in 0..5 {
        attempt(&mut world).unwrap();
    }
    // Nobody but the coordinator itself counts tries.
    let tried = Body::TryProof(TryProof { user: ALICE });
    assert_eq!(refused(world.user_does(BOB, tried)).code, Code::Permission);
    invariants::check(&world);
}

#[test]
fn two_factor_is_turned_on_by_the_secret_that_was_shown_and_off_by_a_proof() {
    let mut world = World::new();
    let stop = |proof| account(AccountCommand::StopTwoFactor { proof });
    assert_eq!(
        refused(world.user_does(ALICE, stop(None))).code,
        Code::WrongState
    );
    let confirm = |number, codes: usize| {
        account(AccountCommand::ConfirmTwoFactor {
            secret: secret(number),
            step: 1,
            recovery: vec![recovery(1); codes],
        })
    };
    let problem = refused(world.user_does(ALICE, confirm(1, 1)));
    assert_eq!(problem.code, Code::WrongState);
    for number in [1, 2] {
        let begin = AccountCommand::BeginTwoFactor {
            secret: secret(number),
        };
        world.user_does(ALICE, account(begin)).unwrap();
    }
    // The first was replaced by the second.
    assert!(world.user_does(ALICE, confirm(1, 1)).is_err());
    for codes in [0, 17] {
        let problem = refused(world.user_does(ALICE, confirm(2, codes)));
        assert_eq!(problem.code, Code::BadRequest);
    }
    world.user_does(ALICE, confirm(2, 1)).unwrap();
    let begin = AccountCommand::BeginTwoFactor { secret: secret(3) };
    assert_eq!(
        refused(world.user_does(ALICE, account(begin))).code,
        Code::WrongState
    );
    let problem = refused(world.user_does(ALICE, stop(None)));
    assert_eq!(problem.code, Code::ProofNeeded);
    let recovery = Some(Proof::Recovery(recovery(1)));
    world.user_does(ALICE, stop(recovery)).unwrap();
    sign_in(&mut world, 50, None).unwrap();
    invariants::check(&world);
}

#[test]
fn an_org_that_requires_two_factor_refuses_members_without_it_and_says_how_to_get_it() {
    let mut world = World::new();
    let require = |on| {
        Body::Org(OrgCommand::ChangeSettings {
            org: ORG,
            change: Box::new(SettingsChange {
                require_two_factor: Some(on),
                ..SettingsChange::default()
            }),
        })
    };
    let problem = refused(world.user_does(ALICE, require(true)));
    assert_eq!(problem.code, Code::TwoFactorRequired);
    assert!(problem.why.contains("lock yourself out"), "{problem}");
    turn_on(&mut world, ALICE);
    world.user_does(ALICE, require(true)).unwrap();

    let problem = refused(world.submit(BOB, 60, spec()));
    assert_eq!(problem.code, Code::TwoFactorRequired);
    assert!(
        problem
            .help
            .contains("compute-share account two-factor setup"),
        "{problem:?}"
    );
    assert!(problem.what.contains("lab"), "{problem}");
    for question in [
        common::api::Request::ShowOrg { org: ORG },
        common::api::Request::ListMachines {
            org: ORG,
            after: None,
        },
    ] {
        let problem = world.ask(BOB, &question).unwrap_err();
        assert_eq!(problem.code, Code::TwoFactorRequired);
    }
    // Who they are, they are still told; and they may go.
    assert!(world.ask(BOB, &common::api::Request::WhoAmI).is_ok());
    let mut leaving = world.clone();
    let leave = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    leaving.user_does(BOB, leave).unwrap();

    let begin = AccountCommand::BeginTwoFactor { secret: secret(4) };
    world.user_does(BOB, account(begin)).unwrap();
    assert!(world.submit(BOB, 60, spec()).is_err(), "begun is not done");
    let confirm = AccountCommand::ConfirmTwoFactor {
        secret: secret(4),
        step: 1,
        recovery: vec![recovery(40)],
    };
    world.user_does(BOB, account(confirm)).unwrap();
    assert!(
        world
            .ask(BOB, &common::api::Request::ShowOrg { org: ORG })
            .is_ok()
    );
    // Turned off again, the door is shut again.
    let off = AccountCommand::StopTwoFactor {
        proof: Some(Proof::Recovery(recovery(40))),
    };
    world.user_does(BOB, account(off)).unwrap();
    assert!(
        world
            .ask(BOB, &common::api::Request::ShowOrg { org: ORG })
            .is_err()
    );
    invariants::check(&world);
}
