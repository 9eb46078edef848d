//! The client door: command lines of members. Every request is checked against the registry of certificates
//! anew, so that a revoked one is good for nothing from that commit on.

mod follow;
mod requests;
mod transfers;

use std::sync::Arc;

use certs::{PeerCertificate, Subject};
use common::{
    api::Request,
    code::Code,
    id::UserId,
    problem::Problem,
    wire::{Hello, client::ClientStream, close},
};
use coordinator_core::{Actor, event::Holder, policy::scopes::Ask, query::enrolment};
use link::frames::{self, FrameReceiver, FrameSender};
use tokio::task::JoinSet;

use self::transfers::Sending;
use super::{HELLO_TIMEOUT, check_version, close_after_refusal, refuse, uploads::Uploads};
use crate::{desk::Desk, sessions::Session};

/// Streams of one command line at once; more wait until one ends.
const MAX_STREAMS: usize = 64;

/// One member's connection.
#[derive(Debug)]
struct Member {
    desk: Arc<Desk>,
    session: Session,
    user: UserId,
    /// The user, or the program that acts for them.
    actor: Actor,
    uploads: Uploads,
}

/// Serves one connection until it ends.
pub(super) async fn serve(desk: Arc<Desk>, connection: quinn::Connection, peer: PeerCertificate) {
    let Subject::User(user) = peer.subject else {
        return connection.close(close::UNAUTHORISED.into(), b"not a member's certificate");
    };
    let session = desk.wires.sessions.register(&peer, connection);
    let actor = enrolment::speaker(&desk.engine.read(), session.serial(), user);
    let member = Arc::new(Member {
        desk,
        session,
        user,
        actor,
        uploads: Uploads::default(),
    });
    let greeted = tokio::time::timeout(HELLO_TIMEOUT, greet(&member)).await;
    match greeted {
        Ok(Ok(())) => member.serve_streams().await,
        Ok(Err(problem)) => {
            let connection = member.session.connection();
            close_after_refusal(connection, &problem).await;
        }
        Err(_) => {
            let connection = member.session.connection();
            connection.close(close::PROTOCOL.into(), b"no hello came");
        }
    }
}

/// Exchanges the first words.
async fn greet(member: &Member) -> Result<(), Problem> {
    let stream = member.session.connection().accept_bi().await;
    let stream = stream.map_err(|error| link::close_problem(&error))?;
    let (mut tx, mut rx) = frames::split(stream);
    let greeted = async {
        let hello: Hello = rx.expect().await?;
        check_version(&hello)?;
        member.authorise()?;
        tx.send(&Hello::ours()).await?;
        Ok(())
    };
    let greeted: Result<(), Problem> = greeted.await;
    if let Err(problem) = &greeted {
        refuse(&mut tx, problem).await;
    }
    tx.finish();
    greeted
}

impl Member {
    /// Returns who speaks, if the certificate is still good.
    fn authorise(&self) -> Result<UserId, Problem> {
        match self.desk.holder(self.session.serial())? {
            Holder::User(user) if user == self.user => Ok(user),
            _ => Err(Problem::new(
                Code::CertificateRevoked,
                "The certificate cannot be used",
                "it is registered for somebody else",
            )),
        }
    }

    /// Returns who speaks, if the certificate is still good and reaches as far as this.
    fn allows(&self, ask: Ask<'_>) -> Result<UserId, Problem> {
        let (serial, now) = (self.session.serial(), self.desk.now());
        enrolment::authorise(&self.desk.engine.read(), serial, now, ask)
    }

    async fn serve_streams(self: Arc<Self>) {
        let mut streams = JoinSet::new();
        loop {
            let full = streams.len() >= MAX_STREAMS;
            let stream = tokio::select! {
                stream = self.session.connection().accept_bi(), if !full => stream,
                Some(_) = streams.join_next() => continue,
            };
            let Ok(stream) = stream else { return };
            let member = Arc::clone(&self);
            streams.spawn(async move {
                let (mut tx, mut rx) = frames::split(stream);
                if let Err(problem) = member.serve_stream(&mut tx, &mut rx).await {
                    tracing::debug!(user = %member.user, code = %problem.code, "refused");
                    refuse(&mut tx, &problem).await;
                }
            });
        }
    }

    async fn serve_stream(
        &self,
        tx: &mut FrameSender,
        rx: &mut FrameReceiver,
    ) -> Result<(), Problem> {
        match rx.expect::<ClientStream>().await? {
            ClientStream::Request => {
                let request: Request = rx.expect().await?;
                let user = self.allows(Ask::Request(&request))?;
                if let Request::FollowJob(request) = request {
                    follow::follow(&self.desk, user, &request, tx).await?;
                } else {
                    let answer = requests::answer(self, user, request).await?;
                    tx.send(&answer).await?;
                }
            }
            ClientStream::Upload {
                org,
                announced,
                purpose,
            } => {
                let user = self.allows(Ask::Upload { org })?;
                let sending = Sending {
                    org,
                    announced,
                    purpose,
                };
                transfers::upload(self, user, sending, tx, rx).await?;
            }
            // Which it is was let in already; it ends with its first stream.
            ClientStream::Pieces { upload } => {
                self.authorise()?;
                self.uploads.pieces(upload, rx).await?;
            }
            ClientStream::Download { org, source } => {
                let user = self.allows(Ask::Download { org })?;
                transfers::download(&self.desk, user, org, &source, tx).await?;
            }
            ClientStream::Chunks { org, source, tree } => {
                let user = self.allows(Ask::Download { org })?;
                transfers::chunks(&self.desk, user, org, (source, tree), tx, rx).await?;
            }
        }
        tx.finish();
        Ok(())
    }
}
