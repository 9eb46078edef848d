//! Each reason why a machine may not be lent now: whether it holds, and what running jobs do because of it.
//!
//! What is measured moves up and down, so such a reason ends only well below its bound and not within
//! [`STEADY`]; what is seen at once (a person, a program, a plug) holds at once and ends at once.

use std::time::Duration;

use common::time::Timestamp;

use super::{
    OwnerRules,
    circumstances::{Battery, Circumstances, Metered, Presence},
    when::{OnReturn, PresentUse},
};

/// Shortest time for which something measured holds.
pub(super) const STEADY: Duration = Duration::from_secs(60);
/// How much cooler than its bound a machine has to be again.
const COOLER: u32 = 5;
/// A schedule that is longer than this is not quoted.
const MAX_QUOTED_BYTES: usize = 120;

/// A reason, in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Hours,
    /// The owner is there.
    Present,
    /// The owner has not been away for long enough.
    JustLeft,
    PresenceUnknown,
    Program(String),
    Battery,
    Heat,
    Memory,
    OtherCpu,
    Metered,
}

/// What running jobs do, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// They go on; only nothing new begins.
    Continue,
    Freeze,
    Evict,
}

/// A reason that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) cause: Cause,
    pub(super) since: Duration,
    pub(super) effect: Effect,
    /// As people read it after a colon. Found once, so that it does not change from minute to minute.
    pub(super) words: String,
    /// When it ends by itself, where that is known.
    pub(super) until: Option<Timestamp>,
    /// How long until time alone may end it.
    pub(super) again: Option<Duration>,
}

/// A reason as one look finds it.
struct Found {
    cause: Cause,
    effect: Effect,
    words: String,
    until: Option<Timestamp>,
    again: Option<Duration>,
}

/// Returns every reason that holds, given those that did before.
pub(super) fn holding(rules: &OwnerRules, now: &Circumstances, before: &[Hold]) -> Vec<Hold> {
    let mut found = Vec::new();
    found.extend(hours(rules, now));
    found.extend(presence(rules, now, before));
    found.extend(programs(rules, now));
    let plain = |cause, effect, words: &str| Found {
        cause,
        effect,
        words: words.to_owned(),
        until: None,
        again: None,
    };
    if rules.when.not_on_battery && now.battery == Some(Battery::Discharging) {
        found.push(plain(
            Cause::Battery,
            wanted_back(rules),
            "it runs on battery",
        ));
    }
    found.extend(measured(rules, now, before));
    if rules.when.not_on_metered && now.metered == Some(Metered::Yes) {
        found.push(plain(
            Cause::Metered,
            Effect::Continue,
            "its network is metered",
        ));
    }
    let held = |found: Found| {
        let earlier = before.iter().find(|hold| hold.cause == found.cause);
        Hold {
            since: earlier.map_or(now.now, |hold| hold.since),
            words: earlier.map_or(found.words, |hold| hold.words.clone()),
            cause: found.cause,
            effect: found.effect,
            until: found.until,
            again: found.again,
        }
    };
    found.into_iter().map(held).collect()
}

/// Returns what jobs do when the owner wants the machine.
const fn wanted_back(rules: &OwnerRules) -> Effect {
    match rules.yielding.on_return {
        OnReturn::Continue => Effect::Continue,
        OnReturn::Freeze => Effect::Freeze,
        OnReturn::Evict => Effect::Evict,
    }
}

/// Outside its hours a machine is its owner's for hours: nothing is frozen for so long.
fn hours(rules: &OwnerRules, now: &Circumstances) -> Option<Found> {
    let hours = rules.when.hours.as_ref()?;
    if hours.include(now.local) {
        return None;
    }
    let quoted = hours.to_string();
    let words = if quoted.len() > MAX_QUOTED_BYTES {
        "its owner lends it at other hours".to_owned()
    } else {
        format!("its owner lends it at other hours ({quoted})")
    };
    let minute_ms = 60_000;
    let begun = now.at.unix_ms() / minute_ms * minute_ms;
    let until = hours.minutes_to_change(now.local).map(|minutes| {
        Timestamp::from_unix_ms(begun.saturating_add(u64::from(minutes) * minute_ms))
    });
    Some(Found {
        cause: Cause::Hours,
        effect: Effect::Evict,
        words,
        until,
        again: until.map(|until| until.since(now.at)),
    })
}

fn presence(rules: &OwnerRules, now: &Circumstances, before: &[Hold]) -> Option<Found> {
    if !rules.watches_presence() {
        return None;
    }
    let (continue_after, idle_for) = spans(rules);
    let Some((presence, _)) = now.presence else {
        // Jobs stay as they are: frozen ones frozen, running ones running.
        let earlier = before.iter().find(|hold| {
            matches!(
                hold.cause,
                Cause::Present | Cause::JustLeft | Cause::PresenceUnknown
            )
        });
        return Some(Found {
            cause: Cause::PresenceUnknown,
            effect: earlier.map_or(Effect::Continue, |hold| hold.effect),
            words: "whether its owner is at the keyboard cannot be told here".to_owned(),
            until: None,
            again: None,
        });
    };
    let away = now.away().unwrap_or_default();
    let left = |whole: Duration| whole.saturating_sub(away);
    match presence {
        Presence::Active { since } => Some(Found {
            cause: Cause::Present,
            effect: wanted_back(rules),
            words: format!(
                "its owner is at the keyboard (since {})",
                now.clock_at(since)
            ),
            until: None,
            again: None,
        }),
        Presence::Idle { since } if away < idle_for => {
            let back = away < continue_after;
            Some(Found {
                cause: Cause::JustLeft,
                effect: if back {
                    wanted_back(rules)
                } else {
                    Effect::Continue
                },
                words: format!(
                    "its owner was at the keyboard until {}",
                    now.clock_at(since)
                ),
                until: None,
                again: Some(left(if back { continue_after } else { idle_for })),
            })
        }
        Presence::Idle { .. } => None,
    }
}

/// Returns how long the owner must be away before frozen jobs go on, and before new ones begin.
fn spans(rules: &OwnerRules) -> (Duration, Duration) {
    let continue_after = rules.yielding.continue_after.as_duration();
    let idle_for = rules.when.idle_for.map(|span| span.as_duration());
    let idle_for = idle_for.unwrap_or(continue_after);
    (continue_after.min(idle_for), idle_for)
}

/// Returns why GPUs are withheld because of who is there.
pub(super) fn gpus_withheld(
    rules: &OwnerRules,
    now: &Circumstances,
    holds: &[Hold],
) -> Option<String> {
    if rules.gpu_use.while_present != PresentUse::Withhold {
        return None;
    }
    match (
        now.presence,
        holds.iter().find(|hold| is_presence(&hold.cause)),
    ) {
        (_, Some(hold)) => Some(hold.words.clone()),
        // Nothing else depends on who is there, so nothing is held because of it.
        (Some((Presence::Active { since }, _)), None) => Some(format!(
            "its owner is at the keyboard (since {})",
            now.clock_at(since)
        )),
        (Some((Presence::Idle { .. }, _)), None) => {
            let (continue_after, _) = spans(rules);
            let back = now.away().is_some_and(|away| away < continue_after);
            back.then(|| "its owner has just left the keyboard".to_owned())
        }
        (None, None) => None,
    }
}

const fn is_presence(cause: &Cause) -> bool {
    matches!(cause, Cause::Present | Cause::JustLeft)
}

fn programs(rules: &OwnerRules, now: &Circumstances) -> Option<Found> {
    let running = now.programs.as_ref()?;
    let name = rules
        .when
        .not_while
        .iter()
        .find(|name| running.contains(name))?;
    Some(Found {
        cause: Cause::Program(name.clone()),
        effect: wanted_back(rules),
        words: format!("{name} is running on it"),
        until: None,
        again: None,
    })
}

/// A bound, and what is measured against it.
struct Bound {
    cause: Cause,
    measured: Option<u32>,
    most: u32,
    /// What it has to fall to before the reason ends.
    back_at: u32,
    effect: Effect,
    words: String,
}

fn measured(rules: &OwnerRules, now: &Circumstances, before: &[Hold]) -> Vec<Found> {
    let when = &rules.when;
    let heat = when.max_temperature.map(|most| Bound {
        cause: Cause::Heat,
        measured: now.temperature,
        most: u32::from(most),
        back_at: u32::from(most).saturating_sub(COOLER),
        effect: Effect::Freeze,
        words: format!("it is hotter than {most} °C"),
    });
    let memory = when.memory_pressure.map(|most| Bound {
        cause: Cause::Memory,
        measured: now.memory_pressure,
        most: u32::from(most.value()),
        back_at: u32::from(most.value()) / 2,
        // A frozen job keeps its memory.
        effect: Effect::Evict,
        words: "memory is short on it".to_owned(),
    });
    let other_cpu = when.other_cpu_over.map(|most| Bound {
        cause: Cause::OtherCpu,
        measured: now.other_cpu,
        most: u32::from(most.value()),
        back_at: u32::from(most.value()) * 3 / 4,
        effect: wanted_back(rules),
        words: format!(
            "other programs use more than {} % of its processors",
            most.value()
        ),
    });
    let bounds = [heat, memory, other_cpu].into_iter().flatten();
    bounds
        .filter_map(|bound| {
            let earlier = before.iter().find(|hold| hold.cause == bound.cause);
            let left = earlier.map_or(Duration::ZERO, |hold| {
                STEADY.saturating_sub(now.now.saturating_sub(hold.since))
            });
            let holds = match (earlier, bound.measured) {
                (_, Some(measured)) if measured > bound.most => true,
                (Some(_), Some(measured)) => measured > bound.back_at || !left.is_zero(),
                // What cannot be told any more does not hold for ever.
                (Some(_), None) => !left.is_zero(),
                (None, _) => false,
            };
            holds.then_some(Found {
                cause: bound.cause,
                effect: bound.effect,
                words: bound.words,
                until: None,
                again: Some(left).filter(|left| !left.is_zero()),
            })
        })
        .collect()
}
