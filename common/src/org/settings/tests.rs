//! Keys, values, and what cannot be.

use super::*;

fn changed(key: &str, value: &str) -> Result<OrgSettings, InvalidSetting> {
    let mut change = SettingsChange::default();
    change.set(key, value)?;
    change.made_to(&OrgSettings::default())
}

#[test]
fn every_key_is_a_field_and_changes_it_alone() {
    let before = serde_json::to_value(OrgSettings::default()).unwrap();
    let fields: Vec<&str> = before
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut keys = SettingsChange::KEYS;
    keys.sort_unstable();
    assert_eq!(fields, keys);
    for key in SettingsChange::KEYS {
        let value = match &before[key] {
            serde_json::Value::Bool(on) => {
                if *on {
                    "off"
                } else {
                    "on"
                }
            }
            _ if key == "default_visibility" => "org_read",
            _ if key.ends_with("_kept") || key.ends_with("_after") => "30d",
            _ if key == "usage_half_life" => "30d",
            _ if key == "lending_credit" => "50%",
            _ if key == "preemption" => "share",
            _ if key == "storage" => "s3://data/lab",
            _ => "text",
        };
        let after = serde_json::to_value(changed(key, value).unwrap()).unwrap();
        for field in SettingsChange::KEYS {
            assert_eq!(after[field] != before[field], field == key, "{key} {field}");
        }
    }
}

#[test]
fn a_setting_that_cannot_be_says_why() {
    #[track_caller]
    fn refused(key: &str, value: &str, expect: &str) {
        let error = changed(key, value).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    refused(
        "members-may-fly",
        "on",
        "there is no setting \"members_may_fly\"; there are display_name,",
    );
    refused(
        "preemption",
        "never",
        "preemption: \"never\" is not one of off, priority, share",
    );
    refused(
        "members-may-invite",
        "maybe",
        "members_may_invite is on or off, not \"maybe\"",
    );
    refused(
        "default_visibility",
        "public",
        "not one of personal, org_read, org_write",
    );
    refused(
        "display-name",
        &"x".repeat(129),
        "has 129 bytes; it has room for 128",
    );
    refused(
        "artifacts_kept",
        "soon",
        "is a time such as 30d, or forever",
    );
    refused(
        "storage",
        "s3://data?endpoint=http://s3.example",
        "storage: \"http://s3.example\" sends data and signatures unprotected",
    );
    refused("artifacts_kept", "59m", "is 1h at least, not 59m");
    refused(
        "deleted-data-kept",
        "forever",
        "is 366d at most, not forever",
    );
    refused("display-name", "a\nb", "'\\n'");
    refused("contact", "a\u{202e}b", "'\\u{202e}'");
    refused("description", "zero\u{200b}width", "'\\u{200b}'");
    assert_eq!(changed("description", "a\nb").unwrap().description, "a\nb");
}
