use proptest::prelude::*;

use super::deciding::{active, decided, idle, quiet, rules, with};
use crate::owner::{
    Battery, Circumstances, Decision, Lend, LocalTime, Metered, OwnerRules, Presence,
    PresenceSource, Running, Weekday,
};

prop_compose! {
    fn circumstances()(
        minute in 0_u16..1440,
        presence in prop::option::of((any::<bool>(), 0_u64..5_000)),
        battery in prop::option::of(prop::sample::select(vec![Battery::Absent, Battery::Discharging, Battery::OnMains])),
        metered in prop::option::of(prop::sample::select(vec![Metered::Yes, Metered::No])),
        temperature in prop::option::of(20_u32..100),
        pressure in prop::option::of(0_u32..100),
        cpu in prop::option::of(0_u32..100),
        program in prop::option::of(any::<bool>()),
        now_s in 5_000_u64..6_000,
    ) -> Circumstances {
        Circumstances {
            local: LocalTime { weekday: Weekday::Friday, minute },
            presence: presence.map(|(there, since)| (if there { active(since) } else { idle(since) }, PresenceSource::InputDevices)),
            battery,
            metered,
            temperature,
            memory_pressure: pressure,
            other_cpu: cpu,
            programs: program.map(|runs| if runs { vec!["blender".to_owned()] } else { Vec::new() }),
            ..quiet(now_s)
        }
    }
}

/// Whether a rule forbids lending, read from the rules as plainly as they are written.
fn forbidden(rules: &OwnerRules, now: &Circumstances) -> bool {
    let when = &rules.when;
    let over = |most: Option<u32>, seen: Option<u32>| {
        most.zip(seen).is_some_and(|(most, seen)| seen > most)
    };
    let percent =
        |rule: Option<crate::owner::Percent>| rule.map(|percent| u32::from(percent.value()));
    let away = now.presence.map(|(presence, _)| match presence {
        Presence::Active { .. } => 0,
        Presence::Idle { since } => (now.now - since).as_secs(),
    });
    let needed = when.idle_for.map(|span| span.as_duration().as_secs());
    when.hours
        .as_ref()
        .is_some_and(|hours| !hours.include(now.local))
        || needed.is_some_and(|needed| away.is_none_or(|away| away < needed))
        || (when.not_on_battery && now.battery == Some(Battery::Discharging))
        || (when.not_on_metered && now.metered == Some(Metered::Yes))
        || over(when.max_temperature.map(u32::from), now.temperature)
        || over(percent(when.memory_pressure), now.memory_pressure)
        || over(percent(when.other_cpu_over), now.other_cpu)
        || (now.programs.as_ref())
            .is_some_and(|running| when.not_while.iter().any(|name| running.contains(name)))
}

const STRICT: &str = r#"{"preset": "laptop", "when": {"hours": ["9:00-17:00"], "not_while": ["blender"],
    "memory_pressure": 20}}"#;

proptest! {
    #[test]
    fn nothing_begins_that_a_rule_forbids_whatever_came_before(
        steps in prop::collection::vec(circumstances(), 1..20),
        preset in prop::sample::select(vec!["always", "night", "idle", "desktop", "laptop"]),
        strict in any::<bool>(),
    ) {
        let rules = if strict { rules(STRICT) } else { rules(&format!(r#"{{"preset": "{preset}"}}"#)) };
        let mut decision = Decision::default();
        for now in &steps {
            decision = decision.after(&rules, now);
            if forbidden(&rules, now) {
                prop_assert!(decision.lend != Lend::Open, "{now:?}");
            }
            // Where nothing is held back, nothing is taken away either.
            if decision.lend == Lend::Open {
                prop_assert_eq!(&decision.running, &Running::Run);
            }
        }
    }

    #[test]
    fn more_rules_never_lend_more(now in circumstances()) {
        let presets = ["always", "idle", "desktop", "laptop"];
        let open = |preset: &str| {
            let idle = r#"{"idle_for": 900}"#;
            let when = if preset == "idle" { idle } else { "{}" };
            let json = format!(r#"{{"preset": "{preset}", "when": {when}}}"#);
            decided(&rules(&json), &now).lend == Lend::Open
        };
        for pair in presets.windows(2) {
            prop_assert!(open(pair[0]) || !open(pair[1]), "{pair:?}");
        }
        prop_assert!(!(decided(&rules(STRICT), &now).lend == Lend::Open) || open("laptop"));
    }

    #[test]
    fn what_is_measured_does_not_flap(readings in prop::collection::vec(0_u32..100, 2..120)) {
        let rules = rules(r#"{"when": {"other_cpu_over": 50}}"#);
        let (mut decision, mut closed_at) = (Decision::default(), None);
        for (second, reading) in (0_u64..).zip(readings) {
            let now = Circumstances { other_cpu: Some(reading), ..quiet(10_000 + second) };
            let before = decision.lend.clone();
            decision = decision.after(&rules, &now);
            match (before, &decision.lend) {
                (Lend::Open, Lend::Closed { .. }) => closed_at = Some(second),
                (Lend::Closed { .. }, Lend::Open) => {
                    prop_assert!(closed_at.is_some_and(|at| second >= at + 60));
                    prop_assert!(reading <= 37);
                }
                (before, after) => prop_assert_eq!(&before, after),
            }
        }
    }

    /// A look later, with nothing else changed, lends no less: going away is never a reason to close.
    #[test]
    fn being_away_for_longer_never_closes(away in 0_u64..2_000, longer in 0_u64..2_000) {
        let rules = rules(r#"{"preset": "desktop"}"#);
        let open = |away| decided(&rules, &with(idle(10_000 - away), quiet(10_000))).lend == Lend::Open;
        prop_assert!(!open(away) || open(away + longer));
    }
}
