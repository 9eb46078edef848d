//! What the supervisor and the daemon say to each other: lines of JSON over the attempt's socket, and the
//! result that is left in the attempt's folder.

use common::{
    job::Outcome,
    status::EndReason,
    time::{Span, Timestamp},
    usage::UsageSample,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Longest line either way, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxResult {
    /// When the program started; `None` if it never did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub at: Timestamp,
    pub outcome: Outcome,
}

/// From the supervisor. What has happened already is said again to everybody who connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    Started {
        at: Timestamp,
    },
    /// So long is the log now; not said for every piece.
    Logged {
        bytes: u64,
    },
    /// So much it uses now. Not said again to who comes later.
    Used(UsageSample),
    Ended(SandboxResult),
}

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// SIGTERM to everything in the sandbox, and SIGKILL after the grace.
    Stop {
        reason: EndReason,
        /// What to say of it, where the reason does not say it all.
        #[serde(default)]
        detail: Option<String>,
        grace: Span,
    },
    /// Holds everything in the sandbox still, or lets it go on. Said again, it changes nothing.
    Freeze { frozen: bool },
    /// Sets limits and stillness once more as they should be: a restart of the service takes limits away.
    Settle,
}

/// Returns a message as it is sent.
pub(super) fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    line
}

/// Takes the first whole message out of what was received.
pub(super) fn decode<M: DeserializeOwned>(
    received: &mut Vec<u8>,
) -> Result<Option<M>, NotAMessage> {
    let Some(end) = received.iter().position(|&byte| byte == b'\n') else {
        return if received.len() > MAX_MESSAGE_BYTES {
            Err(NotAMessage)
        } else {
            Ok(None)
        };
    };
    let message = serde_json::from_slice(&received[..end]).map_err(|_| NotAMessage)?;
    received.drain(..=end);
    Ok(Some(message))
}

/// What came over the socket is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message between a supervisor and its daemon")]
pub(super) struct NotAMessage;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_one_by_one_however_they_are_cut() {
        let stop = Order::Stop {
            reason: EndReason::Cancelled,
            detail: None,
            grace: Span::from_secs(3),
        };
        let bytes = [encode(&stop), encode(&stop)].concat();
        let (mut received, mut count) = (Vec::new(), 0);
        for byte in bytes {
            received.push(byte);
            while let Some(order) = decode::<Order>(&mut received).unwrap() {
                assert_eq!(order, stop);
                count += 1;
            }
        }
        assert_eq!((count, received.len()), (2, 0));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut received = vec![b'x'; MAX_MESSAGE_BYTES + 1];
        assert_eq!(decode::<Order>(&mut received), Err(NotAMessage));
        assert_eq!(decode::<Order>(&mut b"{}\n".to_vec()), Err(NotAMessage));
    }
}
