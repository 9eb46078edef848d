//! The system's clock is set back, or was ahead: what has expired stays so, and those who come later are served.

use std::time::Duration;

use certs::PrivateKey;
use common::{
    api::{Answer, Request, member::CreateInvitations},
    code::Code,
    join_link::LinkPurpose,
    status::Role,
    time::{Span, Timestamp},
};

use coordinator::Whom;

use crate::lab::{Lab, Signed, Stopped, ask, invite};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const YEAR: u64 = 365 * 86_400;

/// Returns the code and the secret of an invitation that is good for so long.
async fn invite_for(lab: &Lab, alice: &Signed, seconds: u64) -> [String; 2] {
    let connection = lab.connect(alice).await;
    let request = CreateInvitations {
        org: alice.org,
        role: Role::Member,
        ttl: Span::from_secs(seconds),
        uses: 1,
        count: 1,
        invitee: None,
    };
    let answer = ask(&connection, Request::CreateInvitations(request)).await;
    let Ok(Answer::Invited(mut invited)) = answer else {
        panic!("{answer:?}");
    };
    let secrets = invited.remove(0).secrets.unwrap();
    [secrets.code, secrets.secret]
}

/// As if the coordinator had run for so long more, by a clock that is now set back to where it was.
pub(crate) fn set_back(stopped: &Stopped, seconds: u64) {
    let path = stopped.config.data.join("kept.json");
    let mut kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for key in ["at", "system_at"] {
        let before: Timestamp = serde_json::from_value(kept[key].clone()).unwrap();
        assert_ne!(before, Timestamp::default(), "{key}");
        let later = before.saturating_add(Duration::from_secs(seconds));
        kept[key] = serde_json::to_value(later).unwrap();
    }
    std::fs::write(&path, kept.to_string()).unwrap();
}

async fn all_are_expired(lab: &Lab, codes: &[String; 2]) {
    let key = PrivateKey::generate().unwrap();
    for code in codes {
        let refused = lab.enrol(code, LinkPurpose::Join, Some("bob"), &key).await;
        assert_eq!(refused.err().unwrap().code, Code::CodeExpired);
    }
}

/// Somebody new joins, and what they hold is good.
async fn can_join(lab: &Lab, owner: &Signed, handle: &str) {
    let connection = lab.connect(owner).await;
    let (_, secret) = invite(&connection, owner.org).await;
    let key = PrivateKey::generate().unwrap();
    let joined = lab
        .enrol(&secret, LinkPurpose::Join, Some(handle), &key)
        .await;
    lab.connect(&joined.unwrap()).await;
}

#[tokio::test]
async fn a_clock_set_back_by_minutes_or_an_hour_makes_nothing_good_again() {
    for back in [2 * MINUTE, HOUR] {
        let lab = Lab::start().await;
        let alice = lab.owner().await;
        let codes = invite_for(&lab, &alice, back / 2).await;
        let stopped = lab.stop().await;
        set_back(&stopped, back);
        let lab = stopped.start_again().await;
        all_are_expired(&lab, &codes).await;
        can_join(&lab, &alice, "carol").await;
        lab.running.stop().await;
    }
}

#[tokio::test]
async fn a_clock_set_back_by_a_year_is_refused_until_somebody_says_that_it_is_right() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let codes = invite_for(&lab, &alice, 24 * HOUR).await;
    let mut stopped = lab.stop().await;
    set_back(&stopped, YEAR);
    let data = stopped.config.data.clone();
    let before = folder_bytes(&data);
    let refused = coordinator::run(stopped.config.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::ClockDoubtful);
    assert!(refused.help.contains("--clock-is-right"), "{refused:?}");
    assert_eq!(folder_bytes(&data), before, "nothing was changed");

    stopped.config.clock_is_right = true;
    let lab = stopped.start_again().await;
    // Expired, or forgotten since: that takes a month.
    let key = PrivateKey::generate().unwrap();
    for code in &codes {
        let refused = lab.enrol(code, LinkPurpose::Join, Some("bob"), &key).await;
        let refused = refused.err().unwrap().code;
        assert!([Code::CodeExpired, Code::CodeInvalid].contains(&refused));
    }
    // By the org's time a year has passed for her device too.
    assert_eq!(lab.refusal(&alice).await.code, Code::CertificateExpired);
    let mut stopped = lab.stop().await;
    stopped.config.clock_is_right = false;
    let link = coordinator::login_link(&stopped.config, &Whom::default()).unwrap();
    // It has been said: the next start asks no more.
    let lab = stopped.start_again().await;
    let key = PrivateKey::generate().unwrap();
    let owner = lab
        .enrol(&link.secret, LinkPurpose::Login, None, &key)
        .await;
    can_join(&lab, &owner.unwrap(), "carol").await;
    lab.running.stop().await;
}

/// What is in the files that people and the coordinator rely on.
fn folder_bytes(data: &std::path::Path) -> Vec<Vec<u8>> {
    let files = ["kept.json", "coordinator.toml", "authority/issuing.pem"];
    files
        .map(|file| std::fs::read(data.join(file)).unwrap())
        .into()
}
