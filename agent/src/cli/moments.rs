//! Moments and spans as people read them: in their own time zone, or as how long ago.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::time::{Span, Timestamp};
use jiff::tz::TimeZone;

/// Returns the moment this is asked.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Returns `2026-11-21 23:14:35` in the reader's time zone.
pub(crate) fn local(moment: Timestamp) -> String {
    in_zone(moment, TimeZone::system())
}

fn in_zone(moment: Timestamp, zone: TimeZone) -> String {
    let ms = i64::try_from(moment.unix_ms()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    moment
        .to_zoned(zone)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Returns `5m ago`, `now` within a second, `in 3h` for what comes.
pub(crate) fn ago(moment: Timestamp, now: Timestamp) -> String {
    let (past, future) = (now.since(moment), moment.since(now));
    if future >= Duration::from_secs(1) {
        format!("in {}", Span::from(future))
    } else if past < Duration::from_secs(1) {
        "now".to_owned()
    } else {
        format!("{} ago", Span::from(past))
    }
}

/// Returns how long something took, or has taken so far; empty where it has not begun.
pub(crate) fn took(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> String {
    from.map(|from| Span::from(to.unwrap_or(now).since(from)).to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_local_times_and_ages() {
        let moment = Timestamp::from_unix_ms(1_700_000_000_000);
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(in_zone(moment, zone), "2023-11-15 00:13:20");
        let later = |seconds| moment.saturating_add(Duration::from_secs(seconds));
        assert_eq!(ago(moment, later(300)), "5m ago");
        assert_eq!(ago(moment, moment), "now");
        assert_eq!(ago(later(7200), moment), "in 2h");
        assert_eq!(took(Some(moment), None, later(90)), "1m 30s");
        assert_eq!(took(None, None, moment), "");
    }
}
