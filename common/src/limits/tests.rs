//! What limits read, refuse and show.

use super::{
    Amount, InvalidResource, Limits, MAX_LIMITED_RESOURCES, ResourceLimits, ResourceType,
    StorageLimits, TooManyResources,
    written::{self, Count, InvalidLimit, Size, Time},
};
use crate::{
    time::Span,
    units::{Bytes, MilliCpu},
};

fn resource(text: &str) -> ResourceType {
    text.parse().unwrap()
}

fn limits(entries: &[(&str, u64)]) -> ResourceLimits {
    let mut limits = ResourceLimits::default();
    for (key, most) in entries {
        limits.set(resource(key), Amount(*most)).unwrap();
    }
    limits
}

#[test]
fn a_resource_type_is_a_known_word_or_a_model_in_the_form_jobs_ask_in() {
    assert_eq!(resource("CPU"), ResourceType::Cpu);
    assert_eq!(resource("RTX-5090").as_str(), "rtx-5090");
    assert_eq!(resource("h200").as_str(), "h200");
    for wrong in ["gup", "mem", "", "g pu"] {
        let error = wrong.parse::<ResourceType>().unwrap_err();
        assert!(matches!(error, InvalidResource::Unknown(_)), "{wrong}");
    }
    for wrong in ["rtx 5090", "-5090", "h2\u{202e}00", &"9".repeat(64)] {
        let error = wrong.parse::<ResourceType>().unwrap_err();
        assert!(matches!(error, InvalidResource::Model { .. }), "{wrong}");
    }
}

#[test]
fn bare_numbers_are_megabytes_and_seconds_and_each_wrong_one_says_how() {
    use InvalidLimit::{Negative, TooLarge};
    assert_eq!("65536".parse(), Ok(Size(Bytes::gib(64))));
    assert_eq!("2TiB".parse(), Ok(Size(Bytes::gib(2048))));
    assert_eq!("86400".parse(), Ok(Time(Span::from_secs(86_400))));
    assert_eq!("24h".parse(), Ok(Time(Span::from_secs(86_400))));
    assert_eq!("0".parse(), Ok(Count(0)));

    let far = "9".repeat(30);
    assert_eq!("-1".parse::<Count>(), Err(Negative("-1".to_owned())));
    assert_eq!("-1GiB".parse::<Size>(), Err(Negative("-1GiB".to_owned())));
    assert_eq!("- 2h".parse::<Time>(), Err(Negative("- 2h".to_owned())));
    assert_eq!(
        "4294967296".parse::<Count>(),
        Err(TooLarge("4294967296".to_owned()))
    );
    assert_eq!(far.parse::<Count>(), Err(TooLarge(far.clone())));
    assert_eq!("1e+23".parse::<Count>(), Err(TooLarge("1e+23".to_owned())));
    assert!(matches!(
        "NaN".parse::<Count>(),
        Err(InvalidLimit::Count(_))
    ));
    assert_eq!(far.parse::<Size>(), Err(TooLarge(far.clone())));
    assert_eq!(
        "99999999999PiB".parse::<Size>(),
        Err(TooLarge("99999999999PiB".to_owned()))
    );
    assert_eq!(far.parse::<Time>(), Err(TooLarge(far.clone())));
    assert_eq!(
        "999999d".parse::<Time>(),
        Err(TooLarge("999999d".to_owned()))
    );
    assert!(matches!(
        "1.5".parse::<Count>(),
        Err(InvalidLimit::Count(_))
    ));
    assert!(matches!("".parse::<Count>(), Err(InvalidLimit::Count(_))));
    assert!(matches!(
        "64 bananas".parse::<Size>(),
        Err(InvalidLimit::Size(_))
    ));
    assert!(matches!(
        "3 fortnights".parse::<Time>(),
        Err(InvalidLimit::Time(_))
    ));

    let amount = |key: &str, text: &str| written::amount(&resource(key), text);
    assert_eq!(amount("cpu", "0.5"), Ok(Amount(500)));
    assert_eq!(amount("memory", "1024"), Ok(Amount(1 << 30)));
    assert_eq!(amount("rtx-5090", "1"), Ok(Amount(1)));
    assert_eq!(amount("cpu", "-4"), Err(Negative("-4".to_owned())));
    assert_eq!(amount("cpu", &far), Err(TooLarge(far.clone())));
    assert!(matches!(amount("cpu", "4GiB"), Err(InvalidLimit::Cpu(_))));
    assert!(matches!(amount("gpu", "0.5"), Err(InvalidLimit::Count(_))));
}

#[test]
fn json_has_the_keys_and_units_of_the_file() {
    let both = limits(&[
        ("rtx-5090", 1),
        ("cpu", 512_500),
        ("memory", 1 << 30),
        ("gpu", 16),
    ]);
    let json = serde_json::to_string(&both).unwrap();
    assert_eq!(
        json,
        r#"{"cpu":512.5,"memory":1073741824,"gpu":16,"rtx-5090":1}"#
    );
    assert_eq!(serde_json::from_str::<ResourceLimits>(&json).unwrap(), both);
    for wrong in [
        r#"{"gup":1}"#,
        r#"{"gpu":-1}"#,
        r#"{"gpu":1,"GPU":2}"#,
        r#"{"gpu":18446744073709551616}"#,
        r#"["gpu"]"#,
    ] {
        assert!(
            serde_json::from_str::<ResourceLimits>(wrong).is_err(),
            "{wrong}"
        );
    }
    // A row of before there were limits per resource type.
    let old: Limits = serde_json::from_str(r#"{"max_machines_per_user":3}"#).unwrap();
    assert_eq!(old.max_machines_per_user, Some(3));
    assert!(old.concurrent.is_empty());
}

#[test]
fn resource_types_with_a_limit_are_bounded() {
    let mut many = ResourceLimits::default();
    for number in 0..MAX_LIMITED_RESOURCES {
        many.set(resource(&format!("x-{number}")), Amount(1))
            .unwrap();
    }
    assert_eq!(many.set(resource("y-1"), Amount(1)), Err(TooManyResources));
    assert_eq!(many.set(resource("x-1"), Amount(2)), Ok(Some(Amount(1))));
    let mut json = serde_json::to_string(&many).unwrap();
    json.pop();
    json += r#","y-1":1}"#;
    assert!(serde_json::from_str::<ResourceLimits>(&json).is_err());
}

#[test]
fn entries_name_every_bound_as_the_file_does() {
    let all = Limits {
        max_machines_per_user: Some(10),
        max_job_runtime: Some(Span::from_secs(86_400)),
        concurrent: limits(&[("gpu", 16), ("cpu", u64::from(MilliCpu::cpus(512).0))]),
        per_user: limits(&[("rtx-5090", 1)]),
        storage: StorageLimits {
            datasets: Some(Bytes::gib(2048)),
            artifacts: None,
        },
        ..Limits::default()
    };
    let entries = all.entries();
    let shown: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        shown.join(" "),
        "max_machines_per_user=10 max_job_runtime=1d concurrent.cpu=512 concurrent.gpu=16 \
         per_user.rtx-5090=1 storage.datasets=2 TiB"
    );
    assert!(Limits::default().entries().is_empty());
}
