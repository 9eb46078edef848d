//! Log lines of our own programs, on standard error.
//!
//! `COMPUTE_SHARE_LOG` says what to show, as in `debug` or `info,quinn=warn`.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The environment variable with the filter.
pub const FILTER_VARIABLE: &str = "COMPUTE_SHARE_LOG";

/// What a log line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to write log lines. Called again in the same process, it changes nothing.
pub fn init(format: Format) {
    // `Lossy`, because a typing mistake in a log filter must not keep a daemon from starting.
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(FILTER_VARIABLE)
        .from_env_lossy();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let _already_begun = match format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().with_ansi(false).try_init(),
    };
}
