//! What users do with their own accounts.

use common::{
    api::{
        Answer, Request,
        account::{AccountAnswer, AccountRequest, Proof as Offered},
    },
    code::Code,
    id::{CodeDigest, UserId},
    problem::Problem,
};
use coordinator_core::{
    Body,
    command::{AccountCommand, Proof},
    query::{account, enrolment},
};

use super::super::Member;
use crate::{desk::Desk, mint};

/// Recovery codes that are made at once.
const RECOVERY_CODES: usize = 10;

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: AccountRequest,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let mut shown = Answer::Done;
    let command = match request {
        question @ (AccountRequest::Show | AccountRequest::ListDevices { .. }) => {
            return super::ask(member, user, &Request::Account(question));
        }
        AccountRequest::ChangeProfile {
            display_name,
            email,
        } => AccountCommand::ChangeProfile {
            display_name,
            email,
        },
        AccountRequest::RevokeDevice { of, device } => AccountCommand::RevokeDevice {
            of,
            device,
            from: enrolment::device(&desk.engine.read(), member.session.serial()),
        },
        AccountRequest::RevokeLinks { of } => AccountCommand::RevokeLinks { of },
        AccountRequest::SetPassword { password, proof } => AccountCommand::SetPassword {
            proof: prove(desk, user, proof).await?,
            hash: desk.hashing.hash(password).await?,
        },
        AccountRequest::BeginTwoFactor => {
            let handle = account::handle_of(&desk.engine.read(), user).ok_or_else(gone)?;
            let fresh = desk.fresh_secret(user, &handle)?;
            shown = Answer::Account(AccountAnswer::TwoFactorBegun {
                uri: fresh.uri,
                secret: fresh.base32,
            });
            AccountCommand::BeginTwoFactor {
                secret: fresh.sealed,
            }
        }
        AccountRequest::ConfirmTwoFactor { code } => {
            let (secret, step) = desk.first_code(user, &code).await?;
            let (codes, recovery) = recovery_codes();
            shown = Answer::Account(AccountAnswer::RecoveryCodes(codes));
            AccountCommand::ConfirmTwoFactor {
                secret,
                step,
                recovery,
            }
        }
        AccountRequest::StopTwoFactor { proof } => AccountCommand::StopTwoFactor {
            proof: prove(desk, user, proof).await?,
        },
        AccountRequest::NewRecoveryCodes { proof } => {
            let proof = prove(desk, user, proof).await?;
            let (codes, recovery) = recovery_codes();
            shown = Answer::Account(AccountAnswer::RecoveryCodes(codes));
            AccountCommand::NewRecoveryCodes { recovery, proof }
        }
    };
    let body = Body::Account(command);
    desk.engine.ask(member.actor, body).await?;
    Ok(shown)
}

async fn prove(
    desk: &Desk,
    user: UserId,
    offered: Option<Offered>,
) -> Result<Option<Proof>, Problem> {
    match offered {
        Some(offered) => desk.prove(user, offered).await.map(Some),
        None => Ok(None),
    }
}

/// Returns fresh recovery codes and what is stored of them.
fn recovery_codes() -> (Vec<String>, Vec<CodeDigest>) {
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| mint::code()).collect();
    let digests = codes.iter().filter_map(|code| mint::digest(code)).collect();
    (codes, digests)
}

fn gone() -> Problem {
    let why = "the coordinator does not know your account";
    Problem::new(Code::NotSignedIn, "nothing was done", why)
}
