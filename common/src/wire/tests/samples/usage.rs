//! Usage.

use std::collections::BTreeMap;

use super::super::Sample;
use super::nouns::{AT, ORG};
use crate::api::usage::{ShowUsage, UsageReport};
use crate::api::{Answer, Request};
use crate::status::UsageBy;
use crate::units::Bytes;
use crate::usage::{MilliSeconds, UsageRow, UsageSums};

pub(super) fn usage() -> Vec<Sample> {
    let show = |by| {
        Request::ShowUsage(ShowUsage {
            org: ORG,
            by,
            since: Some(AT),
            after: Some("h100".to_owned()),
            limit: 1000,
        })
    };
    let sums = UsageSums {
        attempts: 3,
        wall_seconds: MilliSeconds(1),
        cpu_seconds: MilliSeconds(2000),
        cpu_used_seconds: MilliSeconds(1999),
        memory_mib_seconds: MilliSeconds(1 << 40),
        gpu_seconds: BTreeMap::from([("h200".to_owned(), MilliSeconds(300))]),
        stored: Bytes(1 << 33),
        moved: Bytes(7),
    };
    let row = UsageRow {
        id: "h200".to_owned(),
        name: Some("h200".to_owned()),
        billed: sums.clone(),
        unbilled: UsageSums::default(),
        own: sums.clone(),
        lent: sums.clone(),
    };
    let report = UsageReport {
        by: UsageBy::Gpu,
        since: Some(AT),
        billed: sums.clone(),
        unbilled: sums,
        rows: vec![row],
        after: Some("h200".to_owned()),
    };
    vec![
        Sample::new("usage_by_member", &show(UsageBy::Member)),
        Sample::new("usage_by_machine", &show(UsageBy::Machine)),
        Sample::new("usage_by_project", &show(UsageBy::Project)),
        Sample::new("usage_by_gpu", &show(UsageBy::Gpu)),
        Sample::new("usage", &Answer::Usage(report)),
    ]
}
