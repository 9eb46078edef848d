//! A log comes in: pieces are appended as they arrive, followers are woken, and what one sync has made safe is
//! acknowledged together.

use std::sync::Arc;

use common::{
    id::AttemptId,
    problem::Problem,
    wire::agent::{LogAck, LogData, LogResume},
};
use coordinator_core::query::access;
use link::frames::{FrameReceiver, FrameSender};
use tokio::task::JoinHandle;

use super::{Agent, streams::not_wanted};
use crate::{
    desk::blocking,
    logs::{LogError, LogFile},
    topics::Awaited,
};

/// A sync that is under way.
type Syncing = JoinHandle<Result<u64, LogError>>;

pub(super) async fn receive(
    agent: &Agent,
    attempt: AttemptId,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let desk = &*agent.desk;
    if access::machine_log(&desk.engine.read(), agent.machine, attempt).is_none() {
        return Err(not_wanted());
    }
    let logs = desk.logs.clone();
    let opened = blocking(move || {
        let log = logs.writer(attempt)?;
        // What the agent is told to be here it may forget.
        let offset = log.sync()?;
        Ok::<_, LogError>((log, offset))
    });
    let (log, offset) = opened.await?;
    tx.send(&LogResume { offset }).await?;
    desk.complete_log(agent.machine, attempt).await;

    let mut syncing: Option<Syncing> = None;
    let mut ended = false;
    while !ended || syncing.is_some() {
        tokio::select! {
            data = rx.recv::<LogData>(), if !ended => match data? {
                Some(LogData { offset, bytes }) => {
                    let file = Arc::clone(&log);
                    blocking(move || file.append(offset, &bytes)).await?;
                    desk.wires.topics.wake(Awaited::Log(attempt.job));
                    syncing.get_or_insert_with(|| sync(&log));
                }
                None => ended = true,
            },
            synced = finished(&mut syncing) => {
                let offset = synced?;
                syncing = (log.length() > offset).then(|| sync(&log));
                tx.send(&LogAck { offset }).await?;
                desk.complete_log(agent.machine, attempt).await;
            }
        }
    }
    Ok(())
}

fn sync(log: &Arc<LogFile>) -> Syncing {
    let log = Arc::clone(log);
    tokio::task::spawn_blocking(move || log.sync())
}

/// Waits for the sync that is under way; for ever where there is none.
async fn finished(syncing: &mut Option<Syncing>) -> Result<u64, LogError> {
    let Some(handle) = syncing else {
        return std::future::pending().await;
    };
    handle
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
