//! The doors: where connections come in. They check who is there, turn what is said into commands and questions,
//! and tell what was committed. Nothing is decided here.

pub(crate) mod accept;
mod agent;
mod client;
mod join;
mod uploads;

use std::time::Duration;

use common::{
    code::Code,
    problem::Problem,
    wire::{Hello, close},
};
use link::frames::FrameSender;

/// How long a connection may take for its first words.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused peer may take to read why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Returns whether we can talk with a peer that says this.
fn check_version(hello: &Hello) -> Result<u16, Problem> {
    let ours = Hello::ours();
    match ours.protocol.common(hello.protocol) {
        Some(version) => Ok(version),
        None => Err(Problem::new(
            Code::Version,
            "The two programs do not understand each other",
            format!(
                "the coordinator ({}) speaks protocol {} to {}, the other side ({}) {} to {}",
                ours.build,
                ours.protocol.min,
                ours.protocol.max,
                hello.build.chars().take(64).collect::<String>(),
                hello.protocol.min,
                hello.protocol.max
            ),
        )),
    }
}

/// Says on a stream why nothing will come of it. Whoever does not read, or has hung up, does not want to know.
async fn refuse(tx: &mut FrameSender, problem: &Problem) {
    let _ = tokio::time::timeout(LAST_WORDS, tx.refuse(problem)).await;
}

/// Closes a connection once the other side has read why, or had the time to.
async fn close_after_refusal(connection: &quinn::Connection, problem: &Problem) {
    let _ = tokio::time::timeout(LAST_WORDS, connection.closed()).await;
    let code = match problem.code {
        Code::Protocol | Code::Version | Code::BadRequest => close::PROTOCOL,
        _ => close::UNAUTHORISED,
    };
    link::refuse(connection, code, problem);
}
