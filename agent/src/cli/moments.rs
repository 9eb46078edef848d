//! Moments and spans as people read them: in their own time zone, or as how long ago.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{
    code::Code,
    problem::Problem,
    time::{Span, Timestamp},
};
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

/// Returns `2026-11-21` in the reader's time zone.
pub(crate) fn day(moment: Timestamp) -> String {
    local(moment).chars().take(10).collect()
}

fn in_zone(moment: Timestamp, zone: TimeZone) -> String {
    let ms = i64::try_from(moment.unix_ms()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    moment
        .to_zoned(zone)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Reads how far back somebody wants to look: a span before `now`, a day of the reader's time zone, or a moment.
///
/// # Errors
/// It is none of them.
pub(crate) fn since(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    since_in(text, now, &TimeZone::system()).ok_or_else(|| {
        let what = format!("{text:?} is not a time to look back to");
        let why = "it is neither a span such as 7d or 2h, nor a day such as 2026-11-01, nor a moment in RFC 3339";
        Problem::new(Code::BadRequest, what, why)
    })
}

fn since_in(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(span) = text.parse::<Span>() {
        let span = u64::try_from(span.as_duration().as_millis()).ok()?;
        return Some(Timestamp::from_unix_ms(now.unix_ms().saturating_sub(span)));
    }
    let moment = match text.parse::<jiff::Timestamp>() {
        Ok(moment) => moment,
        Err(_) => {
            let day: jiff::civil::Date = text.parse().ok()?;
            day.to_zoned(zone.clone()).ok()?.timestamp()
        }
    };
    let ms = u64::try_from(moment.as_millisecond()).unwrap_or(0);
    Some(Timestamp::from_unix_ms(ms))
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

    #[test]
    fn looking_back_is_a_span_a_day_or_a_moment() {
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let back = |text: &str| since_in(text, now, &zone).map(|moment| moment.to_string());
        assert_eq!(back("1h").as_deref(), Some("2023-11-14T21:13:20.000Z"));
        assert_eq!(
            back("2023-11-14").as_deref(),
            Some("2023-11-13T22:00:00.000Z")
        );
        let moment = "2023-11-14T12:00:00.000Z";
        assert_eq!(back(moment).as_deref(), Some(moment));
        assert_eq!(back("100y"), None);
        for bad in ["", "yesterday", "2023-13-01", "-1h", "14.11.2023"] {
            assert_eq!(back(bad), None, "{bad}");
            assert_eq!(since(bad, now).unwrap_err().code, Code::BadRequest);
        }
    }
}
