//! The agent door: one connection for each machine that is here. Its first stream is the control stream; logs and
//! trees have their own. A machine's new connection takes the place of its old one.

mod control;
mod log;
mod reports;
mod streams;
mod swarm;
mod told;

use std::sync::Arc;

use certs::{PeerCertificate, Subject};
use common::{
    code::Code,
    id::MachineId,
    problem::Problem,
    wire::{agent::MAX_ATTEMPTS_PER_MACHINE, close},
};
use coordinator_core::event::Holder;
use tokio::task::JoinSet;

use super::{HELLO_TIMEOUT, close_after_refusal, uploads::Uploads};
use crate::{desk::Desk, sessions::Session};

/// Streams of one agent at once besides the control stream, a log for each attempt and some trees; more wait
/// until one ends.
const MAX_STREAMS: u32 = 1024 + 64;
const _: () = assert!(MAX_STREAMS as usize > MAX_ATTEMPTS_PER_MACHINE);

/// One machine's connection.
#[derive(Debug)]
struct Agent {
    desk: Arc<Desk>,
    session: Session,
    machine: MachineId,
    uploads: Uploads,
}

/// Serves one connection until it ends.
pub(super) async fn serve(desk: Arc<Desk>, connection: quinn::Connection, peer: PeerCertificate) {
    let Subject::Machine(machine) = peer.subject else {
        return connection.close(close::UNAUTHORISED.into(), b"not a machine's certificate");
    };
    let session = desk.wires.sessions.register(&peer, connection.clone());
    let agent = Arc::new(Agent {
        desk,
        session,
        machine,
        uploads: Uploads::default(),
    });
    let opened = tokio::time::timeout(HELLO_TIMEOUT, connection.accept_bi()).await;
    let Ok(Ok(stream)) = opened else {
        return connection.close(close::PROTOCOL.into(), b"no hello came");
    };
    connection.set_max_concurrent_bi_streams((MAX_STREAMS + 1).into());
    let mut streams = JoinSet::new();
    let mut control = std::pin::pin!(control::serve(Arc::clone(&agent), stream));
    let ended = loop {
        let full = streams.len() >= MAX_STREAMS as usize;
        let stream = tokio::select! {
            ended = &mut control => break ended,
            Some(_) = streams.join_next() => continue,
            stream = connection.accept_bi(), if !full => stream,
        };
        if let Ok(stream) = stream {
            streams.spawn(streams::serve(Arc::clone(&agent), stream));
        } else {
            // The control stream notices as well, and takes leave.
            break control.await;
        }
    };
    streams.abort_all();
    match ended {
        Ok(()) => connection.close(close::DONE.into(), b""),
        Err(problem) => {
            tracing::debug!(%machine, code = %problem.code, why = problem.why, "the agent's connection has ended");
            close_after_refusal(&connection, &problem).await;
        }
    }
}

impl Agent {
    /// Returns whether the certificate is still good for this machine.
    fn authorise(&self) -> Result<(), Problem> {
        match self.desk.holder(self.session.serial())? {
            Holder::Machine(machine) if machine == self.machine => Ok(()),
            _ => Err(Problem::new(
                Code::CertificateRevoked,
                "The certificate cannot be used",
                "it is registered for somebody else",
            )),
        }
    }
}
