//! Being told to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by the first SIGTERM or SIGINT (Ctrl-C).
///
/// Must be called within a tokio runtime. From then on these signals do not end the process by themselves.
///
/// # Errors
/// The handlers cannot be installed.
pub fn signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "told to stop");
        told.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::process::{self, Command};

    use super::*;

    #[tokio::test]
    async fn a_signal_cancels_the_token_and_does_not_end_the_process() {
        for signal in ["-TERM", "-INT"] {
            let token = signals().unwrap();
            assert!(!token.is_cancelled());
            let own = process::id().to_string();
            let sent = Command::new("kill").args([signal, &own]).status().unwrap();
            assert!(sent.success());
            token.cancelled().await;
        }
    }
}
