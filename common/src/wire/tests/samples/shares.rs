//! Shares and weights.

use super::super::Sample;
use super::nouns::{ORG, name};
use crate::api::shares::{
    MemberShare, ProjectWeight, SetWeight, Shares, SharesAnswer, SharesRequest, Weighed,
};
use crate::api::{Answer, Request};
use crate::org::retention::Retention;
use crate::weight::Weight;

pub(super) fn messages() -> Vec<Sample> {
    let set = |of, weight| {
        Request::Shares(SharesRequest::SetWeight(SetWeight {
            org: ORG,
            of,
            weight,
        }))
    };
    let half = "0.5".parse().expect("a weight");
    let shares = Shares {
        usage_half_life: Retention::days(1),
        lending_credit: "50%".parse().expect("a part"),
        members: vec![MemberShare {
            member: name("bob"),
            weight: half,
            holds_ppm: 250_000,
            used_ppm: 1_000_000,
            lent_ppm: 7,
            standing_ppm: 2_499_986,
            queued: 300,
        }],
        left_out: 1,
        projects: vec![ProjectWeight {
            project: name("vision"),
            weight: Weight::MOST,
        }],
    };
    vec![
        Sample::new(
            "shares_show",
            &Request::Shares(SharesRequest::Show { org: ORG }),
        ),
        Sample::new("set_weight", &set(Weighed::Member(name("bob")), half)),
        Sample::new(
            "set_project_weight",
            &set(Weighed::Project(name("vision")), Weight::ONE),
        ),
        Sample::new("shares", &Answer::Shares(SharesAnswer::Shares(shares))),
    ]
}
