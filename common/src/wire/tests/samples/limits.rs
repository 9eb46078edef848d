//! Limits of orgs and members.

use super::super::Sample;
use super::nouns::{AT, ORG, limits, name, resource_limits};
use crate::api::limits::{
    BoundSource, BoundView, LimitChange, LimitsAnswer, LimitsDiff, LimitsRequest, MemberLimits,
    OrgLimits, OverLimit, SetMemberLimits,
};
use crate::api::{Answer, Request};
use crate::limits::{Quantity, ResourceType};
use crate::status::{MinIsolation, Role};
use crate::time::Span;
use crate::units::{Bytes, MilliCpu};

pub(super) fn messages() -> Vec<Sample> {
    let org = ORG;
    let requests = [
        ("limits_show", LimitsRequest::Show { org }),
        (
            "limits_diff",
            LimitsRequest::Diff {
                org,
                limits: Box::new(limits()),
            },
        ),
        (
            "limits_member",
            LimitsRequest::Member {
                org,
                handle: Some(name("bob")),
            },
        ),
        (
            "limits_set_member",
            LimitsRequest::SetMember(SetMemberLimits {
                org,
                handle: name("bob"),
                set: resource_limits(&[("rtx-5090", 1)]),
                unset: vec![ResourceType::Memory],
            }),
        ),
    ];
    let answers = [
        (
            "limits_org",
            LimitsAnswer::Org(OrgLimits {
                limits: limits(),
                bounds: vec![bound(BoundSource::Org, Quantity::Count(16))],
                unknown_models: vec![name("rtx-5090")],
            }),
        ),
        ("limits_diff", LimitsAnswer::Diff(diff())),
        (
            "limits_member",
            LimitsAnswer::Member(MemberLimits {
                handle: name("bob"),
                role: Role::Member,
                bounds: vec![
                    bound(BoundSource::PerUser, Quantity::Size(Bytes::gib(64))),
                    bound(own(), Quantity::Cpu(MilliCpu(500))),
                ],
            }),
        ),
    ];
    let requests = requests.into_iter().map(|(name, request)| {
        let request = Request::Limits(request);
        Sample::new(name, &request)
    });
    let answers = answers.into_iter().map(|(name, answer)| {
        let answer = Answer::Limits(answer);
        Sample::new(name, &answer)
    });
    requests.chain(answers).collect()
}

fn diff() -> LimitsDiff {
    LimitsDiff {
        changes: vec![LimitChange {
            limit: "max_job_runtime".to_owned(),
            before: Some(Quantity::Time(Span::from_secs(60))),
            after: Some(Quantity::Isolation(MinIsolation::B)),
        }],
        over: vec![OverLimit {
            member: Some(name("bob")),
            bound: bound(own(), Quantity::Count(1)),
        }],
        over_count: 1,
        unknown_models: Vec::new(),
    }
}

fn own() -> BoundSource {
    BoundSource::Member {
        by: Some(name("ada")),
        at: AT,
    }
}

fn bound(source: BoundSource, value: Quantity) -> BoundView {
    BoundView {
        limit: "per_user.gpu".to_owned(),
        value,
        source,
        in_use: Some(value),
    }
}
