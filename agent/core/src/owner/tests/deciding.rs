use std::time::Duration;

use common::time::Timestamp;

use crate::owner::{
    Battery, Circumstances, Decision, GpuSeen, Lend, LocalTime, Metered, OwnerRules, Presence,
    PresenceSource, Running, Weekday,
};

pub(super) fn rules(json: &str) -> OwnerRules {
    serde_json::from_str(json).unwrap()
}

/// Monday, 14:02, a quarter of an hour after everybody has left; nothing else is the matter.
pub(super) fn quiet(now_s: u64) -> Circumstances {
    let at = Timestamp::from_unix_ms(1_700_056_920_000 + now_s * 1000);
    let minute = u16::try_from((14 * 60 + 2 + now_s / 60) % 1440).unwrap();
    let local = LocalTime {
        weekday: Weekday::Monday,
        minute,
    };
    Circumstances {
        presence: Some((idle(0), PresenceSource::Logind)),
        battery: Some(Battery::OnMains),
        metered: Some(Metered::No),
        temperature: Some(40),
        memory_pressure: Some(0),
        other_cpu: Some(0),
        programs: Some(Vec::new()),
        ..Circumstances::unknown(Duration::from_secs(now_s), at, local)
    }
}

pub(super) fn idle(since_s: u64) -> Presence {
    Presence::Idle {
        since: Duration::from_secs(since_s),
    }
}

pub(super) fn active(since_s: u64) -> Presence {
    Presence::Active {
        since: Duration::from_secs(since_s),
    }
}

pub(super) fn with(presence: Presence, now: Circumstances) -> Circumstances {
    Circumstances {
        presence: Some((presence, PresenceSource::Logind)),
        ..now
    }
}

pub(super) fn decided(rules: &OwnerRules, now: &Circumstances) -> Decision {
    Decision::default().after(rules, now)
}

fn reason(decision: &Decision) -> &str {
    match &decision.lend {
        Lend::Open => "open",
        Lend::Closed { reason, .. } => reason,
    }
}

fn running(decision: &Decision) -> &'static str {
    match decision.running {
        Running::Run => "run",
        Running::Freeze { .. } => "freeze",
        Running::Evict { .. } => "evict",
    }
}

#[test]
fn every_circumstance_closes_with_its_words_and_its_effect() {
    let all = r#"{"preset": "desktop", "when": {"hours": ["mon 8:00-20:00"], "not_on_battery": true,
        "not_on_metered": true, "not_while": ["blender"], "max_temperature": 80, "memory_pressure": 20}}"#;
    let rules = rules(all);
    let base = || with(idle(0), quiet(10_000));
    let local = |minute| LocalTime {
        weekday: Weekday::Monday,
        minute,
    };
    let table: Vec<(Circumstances, &str, &str)> = vec![
        (
            Circumstances {
                local: local(9 * 60),
                ..base()
            },
            "open",
            "run",
        ),
        (
            Circumstances {
                local: local(21 * 60),
                ..base()
            },
            "its owner lends it at other hours (mon 8:00-20:00)",
            "evict",
        ),
        (
            with(active(10_000), base()),
            "its owner is at the keyboard (since 16:48)",
            "freeze",
        ),
        (
            with(idle(9_900), base()),
            "its owner was at the keyboard until 16:47",
            "freeze",
        ),
        (
            with(idle(9_400), base()),
            "its owner was at the keyboard until 16:38",
            "run",
        ),
        (
            Circumstances {
                presence: None,
                ..base()
            },
            "whether its owner is at the keyboard cannot be told here",
            "run",
        ),
        (
            Circumstances {
                programs: Some(vec!["blender".to_owned()]),
                ..base()
            },
            "blender is running on it",
            "freeze",
        ),
        (
            Circumstances {
                battery: Some(Battery::Discharging),
                ..base()
            },
            "it runs on battery",
            "freeze",
        ),
        (
            Circumstances {
                temperature: Some(81),
                ..base()
            },
            "it is hotter than 80 °C",
            "freeze",
        ),
        (
            Circumstances {
                memory_pressure: Some(21),
                ..base()
            },
            "memory is short on it",
            "evict",
        ),
        (
            Circumstances {
                other_cpu: Some(51),
                ..base()
            },
            "other programs use more than 50 % of its processors",
            "freeze",
        ),
        (
            Circumstances {
                metered: Some(Metered::Yes),
                ..base()
            },
            "its network is metered",
            "run",
        ),
        (
            // What cannot be told forbids nothing, but for who is there.
            Circumstances {
                battery: None,
                metered: None,
                temperature: None,
                memory_pressure: None,
                other_cpu: None,
                programs: None,
                ..base()
            },
            "open",
            "run",
        ),
    ];
    for (now, words, effect) in table {
        let decision = decided(&rules, &now);
        assert_eq!(
            (reason(&decision), running(&decision)),
            (words, effect),
            "{now:?}"
        );
    }
}

#[test]
fn without_rules_the_machine_is_always_lent() {
    let now = with(active(0), quiet(5));
    let now = Circumstances {
        battery: Some(Battery::Discharging),
        other_cpu: Some(100),
        ..now
    };
    let decision = decided(&OwnerRules::default(), &now);
    assert_eq!(decision, Decision::default());
}

#[test]
fn jobs_freeze_are_ended_after_the_limit_and_begin_again_only_after_idling() {
    let rules = rules(r#"{"preset": "desktop"}"#);
    let mut decision = decided(&rules, &quiet(10_000));
    assert_eq!(reason(&decision), "open");
    let mut step = |presence, now_s| {
        decision = decision.after(&rules, &with(presence, quiet(now_s)));
        (
            reason(&decision) == "open",
            running(&decision),
            decision.again,
        )
    };
    let secs = |s| Some(Duration::from_secs(s));
    assert_eq!(step(active(10_000), 10_000), (false, "freeze", secs(600)));
    assert_eq!(step(active(10_000), 10_599), (false, "freeze", secs(1)));
    assert_eq!(step(active(10_000), 10_600), (false, "evict", None));
    assert_eq!(step(idle(10_700), 10_701), (false, "evict", secs(299)));
    assert_eq!(step(idle(10_700), 11_000), (false, "run", secs(600)));
    assert_eq!(step(idle(10_700), 11_599), (false, "run", secs(1)));
    assert_eq!(step(idle(10_700), 11_600), (true, "run", None));
    // A short visit: frozen at once, and on again after five minutes without anybody.
    assert_eq!(step(active(12_000), 12_000), (false, "freeze", secs(600)));
    assert_eq!(step(idle(12_010), 12_011), (false, "freeze", secs(299)));
    assert_eq!(step(idle(12_010), 12_310), (false, "run", secs(600)));
}

#[test]
fn what_is_lost_from_sight_changes_nothing_for_running_jobs() {
    let rules = rules(r#"{"preset": "idle"}"#);
    let frozen = decided(&rules, &with(active(10_000), quiet(10_000)));
    let blind = |now_s| Circumstances {
        presence: None,
        ..quiet(now_s)
    };
    let still = frozen.after(&rules, &blind(10_100));
    assert_eq!(running(&still), "freeze");
    assert_eq!(running(&still.after(&rules, &blind(10_600))), "evict");
    let open = decided(&rules, &quiet(10_000));
    let lost = open.after(&rules, &blind(10_001));
    assert_eq!((reason(&lost) == "open", running(&lost)), (false, "run"));
}

#[test]
fn a_freeze_is_one_with_that_of_an_agent_before() {
    let rules = rules(r#"{"preset": "idle"}"#);
    let there = |now_s| with(active(10_000), quiet(now_s));
    let blind = |now_s| Circumstances {
        presence: None,
        ..quiet(now_s)
    };
    let resumed =
        |now_s| Decision::resumed(Duration::from_secs(10_000), Duration::from_secs(now_s));
    // Seven minutes stood still already, of ten; at first nothing is known of the owner.
    let frozen = resumed(10_420)
        .after(&rules, &blind(10_420))
        .after(&rules, &there(10_421));
    assert_eq!(
        (running(&frozen), frozen.again),
        ("freeze", Some(Duration::from_secs(179)))
    );
    assert_eq!(running(&frozen.after(&rules, &there(10_600))), "evict");
    // The agent was away past the end.
    assert_eq!(
        running(&resumed(10_700).after(&rules, &there(10_700))),
        "evict"
    );
    // Back after jobs went on: another visit.
    let later = resumed(10_420)
        .after(&rules, &quiet(10_420))
        .after(&rules, &there(10_431));
    assert_eq!(
        (running(&later), later.again),
        ("freeze", Some(Duration::from_secs(600)))
    );
}

#[test]
fn the_end_of_a_pause_is_told_where_it_is_known() {
    let rules = rules(r#"{"preset": "night"}"#);
    let decision = decided(&rules, &quiet(0));
    let Lend::Closed {
        until: Some(until), ..
    } = decision.lend
    else {
        panic!("{decision:?}");
    };
    // From 14:02 to 22:00.
    assert_eq!(until.since(quiet(0).at), Duration::from_secs(478 * 60));
    assert_eq!(decision.again, Some(Duration::from_secs(478 * 60)));
}

#[test]
fn gpus_are_kept_back_while_the_owner_or_another_program_needs_them() {
    let gpus = || {
        let gpu = |uuid: &str, used_by_others| GpuSeen {
            uuid: uuid.to_owned(),
            used_by_others,
        };
        vec![gpu("GPU-a", false), gpu("GPU-b", true)]
    };
    let names = |json: &str, presence| -> Vec<String> {
        let now = Circumstances {
            gpus: gpus(),
            ..with(presence, quiet(10_000))
        };
        let decision = decided(&rules(json), &now);
        decision.withheld.into_keys().collect()
    };
    assert_eq!(names("{}", active(10_000)), Vec::<String>::new());
    let present = r#"{"gpus": {"while_present": "withhold"}}"#;
    assert_eq!(names(present, active(10_000)), ["GPU-a", "GPU-b"]);
    assert_eq!(names(present, idle(9_999)), ["GPU-a", "GPU-b"]);
    assert_eq!(names(present, idle(0)), Vec::<String>::new());
    let others = r#"{"gpus": {"while_used_by_others": "evict"}}"#;
    assert_eq!(names(others, active(10_000)), ["GPU-b"]);
    assert_eq!(names(r#"{"preset": "desktop"}"#, idle(0)), ["GPU-b"]);
    assert_eq!(
        names(r#"{"preset": "desktop"}"#, active(1)),
        ["GPU-a", "GPU-b"]
    );
}
