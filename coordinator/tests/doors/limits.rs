//! Limits by the bare protocol.

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        limits::{BoundSource, LimitsAnswer, LimitsRequest, SetMemberLimits},
    },
    code::Code,
    join_link::LinkPurpose,
    limits::{Amount, Limits, Quantity, ResourceLimits, ResourceType},
};

use crate::lab::{Lab, ask, invite, name};

fn gpus(most: u64) -> ResourceLimits {
    let mut limits = ResourceLimits::default();
    limits.set(ResourceType::Gpu, Amount(most)).unwrap();
    limits
}

#[tokio::test]
async fn limits_are_applied_set_singly_and_shown_to_whom_they_bind() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let (org, owner) = (alice.org, lab.connect(&alice).await);
    let (_, secret) = invite(&owner, org).await;
    let key = PrivateKey::generate().unwrap();
    let joined = lab.enrol(&secret, LinkPurpose::Join, Some("bob"), &key);
    let bob = joined.await.unwrap();
    let member = lab.connect(&bob).await;
    let limits = Limits {
        concurrent: gpus(16),
        per_user: gpus(2),
        ..Limits::default()
    };
    let apply = Request::ApplyLimits {
        org,
        limits: limits.clone(),
    };
    let refused = ask(&member, apply.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::Permission);
    assert_eq!(ask(&owner, apply).await, Ok(Answer::Done));
    let set = Request::Limits(LimitsRequest::SetMember(SetMemberLimits {
        org,
        handle: name("bob"),
        set: gpus(1),
        unset: Vec::new(),
    }));
    let refused = ask(&member, set.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::Permission);
    assert_eq!(ask(&owner, set).await, Ok(Answer::Done));

    // What was set is there after a restart.
    let lab = lab.restart().await;
    let member = lab.connect(&bob).await;
    let own = Request::Limits(LimitsRequest::Member { org, handle: None });
    let Ok(Answer::Limits(LimitsAnswer::Member(shown))) = ask(&member, own).await else {
        panic!("everybody sees what binds them");
    };
    let bounds: Vec<(&str, Quantity)> = shown
        .bounds
        .iter()
        .map(|bound| (bound.limit.as_str(), bound.value))
        .collect();
    let count = Quantity::Count;
    assert_eq!(
        bounds,
        [("per_user.gpu", count(1)), ("concurrent.gpu", count(16))]
    );
    let BoundSource::Member { by, .. } = &shown.bounds[0].source else {
        panic!("{shown:?}");
    };
    assert_eq!(*by, Some(name("alice")));
    let other = Request::Limits(LimitsRequest::Member {
        org,
        handle: Some(name("alice")),
    });
    let refused = ask(&member, other).await.unwrap_err();
    assert_eq!(refused.code, Code::Permission);
}
