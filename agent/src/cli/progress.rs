//! Bars for what takes longer than a second, on a terminal; nothing anywhere else.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use common::units::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// What takes no longer than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// Drawn at most so often in a second.
const FRAMES_PER_SECOND: u8 = 10;

/// The bar of one transfer.
#[derive(Debug)]
pub(crate) struct TransferBar {
    bar: ProgressBar,
    draws: bool,
    began: Instant,
    shown: Mutex<bool>,
}

impl TransferBar {
    /// Makes a bar that `what` stands before.
    pub(crate) fn new(output: Output, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "{prefix} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        Self {
            bar,
            draws: output.draws(),
            began: Instant::now(),
            shown: Mutex::new(false),
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show_when_slow(&self) {
        if !self.draws || self.began.elapsed() < PATIENCE {
            return;
        }
        let Ok(mut shown) = self.shown.lock() else {
            return;
        };
        if !std::mem::replace(&mut *shown, true) {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND));
        }
    }
}

impl link::trees::Progress for TransferBar {
    fn begin(&self, _: Bytes, missing: Bytes) {
        self.bar.set_length(missing.0);
    }

    fn advance(&self, bytes: Bytes) {
        self.bar.inc(bytes.0);
        self.show_when_slow();
    }

    fn skip(&self, bytes: Bytes) {
        self.bar.dec_length(bytes.0);
        self.show_when_slow();
    }
}
