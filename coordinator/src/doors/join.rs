//! The join door: strangers with a code become members, and approved machines get their first certificate.
//! Nothing else is possible here.

use std::{net::IpAddr, sync::Arc};

use certs::Subject;
use common::{
    api::account::Proof,
    code::Code,
    id::{DeviceId, MachineId, UserId},
    join_link::LinkPurpose,
    name::Name,
    problem::Problem,
    token::{InvalidToken, TokenSecret},
    wire::{
        close,
        join::{JoinAnswer, JoinRequest},
    },
};
use coordinator_core::{
    Actor, Body, Topic,
    command::{SignIn, token::ExchangeToken},
    query::enrolment::{self, Claim},
};
use link::frames::{self, FrameReceiver, FrameSender};
use tokio::task::JoinSet;

use super::{HELLO_TIMEOUT, refuse};
use crate::{
    desk::{Desk, parse_request},
    mint,
    topics::Awaited,
};

/// Requests of one stranger at once.
const MAX_REQUESTS: usize = 4;

/// Serves one connection until it ends.
pub(super) async fn serve(desk: &Arc<Desk>, connection: &quinn::Connection) {
    let mut requests = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = connection.accept_bi() => stream,
            // Whoever has nothing to ask makes room for others.
            () = tokio::time::sleep(HELLO_TIMEOUT), if requests.is_empty() => {
                return connection.close(close::DONE.into(), b"nothing was asked");
            }
            Some(_) = requests.join_next() => continue,
        };
        let Ok(stream) = stream else { return };
        if requests.len() >= MAX_REQUESTS {
            return connection.close(close::TOO_MUCH.into(), b"too many requests at once");
        }
        let (desk, from) = (Arc::clone(desk), connection.remote_address().ip());
        requests.spawn(async move {
            let (mut tx, mut rx) = frames::split(stream);
            if let Err(problem) = request(&desk, from, &mut tx, &mut rx).await {
                tracing::info!(%from, code = %problem.code, "a request to join was refused");
                refuse(&mut tx, &problem).await;
            }
        });
    }
}

async fn request(
    desk: &Desk,
    from: IpAddr,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let request = tokio::time::timeout(HELLO_TIMEOUT, rx.expect::<JoinRequest>());
    let request = request.await.map_err(|_| {
        let why = "the request did not arrive in time";
        Problem::new(Code::Protocol, "Nothing was done", why)
    })??;
    let answer = match request {
        JoinRequest::Enrol {
            secret,
            purpose,
            handle,
            csr,
            device,
            code,
        } => {
            let stranger = Stranger {
                from,
                handle,
                device,
                code,
            };
            enrol(desk, stranger, &secret, purpose, &csr).await?
        }
        JoinRequest::ExchangeToken { token, csr, device } => {
            exchange(desk, from, &token, &csr, device).await?
        }
        JoinRequest::ClaimMachine { machine, csr } => claim(desk, machine, &csr, tx).await?,
        JoinRequest::ShowInvitation { secret } => {
            let look = |code| enrolment::shown(&desk.engine.read(), code, desk.now());
            let shown = desk.look_at_code(from, &secret, look).await?;
            JoinAnswer::Invitation(shown)
        }
        JoinRequest::DeclineInvitation { secret } => decline(desk, from, &secret).await?,
    };
    tell(tx, &answer).await?;
    tx.finish();
    Ok(())
}

/// Answers a stranger, who has to read it: there is not much room for strangers.
async fn tell(tx: &mut FrameSender, answer: &JoinAnswer) -> Result<(), Problem> {
    let sent = tokio::time::timeout(HELLO_TIMEOUT, tx.send(answer)).await;
    let sent = sent.map_err(|_| {
        let why = "the answer was not read in time";
        Problem::new(Code::Protocol, "Nobody listens", why)
    })?;
    Ok(sent?)
}

/// Who wants in.
struct Stranger {
    from: IpAddr,
    handle: Option<Name>,
    /// What their computer is called.
    device: Name,
    /// Of two-factor.
    code: Option<String>,
}

async fn enrol(
    desk: &Desk,
    stranger: Stranger,
    secret: &str,
    purpose: LinkPurpose,
    csr: &[u8],
) -> Result<JoinAnswer, Problem> {
    let Stranger {
        from,
        handle,
        device,
        code: second,
    } = stranger;
    let request = parse_request(csr)?;
    let look = |code| {
        let state = desk.engine.read();
        let enrolment = enrolment::enrolment(&state, code, purpose, request.key(), desk.now())?;
        Ok((code, enrolment))
    };
    let (code, enrolment) = desk.look_at_code(from, secret, look).await?;
    let user = enrolment
        .user
        .unwrap_or_else(|| UserId::new(mint::uuid(desk.now())));
    // Looked at only once the link is known to be good.
    let proof = match (second, enrolment.user) {
        (Some(second), Some(user)) => Some(desk.prove(user, Proof::Code(second)).await?),
        _ => None,
    };
    let signed = desk.issue(&request, Subject::User(user))?;
    let body = Body::Enrol {
        code,
        purpose,
        fresh_user: user,
        handle,
        sign_in: SignIn {
            fresh_device: DeviceId::new(mint::uuid(desk.now())),
            name: device,
            proof,
        },
        certificate: signed.certificate,
    };
    desk.engine.ask(Actor::Stranger, body).await?;
    let enrolled = enrolment::enrolled(&desk.engine.read(), code, request.key());
    let enrolled = enrolled.ok_or_else(|| {
        let why = "you were removed from the org just now";
        Problem::new(Code::CertificateRevoked, "The code lets nobody in", why)
    })?;
    tracing::info!(%from, handle = %enrolled.handle, "a user has enrolled");
    Ok(JoinAnswer::Enrolled {
        user: enrolled.user,
        handle: enrolled.handle,
        org: enrolled.org,
        org_name: enrolled.org_name,
        role: enrolled.role,
        chain: signed.chain,
    })
}

async fn decline(desk: &Desk, from: IpAddr, secret: &str) -> Result<JoinAnswer, Problem> {
    let look = |code| {
        let state = desk.engine.read();
        let invitation = enrolment::takeable(&state, code, desk.now())?;
        Ok((code, enrolment::inviting_org(&state, invitation)?))
    };
    let (code, org_name) = desk.look_at_code(from, secret, look).await?;
    let body = Body::DeclineInvitation { code };
    desk.engine.ask(Actor::Stranger, body).await?;
    tracing::info!(%from, org = %org_name, "an invitation was declined");
    Ok(JoinAnswer::Declined { org_name })
}

/// A program signs in with an API token.
async fn exchange(
    desk: &Desk,
    from: IpAddr,
    token: &str,
    csr: &[u8],
    device: Name,
) -> Result<JoinAnswer, Problem> {
    desk.may_try(from)?;
    let request = parse_request(csr)?;
    let secret: Result<TokenSecret, InvalidToken> = token.parse();
    let secret = secret.map_err(|error| {
        let why = error.to_string();
        Problem::new(Code::TokenInvalid, "The token lets nobody in", why)
    });
    let looked_at = secret.and_then(|secret| {
        let digest = secret.digest();
        let exchange = enrolment::exchange(&desk.engine.read(), digest, desk.now())?;
        Ok((digest, exchange))
    });
    let (digest, exchange) = match looked_at {
        Err(problem) if problem.code == Code::TokenInvalid => {
            desk.tried_wrongly(from).await;
            return Err(problem);
        }
        looked_at => looked_at?,
    };
    let signed = desk.issue_to_program(&request, exchange.user, exchange.expires_at)?;
    let body = Body::ExchangeToken(ExchangeToken {
        digest,
        sign_in: SignIn {
            fresh_device: DeviceId::new(mint::uuid(desk.now())),
            name: device,
            proof: None,
        },
        certificate: signed.certificate,
    });
    desk.engine.ask(Actor::Stranger, body).await?;
    tracing::info!(%from, handle = %exchange.handle, "a program has signed in with a token");
    Ok(JoinAnswer::Enrolled {
        user: exchange.user,
        handle: exchange.handle,
        org: exchange.org,
        org_name: exchange.org_name,
        role: exchange.role,
        chain: signed.chain,
    })
}

/// Waits for the approval where there is none yet.
async fn claim(
    desk: &Desk,
    machine: MachineId,
    csr: &[u8],
    tx: &mut FrameSender,
) -> Result<JoinAnswer, Problem> {
    let request = parse_request(csr)?;
    let mut topic = desk
        .wires
        .topics
        .subscribe(Awaited::Topic(Topic::Machine(machine)));
    let mut told = false;
    loop {
        let claim = enrolment::claim(&desk.engine.read(), machine, request.key())?;
        match claim {
            Claim::Approved { org_name, name } => {
                let signed = desk.issue(&request, Subject::Machine(machine))?;
                let certificate = signed.certificate;
                let body = Body::ClaimMachine {
                    machine,
                    certificate,
                };
                desk.engine.ask(Actor::Stranger, body).await?;
                return Ok(JoinAnswer::Approved {
                    org_name,
                    name,
                    chain: signed.chain,
                });
            }
            Claim::Waiting { org_name, name } if !told => {
                told = true;
                tell(tx, &JoinAnswer::Waiting { org_name, name }).await?;
            }
            Claim::Waiting { .. } => {}
        }
        tokio::select! {
            () = topic.woken() => {}
            // Whoever hangs up does not wait any longer.
            gone = tx.delivered() => {
                gone?;
                let why = "the stream was closed";
                return Err(Problem::new(Code::Cancelled, "Nobody waits any more", why));
            }
        }
    }
}
