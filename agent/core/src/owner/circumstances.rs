//! What is known of the machine's surroundings at one moment. What cannot be told here is `None`: it is said so,
//! and never guessed.

use std::time::Duration;

use common::time::{Span, Timestamp};

use super::LocalTime;

/// One look at the surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// On a clock that goes on while the machine sleeps; every span is measured on it.
    pub now: Duration,
    /// The same moment, for people.
    pub at: Timestamp,
    pub local: LocalTime,
    pub presence: Option<(Presence, PresenceSource)>,
    pub battery: Option<Battery>,
    pub metered: Option<Metered>,
    pub temperature: Measured,
    pub memory_pressure: Measured,
    /// Of all processors, in percent, without what jobs use.
    pub other_cpu: Measured,
    /// Which of the programs that were looked for run; `None` where processes cannot be seen.
    pub programs: Option<Vec<String>>,
    pub gpus: Vec<GpuSeen>,
}

/// A whole number, or nothing where it cannot be told.
pub type Measured = Option<u32>;

/// Whether somebody is at the keyboard. Moments are on the clock of [`Circumstances::now`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Active { since: Duration },
    Idle { since: Duration },
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceSource {
    /// systemd's login manager: sessions at the machine's own seat.
    Logind,
    /// Keyboards and mice.
    InputDevices,
    /// When something was last typed into a terminal of somebody who is logged in.
    Terminals,
}

/// Where the power comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Battery {
    /// The machine has none.
    Absent,
    Discharging,
    OnMains,
}

/// Whether the network costs by the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metered {
    Yes,
    No,
}

/// A GPU and whether a program that is no job of ours uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuSeen {
    pub uuid: String,
    pub used_by_others: bool,
}

impl PresenceSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logind => "logind",
            Self::InputDevices => "keyboard and mouse",
            Self::Terminals => "terminals",
        }
    }
}

impl Circumstances {
    /// Returns circumstances of which nothing is known but the time.
    pub const fn unknown(now: Duration, at: Timestamp, local: LocalTime) -> Self {
        Self {
            now,
            at,
            local,
            presence: None,
            battery: None,
            metered: None,
            temperature: None,
            memory_pressure: None,
            other_cpu: None,
            programs: None,
            gpus: Vec::new(),
        }
    }

    /// Returns whether another look found the same, whatever time it was.
    pub fn same_but_later(&self, later: &Self) -> bool {
        let later = Self {
            now: self.now,
            at: self.at,
            local: self.local,
            ..later.clone()
        };
        *self == later
    }

    /// Returns the same at another moment.
    #[must_use]
    pub fn at(&self, now: Duration, at: Timestamp, local: LocalTime) -> Self {
        Self {
            now,
            at,
            local,
            ..self.clone()
        }
    }

    /// Returns how long the owner has been away, zero while there; `None` where that cannot be told.
    pub(super) fn away(&self) -> Option<Duration> {
        self.presence.map(|(presence, _)| match presence {
            Presence::Active { .. } => Duration::ZERO,
            Presence::Idle { since } => self.now.saturating_sub(since),
        })
    }

    /// Returns what the clock on the wall showed at a moment of [`Circumstances::now`]'s clock.
    pub(super) fn clock_at(&self, moment: Duration) -> String {
        let ago = self.now.saturating_sub(moment).as_secs();
        // Counted in whole minutes of the wall clock: 14:02:59 is still 14:02.
        let into_minute = self.at.unix_ms() / 1000 % 60;
        let minutes = (ago + 59 - into_minute.min(59)) / 60;
        self.local.clock_before(minutes)
    }

    /// Returns every circumstance in words, a line each, with where it is known from.
    pub fn lines(&self) -> Vec<String> {
        let told = |text: Option<String>| text.unwrap_or_else(|| CANNOT_TELL.to_owned());
        let percent = |percent: u32| format!("{percent} %");
        let presence = self.presence.map(|(presence, source)| {
            let text = match presence {
                Presence::Active { since } => {
                    format!("at the keyboard since {}", self.clock_at(since))
                }
                Presence::Idle { since } => {
                    let whole = self.now.saturating_sub(since).as_secs();
                    format!("idle for {}", Span::from_secs(whole))
                }
            };
            format!("{text} ({})", source.as_str())
        });
        let battery = self.battery.map(|battery| match battery {
            Battery::Absent => "none in this machine".to_owned(),
            Battery::Discharging => "in use".to_owned(),
            Battery::OnMains => "not in use".to_owned(),
        });
        let metered = self.metered.map(|metered| match metered {
            Metered::Yes => "yes (NetworkManager)".to_owned(),
            Metered::No => "no (NetworkManager)".to_owned(),
        });
        let mut lines = vec![
            format!("presence: {}", told(presence)),
            format!("battery: {}", told(battery)),
            format!("metered network: {}", told(metered)),
            format!(
                "temperature: {}",
                told(
                    self.temperature
                        .map(|degrees| format!("{degrees} °C at its hottest"))
                )
            ),
            format!(
                "memory pressure: {}",
                told(self.memory_pressure.map(percent))
            ),
            format!(
                "processors used by others: {}",
                told(self.other_cpu.map(percent))
            ),
        ];
        match self.programs.as_deref() {
            None => lines.push(format!("programs: {CANNOT_TELL}")),
            Some([]) => {}
            Some(programs) => lines.push(format!("programs: {} running", programs.join(", "))),
        }
        let used = self.gpus.iter().filter(|gpu| gpu.used_by_others);
        lines.extend(used.map(|gpu| format!("{}: used by another program", gpu.uuid)));
        lines
    }
}

/// What is said instead of a guess.
const CANNOT_TELL: &str = "cannot be told here";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::Weekday;

    fn at_two() -> Circumstances {
        // 14:02:30 in a zone of whole hours.
        let at = Timestamp::from_unix_ms(1_700_056_950_000);
        let local = LocalTime {
            weekday: Weekday::Wednesday,
            minute: 14 * 60 + 2,
        };
        Circumstances::unknown(Duration::from_secs(10_000), at, local)
    }

    #[test]
    fn clocks_are_right_to_the_minute() {
        let now = at_two();
        let ago = |secs: u64| now.clock_at(Duration::from_secs(10_000 - secs));
        assert_eq!(ago(0), "14:02");
        assert_eq!(ago(30), "14:02");
        assert_eq!(ago(31), "14:01");
        assert_eq!(ago(91), "14:00");
    }

    #[test]
    fn what_cannot_be_told_is_said_and_what_can_names_its_source() {
        let unknown = at_two();
        let lines = unknown.lines();
        assert_eq!(lines.len(), 7);
        assert!(
            lines.iter().all(|line| line.ends_with(CANNOT_TELL)),
            "{lines:?}"
        );
        let idle = Presence::Idle {
            since: Duration::from_secs(9_280),
        };
        let known = Circumstances {
            presence: Some((idle, PresenceSource::Logind)),
            battery: Some(Battery::Absent),
            metered: Some(Metered::Yes),
            temperature: Some(61),
            programs: Some(vec!["blender".to_owned()]),
            gpus: vec![GpuSeen {
                uuid: "GPU-a".to_owned(),
                used_by_others: true,
            }],
            ..unknown
        };
        let lines = known.lines();
        assert_eq!(lines[0], "presence: idle for 12m (logind)");
        assert_eq!(lines[1], "battery: none in this machine");
        assert_eq!(lines[2], "metered network: yes (NetworkManager)");
        assert_eq!(lines[3], "temperature: 61 °C at its hottest");
        assert_eq!(lines[6], "programs: blender running");
        assert_eq!(lines[7], "GPU-a: used by another program");
    }
}
