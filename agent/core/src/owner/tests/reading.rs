use common::{machine::Admits, status::Network, time::Span, units::Bytes};

use crate::owner::{
    GpuRule, OnReturn, OwnJobs, OwnerRules, Percent, PresentUse, Preset, RegistryHost,
};

fn rules(json: &str) -> OwnerRules {
    serde_json::from_str(json).unwrap()
}

#[track_caller]
fn error(json: &str, expect: &str) {
    let error = serde_json::from_str::<OwnerRules>(json)
        .unwrap_err()
        .to_string();
    assert!(error.contains(expect), "{json}: {error}");
}

#[test]
fn files_read_as_owners_write_them() {
    let rules_given = rules(
        r#"{"resources": {"cpu_limit": 80, "memory_limit": 16384, "disk_limit": "200GiB", "gpus": [0, "GPU-1"]}}"#,
    );
    assert_eq!(rules_given.cpu_limit, Some(Percent::new(80)));
    assert_eq!(rules_given.memory_limit, Some(Bytes::gib(16)));
    assert_eq!(rules_given.disk_limit, Some(Bytes::gib(200)));
    assert!(rules_given.gpus.lends(0, "GPU-0") && rules_given.gpus.lends(5, "GPU-1"));
    assert!(!rules_given.gpus.lends(1, "GPU-2"));
    for empty in [
        "null",
        "{}",
        r#"{"resources": null, "who": null, "what": null, "when": null, "yield": null, "gpus": null}"#,
        r#"{"resources": {}}"#,
        r#"{"preset": "always"}"#,
    ] {
        assert_eq!(rules(empty), OwnerRules::default(), "{empty}");
    }
    let percent = rules(r#"{"resources": {"cpu_limit": "75%", "gpus": "none"}}"#);
    assert_eq!(
        (percent.cpu_limit, percent.gpus),
        (Some(Percent::new(75)), GpuRule::None)
    );
}

#[test]
fn who_and_what_become_what_the_machine_admits() {
    let given = rules(
        r#"{"who": {"members": ["alice"], "not": ["mallory"], "projects": ["vision"], "not_projects": ["games"]},
            "what": {"network": ["internet"], "images": false, "max_runtime": "2h"}}"#,
    );
    let expect = Admits {
        members: Some(vec!["alice".parse().unwrap()]),
        not_members: vec!["mallory".parse().unwrap()],
        networks: vec![Network::None, Network::Internet],
        images: false,
        max_runtime: Some(Span::from_secs(7200)),
        projects: Some(vec!["vision".parse().unwrap()]),
        not_projects: vec!["games".parse().unwrap()],
    };
    assert_eq!(given.admits, expect);
    assert_eq!(rules("{}").admits, Admits::default());
}

#[test]
fn labels_are_words_each_key_once() {
    let given = rules(r#"{"labels": ["zone=a", "ssd"]}"#);
    let told: Vec<String> = given.labels.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["ssd", "zone=a"]);
    error(r#"{"labels": ["ssd", "ssd"]}"#, "the same key");
    error(r#"{"labels": ["zone=a", "zone=b"]}"#, "the same key");
    error(r#"{"labels": ["Fast Disk"]}"#, "is not a label");
    error(r#"{"labels": "ssd"}"#, "expected a sequence");
    let many: Vec<String> = (0..33).map(|number| format!("\"l{number}\"")).collect();
    let many = format!(r#"{{"labels": [{}]}}"#, many.join(", "));
    error(&many, "more than 32 labels");
}

#[test]
fn registries_are_named_as_in_the_names_of_images() {
    let named =
        rules(r#"{"what": {"registries": ["Registry.lab:5000", "127.0.0.1:5000", "plain.lab"]}}"#);
    let told: Vec<_> = named
        .registries
        .iter()
        .map(|one| (one.host(), one.port()))
        .collect();
    let expect = [
        ("registry.lab", Some(5000)),
        ("127.0.0.1", Some(5000)),
        ("plain.lab", None),
    ];
    assert_eq!(told, expect);
    for wrong in [
        "https://registry.lab",
        "registry.lab/team",
        "registry",
        "a.lab:x",
        "",
    ] {
        assert!(wrong.parse::<RegistryHost>().is_err(), "{wrong}");
    }
}

#[test]
fn own_keys_win_over_the_presets() {
    let laptop = rules(r#"{"preset": "laptop"}"#);
    assert!(laptop.when.not_on_battery && laptop.when.not_on_metered);
    assert_eq!(laptop.when.idle_for, Some(Span::from_secs(900)));
    let own = rules(
        r#"{"preset": "laptop", "when": {"idle_for": 60, "not_on_battery": false},
            "yield": {"on_return": "evict", "own_jobs": "yield"}, "gpus": {"while_present": "lend"}}"#,
    );
    assert_eq!(own.preset, Preset::Laptop);
    assert_eq!(own.when.idle_for, Some(Span::from_secs(60)));
    assert!(!own.when.not_on_battery && own.when.not_on_metered);
    assert_eq!(own.yielding.on_return, OnReturn::Evict);
    assert_eq!(own.yielding.own_jobs, OwnJobs::Yield);
    assert_eq!(own.gpu_use.while_present, PresentUse::Lend);
    assert_eq!(own.when.max_temperature, laptop.when.max_temperature);
    assert!(rules(r#"{"preset": "night"}"#).when.hours.is_some());
}

#[test]
fn only_what_a_rule_asks_about_is_looked_at() {
    let needs = |json: &str| rules(json).needs();
    assert_eq!(needs("{}"), crate::owner::Needs::default());
    assert_eq!(
        needs(r#"{"preset": "night"}"#),
        crate::owner::Needs::default()
    );
    assert!(needs(r#"{"preset": "idle"}"#).presence);
    assert!(!needs(r#"{"preset": "idle"}"#).repeated_looks());
    assert!(needs(r#"{"yield": {"on_return": "freeze"}}"#).presence);
    assert!(needs(r#"{"gpus": {"while_present": "withhold"}}"#).presence);
    assert!(needs(r#"{"when": {"not_while": ["steam"]}}"#).repeated_looks());
}

#[test]
fn mistakes_say_what_is_wrong() {
    error(r#"{"resource": {}}"#, "nearest known key is \"resources\"");
    error(
        r#"{"resources": {"cpu_limt": 80}}"#,
        "unknown key \"cpu_limt\"; the nearest known key is \"cpu_limit\"",
    );
    error(
        r#"{"resources": {"cpu_limit": 101}}"#,
        "101 is not a percentage",
    );
    error(
        r#"{"resources": {"cpu_limit": -1}}"#,
        "-1 is not a percentage",
    );
    error(
        r#"{"resources": {"cpu_limit": "much"}}"#,
        "\"much\" is not a percentage",
    );
    error(
        r#"{"resources": {"memory_limit": "16 bananas"}}"#,
        "is not a size",
    );
    error(r#"{"resources": {"memory_limit": -5}}"#, "negative");
    error(
        r#"{"resources": {"gpus": "some"}}"#,
        "\"some\" is not all, none",
    );
    error(
        r#"{"resources": {"gpus": 1, "gpus": 2}}"#,
        "all, none, or a list",
    );
    error(
        r#"{"resources": {"cpu_limit": 1, "cpu_limit": 2}}"#,
        "appears twice",
    );
    error(r#"{"resources": 5}"#, "cpu_limit, memory_limit");
    error(r#"{"when": {"hours": ["noon"]}}"#, "\"noon\" is not a day");
    error(
        r#"{"when": {"idle_for": "soon"}}"#,
        "\"soon\" is not a time span",
    );
    error(
        r#"{"when": {"idel_for": 5}}"#,
        "nearest known key is \"idle_for\"",
    );
    error(r#"{"when": {"not_on_battery": "yes"}}"#, "boolean");
    error(
        r#"{"when": {"not_while": ["/usr/bin/x"]}}"#,
        "without its folder",
    );
    error(
        r#"{"when": {"max_temperature": 8500}}"#,
        "8500 is not a bound",
    );
    error(
        r#"{"when": {"memory_pressure": 200}}"#,
        "200 is not a percentage",
    );
    error(
        r#"{"yield": {"on_return": "stop"}}"#,
        "\"stop\" is not one of continue, freeze, evict",
    );
    error(
        r#"{"yield": {"graze": 5}}"#,
        "nearest known key is \"grace\"",
    );
    error(
        r#"{"preset": "server"}"#,
        "\"server\" is not one of always, night, idle, desktop, laptop",
    );
    error(
        r#"{"what": {"network": ["all"]}}"#,
        "\"all\" is not one of none, internet, full",
    );
    error(r#"{"who": {"members": ["Not A Handle"]}}"#, "found 'N'");
    error(
        r#"{"gpus": {"while_used": "lend"}}"#,
        "nearest known key is \"while_present\"",
    );
    error(r#"{"gpus": "none"}"#, "while_present, while_used_by_others");
}

#[test]
fn needless_amounts_are_refused() {
    let names = vec!["x"; 65];
    let json = serde_json::json!({"when": {"not_while": names}}).to_string();
    error(&json, "more than 64 programs");
    let members = vec!["bob"; common::machine::MAX_ADMITTED + 1];
    let json = serde_json::json!({"who": {"not": members}}).to_string();
    error(&json, "more than 1024 names");
    let hours = vec!["sat"; 33];
    let json = serde_json::json!({"when": {"hours": hours}}).to_string();
    error(&json, "more than 32 parts");
}
