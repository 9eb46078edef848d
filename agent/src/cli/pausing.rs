//! Why a machine takes nothing new, and until when, in words.

use common::machine::{Pause, PausedBy};

use super::moments::local;

/// Returns why the machine takes nothing new, as it reads after a colon.
pub(crate) fn reason(pause: &Pause) -> String {
    match (pause.by, pause.reason.as_str()) {
        (PausedBy::Command, "") => "its owner paused it".to_owned(),
        (PausedBy::Rule, "") => "a rule of its owner".to_owned(),
        (PausedBy::Draining, "") => "it is about to stop".to_owned(),
        (_, reason) => reason.to_owned(),
    }
}

/// Returns the same with when it ends, where anybody can tell.
pub(crate) fn reason_and_end(pause: &Pause) -> String {
    let reason = reason(pause);
    match pause.until {
        Some(until) => format!("{reason}, until {}", local(until)),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use common::time::Timestamp;

    use super::*;

    #[test]
    fn a_pause_is_told_with_its_reason() {
        let pause = |by, reason: &str| Pause {
            until: None,
            reason: reason.to_owned(),
            by,
        };
        assert_eq!(reason(&pause(PausedBy::Command, "")), "its owner paused it");
        let rule = pause(PausedBy::Rule, "its owner is at the keyboard");
        assert_eq!(reason_and_end(&rule), "its owner is at the keyboard");
        let until = Some(Timestamp::from_unix_ms(1_700_000_000_000));
        let text = reason_and_end(&Pause { until, ..rule });
        assert!(
            text.starts_with("its owner is at the keyboard, until 2023-11-1"),
            "{text}"
        );
    }
}
