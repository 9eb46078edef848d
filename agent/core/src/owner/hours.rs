//! The week schedule: `mon-fri 18:00-08:00`, `sat-sun`, `22:00-07:00`.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use super::keys::shown;

/// Most windows in a schedule.
const MAX_WINDOWS: usize = 32;
const DAY_MINUTES: u16 = 24 * 60;
const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// What the clock on the wall shows where the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    pub weekday: Weekday,
    /// Of the day, 0 to 1439.
    pub minute: u16,
}

impl LocalTime {
    /// Returns the clock `minutes` ago.
    fn earlier(self, minutes: u64) -> u16 {
        let minutes = u16::try_from(minutes % u64::from(DAY_MINUTES)).unwrap_or(0);
        (self.minute % DAY_MINUTES + DAY_MINUTES - minutes) % DAY_MINUTES
    }

    /// Returns what the clock showed `minutes` ago: `14:02`.
    pub(super) fn clock_before(self, minutes: u64) -> String {
        let minute = self.earlier(minutes);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    }

    const fn of_week(self) -> u16 {
        self.weekday as u16 * DAY_MINUTES + self.minute % DAY_MINUTES
    }
}

/// When the machine is lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    windows: Vec<Window>,
}

/// Begins on each of its days; one that ends before it begins ends on the next day.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    written: String,
    days: [bool; 7],
    from: u16,
    minutes: u16,
}

impl Hours {
    /// Returns whether the machine is lent at this moment.
    pub fn include(&self, now: LocalTime) -> bool {
        let minute = now.of_week();
        self.windows.iter().any(|window| window.includes(minute))
    }

    /// Returns in how many minutes that changes; `None` where it never does.
    pub fn minutes_to_change(&self, now: LocalTime) -> Option<u16> {
        let minute = now.of_week();
        let open = self.include(now);
        let edges = self.windows.iter().flat_map(Window::edges);
        edges
            .map(|edge| (edge + WEEK_MINUTES - minute) % WEEK_MINUTES)
            .filter(|wait| {
                let then = (minute + wait) % WEEK_MINUTES;
                *wait > 0 && self.windows.iter().any(|window| window.includes(then)) != open
            })
            .min()
    }
}

impl Window {
    fn includes(&self, minute: u16) -> bool {
        self.begins().any(|begin| {
            let since = (minute + WEEK_MINUTES - begin) % WEEK_MINUTES;
            since < self.minutes
        })
    }

    fn begins(&self) -> impl Iterator<Item = u16> {
        let days = self.days.iter().zip(0_u16..);
        days.filter(|(day, _)| **day)
            .map(|(_, index)| index * DAY_MINUTES + self.from)
    }

    fn edges(&self) -> impl Iterator<Item = u16> {
        self.begins()
            .flat_map(|begin| [begin, (begin + self.minutes) % WEEK_MINUTES])
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, window) in self.windows.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(&window.written)?;
        }
        Ok(())
    }
}

/// Why a text is no window of a week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHours {
    #[error(
        "{0:?} is not a part of the week; write days, hours or both, as in sat-sun, 22:00-07:00 or mon-fri 18:00-08:00"
    )]
    Syntax(String),
    #[error("{0:?} is not a day; write mon, tue, wed, thu, fri, sat or sun")]
    Day(String),
    #[error("{0:?} is not a time of day; write HH:MM from 00:00 to 24:00")]
    Time(String),
    #[error("{0:?} begins and ends at the same time; the whole day is 00:00-24:00")]
    Empty(String),
}

impl FromStr for Window {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times) = match words[..] {
            [times] if times.contains(':') => (None, Some(times)),
            [days] => (Some(days), None),
            [days, times] => (Some(days), Some(times)),
            _ => return Err(InvalidHours::Syntax(shown(text))),
        };
        let (from, to) = match times {
            None => (0, DAY_MINUTES),
            Some(times) => {
                let (from, to) = times
                    .split_once('-')
                    .ok_or_else(|| InvalidHours::Syntax(shown(text)))?;
                (time(from)?, time(to)?)
            }
        };
        let minutes = if to > from {
            to - from
        } else {
            to + DAY_MINUTES - from
        };
        if to == from || from == DAY_MINUTES {
            return Err(InvalidHours::Empty(shown(text)));
        }
        Ok(Self {
            written: words.join(" "),
            days: days.map_or(Ok([true; 7]), days_in)?,
            from,
            minutes,
        })
    }
}

fn days_in(text: &str) -> Result<[bool; 7], InvalidHours> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut index = first;
        days[index] = true;
        while index != last {
            index = (index + 1) % 7;
            days[index] = true;
        }
    }
    Ok(days)
}

fn day(text: &str) -> Result<usize, InvalidHours> {
    let lower = text.to_ascii_lowercase();
    let matches = |(name, _): &(&str, Weekday)| lower.len() >= 3 && name.starts_with(&lower);
    DAYS.iter()
        .position(matches)
        .ok_or_else(|| InvalidHours::Day(shown(text)))
}

fn time(text: &str) -> Result<u16, InvalidHours> {
    let invalid = || InvalidHours::Time(shown(text));
    let (hours, minutes) = text.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| -> Option<u16> {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or_else(invalid)?;
    let all = hours * 60 + minutes;
    if minutes > 59 || all > DAY_MINUTES {
        return Err(invalid());
    }
    Ok(all)
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        Ok(Self {
            windows: vec![text.parse()?],
        })
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HoursVisitor;
        impl<'de> Visitor<'de> for HoursVisitor {
            type Value = Hours;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parts of the week, as in [mon-fri 18:00-08:00, sat-sun]")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hours, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Hours, A::Error> {
                let mut windows = Vec::new();
                while let Some(text) = seq.next_element::<String>()? {
                    if windows.len() == MAX_WINDOWS {
                        return Err(A::Error::custom(format_args!(
                            "more than {MAX_WINDOWS} parts of the week"
                        )));
                    }
                    windows.push(text.parse().map_err(A::Error::custom)?);
                }
                if windows.is_empty() {
                    return Err(A::Error::custom(
                        "no part of the week is named; leave the key out to lend at every hour",
                    ));
                }
                Ok(Hours { windows })
            }
        }
        deserializer.deserialize_any(HoursVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(weekday: Weekday, hour: u16, minute: u16) -> LocalTime {
        LocalTime {
            weekday,
            minute: hour * 60 + minute,
        }
    }

    #[test]
    fn windows_reach_over_midnight_and_over_the_week() {
        let hours: Hours = serde_json::from_str(r#"["mon-fri 18:00-08:00", "sat"]"#).unwrap();
        for (moment, open) in [
            (at(Weekday::Monday, 7, 59), false),
            (at(Weekday::Monday, 18, 0), true),
            (at(Weekday::Tuesday, 7, 59), true),
            (at(Weekday::Tuesday, 8, 0), false),
            (at(Weekday::Saturday, 23, 59), true),
            (at(Weekday::Sunday, 0, 0), false),
        ] {
            assert_eq!(hours.include(moment), open, "{moment:?}");
        }
        assert_eq!(
            hours.minutes_to_change(at(Weekday::Tuesday, 8, 0)),
            Some(600)
        );
        // Friday evening runs on into Saturday.
        assert_eq!(
            hours.minutes_to_change(at(Weekday::Friday, 18, 0)),
            Some(30 * 60)
        );
        let sunday: Hours = "sun 22:00-04:00".parse().unwrap();
        assert!(sunday.include(at(Weekday::Monday, 3, 59)));
        let whole: Hours = "mon-sun".parse().unwrap();
        assert_eq!(whole.minutes_to_change(at(Weekday::Friday, 1, 0)), None);
        assert_eq!(hours.to_string(), "mon-fri 18:00-08:00, sat");
    }

    #[test]
    fn every_minute_agrees_with_the_next_change() {
        let hours: Hours =
            serde_json::from_str(r#"["fri-mon 9:30-12:00", "tue,thu 20:00-24:00"]"#).unwrap();
        for minute in (0..WEEK_MINUTES).step_by(29) {
            let day = DAYS[usize::from(minute / DAY_MINUTES)].1;
            let now = at(day, 0, minute % DAY_MINUTES);
            let open = hours.include(now);
            let first = (1..=WEEK_MINUTES).find(|wait| {
                let then = (minute + wait) % WEEK_MINUTES;
                hours.windows.iter().any(|window| window.includes(then)) != open
            });
            assert_eq!(hours.minutes_to_change(now), first, "{now:?}");
        }
    }

    #[test]
    fn mistakes_name_what_is_meant() {
        for (text, expect) in [
            ("", "not a part of the week"),
            ("whenever it suits me", "not a part of the week"),
            ("someday", "\"someday\" is not a day"),
            ("mo 10:00-12:00", "\"mo\" is not a day"),
            ("25:00-26:00", "\"25:00\" is not a time"),
            ("24:01-3:00", "\"24:01\" is not a time"),
            ("10:60-12:00", "\"10:60\" is not a time"),
            ("mon 10:00", "not a part of the week"),
            ("10:00-10:00", "begins and ends at the same time"),
        ] {
            let error = text.parse::<Hours>().unwrap_err().to_string();
            assert!(error.contains(expect), "{text:?}: {error}");
        }
        let error = serde_json::from_str::<Hours>("[]").unwrap_err();
        assert!(error.to_string().contains("leave the key out"), "{error}");
    }

    #[test]
    fn clocks_go_back_over_midnight() {
        let now = at(Weekday::Monday, 0, 10);
        assert_eq!(now.clock_before(0), "00:10");
        assert_eq!(now.clock_before(15), "23:55");
    }
}
