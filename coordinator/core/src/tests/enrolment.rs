//! Codes, certificates, claims.

use std::time::Duration;

use common::{
    code::Code,
    id::{CertificateSerial, CodeDigest, Fingerprint, InvitationId},
    join_link::LinkPurpose,
    problem::Problem,
    status::Role,
    time::Span,
};

use super::{
    invariants,
    world::{ALICE, BOB, ORG, World, machine_id, name, refused, user, wish},
};
use crate::{
    Actor, Body, Event,
    command::{NewCertificate, invitation::InvitationCommand},
    event::Holder,
    query::enrolment,
};

#[test]
fn a_code_works_once_and_says_so_to_who_holds_it() {
    let mut world = World::new();
    world.invite(50, Role::Member, 1);
    let first = world.enrol(50, 51, 51, "dora").unwrap();
    assert_eq!(first.len(), 5);
    let again = world.enrol(50, 51, 52, "dora").unwrap();
    assert!(
        matches!(again[..], [Event::CertificateIssued { holder: Holder::User(id), .. }] if id == user(51))
    );
    assert_eq!(refused(world.enrol(50, 53, 53, "eve")).code, Code::CodeUsed);
    assert_eq!(
        refused(world.enrol(99, 53, 53, "eve")).code,
        Code::CodeInvalid
    );
    let who = enrolment::enrolled(
        &world.state,
        CodeDigest::new([50; 32]),
        Fingerprint::new([51; 32]),
    );
    assert_eq!(
        who.map(|who| (who.user, who.role)),
        Some((user(51), Role::Member))
    );
    invariants::check(&world);
}

#[test]
fn a_code_expires_and_is_revoked() {
    let mut world = World::new();
    world.invite(50, Role::Member, 5);
    world.wait(3599);
    assert!(world.enrol(50, 51, 51, "dora").is_ok());
    world.wait(1);
    assert_eq!(
        refused(world.enrol(50, 52, 52, "eve")).code,
        Code::CodeExpired
    );
    assert_eq!(
        refused(world.enrol(50, 51, 51, "dora")).code,
        Code::CodeExpired
    );
    let invitation = world.invite(60, Role::Member, 1);
    let revoke = Body::RevokeInvitation {
        org: ORG,
        invitation,
    };
    assert_eq!(
        refused(world.user_does(BOB, revoke.clone())).code,
        Code::Permission
    );
    world.user_does(ALICE, revoke.clone()).unwrap();
    assert_eq!(world.user_does(ALICE, revoke), Ok(Vec::new()));
    assert_eq!(
        refused(world.enrol(60, 61, 61, "eve")).code,
        Code::CodeRevoked
    );
    invariants::check(&world);
}

#[test]
fn nobody_new_is_called_like_a_part_of_the_system() {
    let mut world = World::new();
    world.invite(50, Role::Member, 5);
    let before = world.state.clone();
    for handle in ["system", "stranger", "coordinator", "everyone", "admin"] {
        let problem = refused(world.enrol(50, 51, 51, handle));
        assert_eq!(problem.code, Code::ReservedName);
        assert_eq!(problem.what, format!("nobody can be called {handle}"));
        assert!(world.state == before);
    }
    let org = Body::CreateOrg {
        org: common::id::OrgId::from_bytes([60; 16]),
        name: name("club"),
        owner: user(60),
        handle: name("system"),
    };
    let problem = refused(world.run(Actor::System, org));
    assert_eq!(problem.code, Code::ReservedName);
    assert!(world.state == before);
    // The code is not used up by a wrong handle.
    world.enrol(50, 51, 51, "dora").unwrap();
    invariants::check(&world);
}

#[test]
fn who_was_removed_does_not_come_back_by_an_old_code() {
    let mut world = World::new();
    world.invite(50, Role::Member, 5);
    world.enrol(50, 51, 51, "dora").unwrap();
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("dora"),
    };
    world.user_does(ALICE, body).unwrap();
    assert_eq!(
        refused(world.enrol(50, 51, 52, "dora")).code,
        Code::CodeUsed
    );
    assert_eq!(
        refused(world.enrol(50, 52, 52, "dora")).code,
        Code::NameTaken
    );
    invariants::check(&world);
}

#[test]
fn only_the_owner_invites_admins_and_a_sign_in_is_for_oneself() {
    let mut world = World::new();
    let invite = |role, number| Body::Invitation(InvitationCommand::Create(wish(number, role)));
    let refusal = |world: &mut World, who, body| refused(world.user_does(who, body)).code;
    let (member, admin) = (Role::Member, Role::Admin);
    assert_eq!(
        refusal(&mut world, BOB, invite(member, 70)),
        Code::Permission
    );
    let promotion = Body::SetRole {
        org: ORG,
        handle: name("bob"),
        role: admin,
    };
    world.user_does(ALICE, promotion).unwrap();
    world.user_does(BOB, invite(member, 70)).unwrap();
    assert_eq!(
        refusal(&mut world, BOB, invite(admin, 71)),
        Code::Permission
    );
    world.user_does(ALICE, invite(admin, 71)).unwrap();
    assert_eq!(
        refusal(&mut world, ALICE, invite(Role::Owner, 72)),
        Code::OneOwner
    );
    let sign_in = Body::CreateLoginLink {
        invitation: InvitationId::from_bytes([73; 16]),
        org: ORG,
        code: CodeDigest::new([73; 32]),
        ttl: Span::from_secs(60),
        user: None,
        reset: false,
    };
    world.user_does(BOB, sign_in).unwrap();
    let login = |purpose| {
        enrolment::enrolment(
            &world.state,
            CodeDigest::new([73; 32]),
            purpose,
            Fingerprint::new([9; 32]),
            world.now,
        )
    };
    assert_eq!(login(LinkPurpose::Login).unwrap().user, Some(BOB));
    assert_eq!(
        login(LinkPurpose::Join).unwrap_err().code,
        Code::CodeInvalid
    );
}

#[test]
fn renewal_leaves_the_old_certificate_an_hour() {
    let mut world = World::new();
    let old = *world.state.index.holders[&Holder::User(BOB)]
        .first()
        .unwrap();
    let new = world.certificate(90);
    let body = Body::RenewCertificate { old, new };
    assert_eq!(
        refused(world.user_does(ALICE, body.clone())).code,
        Code::NotSignedIn
    );
    world.user_does(BOB, body).unwrap();
    let asked = |world: &World, serial: CertificateSerial| {
        let holder = enrolment::certificate(&world.state, serial, world.now);
        holder.map_err(|problem: Problem| problem.code)
    };
    world.wait(3599);
    assert_eq!(asked(&world, old), Ok(Holder::User(BOB)));
    world.wait(1);
    assert_eq!(asked(&world, old), Err(Code::CertificateExpired));
    assert_eq!(asked(&world, new.serial), Ok(Holder::User(BOB)));
    world.wait(7 * 86_400);
    assert_eq!(asked(&world, new.serial), Err(Code::CertificateExpired));
    invariants::check(&world);
}

#[test]
fn nobody_fills_the_registry_with_certificates() {
    let mut world = World::new();
    let mut newest = *world.state.index.holders[&Holder::User(BOB)]
        .first()
        .unwrap();
    let mut number: u128 = 1 << 64;
    let mut renew = |world: &mut World| {
        number += 1;
        let new = NewCertificate {
            serial: CertificateSerial::new(number.to_be_bytes()),
            key: Fingerprint::new([2; 32]),
            expires_at: world.now.saturating_add(Duration::from_secs(7 * 86_400)),
        };
        let body = Body::RenewCertificate { old: newest, new };
        let renewed = world.user_does(BOB, body);
        if renewed.is_ok() {
            newest = new.serial;
        }
        renewed.map(drop)
    };
    let mut count = 1;
    let refused = loop {
        match renew(&mut world) {
            Ok(()) => count += 1,
            Err(rejection) => break Problem::from(rejection),
        }
        assert!(count < 1000);
    };
    assert_eq!(refused.code, Code::Limit);
    // The old ones' grace ends, and others were never kept from it.
    world.wait(3600);
    assert_eq!(renew(&mut world), Ok(()));
    invariants::check(&world);
}

#[test]
fn a_machine_claims_its_certificate_only_once_it_is_approved_and_with_its_key() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    let key = |number| Fingerprint::new([number; 32]);
    let claim = |world: &World, number| {
        enrolment::claim(&world.state, machine_id(10), key(number)).map_err(|p| p.code)
    };
    assert!(matches!(
        claim(&world, 10),
        Ok(enrolment::Claim::Waiting { .. })
    ));
    assert_eq!(claim(&world, 11), Err(Code::NotRegistered));
    let certificate = world.certificate(10);
    let body = Body::ClaimMachine {
        machine: machine_id(10),
        certificate,
    };
    assert_eq!(
        refused(world.run(Actor::Stranger, body.clone())).code,
        Code::MachineNotApproved
    );
    world
        .user_does(
            ALICE,
            Body::ApproveMachine {
                org: ORG,
                name: name("box"),
            },
        )
        .unwrap();
    assert!(matches!(
        claim(&world, 10),
        Ok(enrolment::Claim::Approved { .. })
    ));
    world.run(Actor::Stranger, body).unwrap();
    let holder = enrolment::certificate(&world.state, certificate.serial, world.now);
    assert_eq!(holder.unwrap(), Holder::Machine(machine_id(10)));
    invariants::check(&world);
}
