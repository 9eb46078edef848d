//! Accounts: a device that is revoked, tokens of programs, and an org that requires two-factor.

use std::time::{SystemTime, UNIX_EPOCH};

use compute_share_tests::{Org, Person, until};
use totp_rs::{Builder, Secret};

/// Returns the code that an authenticator app shows, `steps` after the one of now.
fn code(secret: &str, steps: u64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let app = Builder::new().with_secret(secret).build_noncompliant();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    app.generate(now.as_secs() + 30 * steps).to_string()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Turns two-factor on, and returns the secret and a recovery code.
fn set_up_two_factor(person: &Person) -> (String, String) {
    let begun = person.json(&["account", "two-factor", "setup"]);
    assert!(text(&begun["uri"]).starts_with("otpauth://totp/"));
    let secret = text(&begun["secret"]);
    person
        .run(&["account", "two-factor", "confirm", "000000x"])
        .expect_refusal(3, "two_factor_wrong");
    let on = person.json(&["account", "two-factor", "confirm", &code(&secret, 0)]);
    assert_eq!(on["recovery_codes"].as_array().unwrap().len(), 10);
    (secret, text(&on["recovery_codes"][0]))
}

#[test]
fn a_lost_device_a_token_and_two_factor() {
    let org = Org::start();
    let alice = &org.alice;

    // Two devices; the lost one is refused.
    let link = text(&alice.json(&["device", "link"])["link"]);
    let laptop = org.stranger("laptop");
    laptop.run(&["login", &link]).expect_success();
    let devices = alice.json(&["device", "list"]);
    let lost = devices.as_array().unwrap().iter();
    let mut lost = lost.filter(|device| device["current"] == false);
    let lost = text(&lost.next().unwrap()["name"]);
    alice
        .run(&["device", "revoke", &lost, "--yes"])
        .expect_success();
    laptop
        .run(&["whoami"])
        .expect_refusal(3, "certificate_revoked");
    laptop.run(&["login", &link]).expect_refusal(3, "code_used");

    // A program with a token of scope read may look, and not submit.
    let made = alice.json(&["token", "create", "--name", "ci", "--scope", "read"]);
    let ci = org.stranger("ci");
    let token = text(&made["link"]);
    ci.run(&["login", &format!("{token}0")])
        .expect_refusal(3, "token_invalid");
    ci.run(&["login", &token]).expect_success();
    assert_eq!(ci.json(&["whoami"])["scope"], "read");
    ci.run(&["machine", "list"]).expect_success();
    ci.run(&["submit", "--no-workdir", "--", "true"])
        .expect_refusal(3, "token_scope")
        .names("submit");
    alice
        .run(&["token", "revoke", "ci", "--yes"])
        .expect_success();
    ci.run(&["whoami"]).expect_refusal(3, "certificate_revoked");
    let again = org.stranger("again");
    again
        .run(&["login", &token])
        .expect_refusal(3, "token_revoked");
    // One of scope admin registers a machine, and stays nowhere.
    let rack =
        text(&alice.json(&["token", "create", "--name", "rack", "--scope", "admin"])["link"]);
    again
        .run(&["register", "--name", "rack-7", "--token", &rack])
        .expect_success();
    again.run(&["whoami"]).expect_refusal(3, "not_signed_in");
    let entries = alice.json(&["org", "audit", "--kind", "machine"]);
    assert_eq!(entries[0]["event"], "machine_registered");
    assert_eq!(entries[0]["actor"]["name"], "alice");
    assert_eq!(entries[0]["actor"]["token"], "rack");

    // The org requires two-factor: its owner first.
    let bob = org.join("bob");
    alice
        .run(&["org", "set", "require_two_factor=on"])
        .expect_refusal(3, "two_factor_required");
    set_up_two_factor(alice);
    alice
        .run(&["org", "set", "require_two_factor=on"])
        .expect_success();
    bob.run(&["machine", "list"])
        .expect_refusal(3, "two_factor_required")
        .names("compute-share account two-factor setup");
    let (secret, recovery) = set_up_two_factor(&bob);
    bob.run(&["machine", "list"]).expect_success();

    // Signing in on one more computer takes a code, once.
    let link = text(&bob.json(&["device", "link"])["link"]);
    let tablet = org.stranger("tablet");
    tablet
        .run(&["login", &link])
        .expect_refusal(3, "two_factor_needed");
    // Of the next half minute, since that of now is used.
    let next = code(&secret, 1);
    tablet
        .run(&["login", &link, "--code", &next])
        .expect_success();
    bob.run(&["account", "two-factor", "off"])
        .expect_refusal(3, "proof_needed");
    bob.run(&["account", "two-factor", "off", "--code", &next])
        .expect_refusal(3, "two_factor_wrong")
        .names("used before");
    bob.run(&["account", "two-factor", "off", "--code", &recovery])
        .expect_success();
    bob.run(&["machine", "list"])
        .expect_refusal(3, "two_factor_required");
}

#[test]
fn who_lost_everything_is_let_in_again_and_a_password_takes_the_old_one() {
    let mut org = Org::start();
    let bob = org.join("bob");
    let set = |words: &str| bob.run_told(&["account", "password", "set", "--stdin"], words);
    set("short\n").expect_refusal(2, "bad_password");
    set("correct horse battery\n").expect_success();
    set("even better staple\n").expect_refusal(2, "bad_request");
    set("even better staple\nwrong horse battery\n").expect_refusal(3, "wrong_password");
    set("even better staple\ncorrect horse battery\n").expect_success();
    set_up_two_factor(&bob);

    // The laptop is gone, with phone and notes; the link alone is no way in.
    let link = text(&org.alice.json(&["device", "link", "--user", "bob"])["link"]);
    let computer = org.stranger("new-computer");
    computer
        .run(&["login", &link])
        .expect_refusal(3, "two_factor_needed");
    bob.run(&["device", "link", "--user", "alice"])
        .expect_refusal(3, "permission_denied");
    let reset = ["device", "link", "--user", "bob", "--reset"];
    org.alice
        .run(&reset)
        .expect_refusal(2, "confirmation_needed");
    let link = text(&org.alice.json(&[&reset[..], &["--yes"]].concat())["link"]);
    computer.run(&["login", &link]).expect_success();
    assert_eq!(computer.json(&["whoami"])["handle"], "bob");
    let entries = org.alice.json(&["org", "audit", "--kind", "device"]);
    let mut events = entries.as_array().unwrap().iter();
    let reset = events.find(|entry| entry["event"] == "credentials_reset");
    assert_eq!(reset.unwrap()["subject"], "bob");
    let entries = org.alice.json(&["org", "audit", "--kind", "invitation"]);
    let mut events = entries.as_array().unwrap().iter();
    let made = events.find(|entry| entry["change"] == "sign-in link with a reset");
    assert_eq!(made.unwrap()["actor"]["name"], "alice");

    // Signing out works while nobody hears it, and says so.
    org.coordinator.daemon.kill();
    let left = computer.json(&["logout", "--yes"]);
    assert_eq!(left["coordinator_knows"], false);
    computer.run(&["whoami"]).expect_refusal(3, "not_signed_in");
    let link = org.coordinator.command(&["login-link", "--user", "bob"]);
    let link = String::from_utf8(link.stdout).unwrap();
    org.coordinator.restart();
    until("the coordinator to answer", || {
        computer.run(&["login", link.trim()]).succeeded()
    });
}
