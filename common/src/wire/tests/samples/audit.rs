//! The audit log.

use super::super::Sample;
use super::nouns::{AT, ORG};
use crate::api::audit::{AuditAnswer, AuditPage, AuditRequest, ChainPage, ListAudit, ReadChain};
use crate::api::{Answer, Request};
use crate::audit::{AuditActor, AuditEntry, ChainHead, SealedEntry};
use crate::id::Seal;
use crate::status::AuditKind;

pub(super) fn audit() -> Vec<Sample> {
    let seal = Seal::new([4; 32]);
    let json = r#"{"at":"2026-11-22T08:00:00.000Z"}"#.to_owned();
    let entry = AuditEntry {
        number: 251,
        at: AT,
        actor: AuditActor {
            id: "user 0198b2a0-0000-7000-8000-000000000001".to_owned(),
            name: Some("ada".to_owned()),
            token: Some("ci".to_owned()),
        },
        kind: AuditKind::Member,
        event: "role_changed".to_owned(),
        subject: Some("bob".to_owned()),
        change: Some("member -> admin".to_owned()),
        json: json.clone(),
    };
    let list = ListAudit {
        org: ORG,
        kinds: AuditKind::ALL.to_vec(),
        actor: Some("ada".to_owned()),
        since: Some(AT),
        before: Some(300),
        limit: 50,
    };
    let page = AuditPage {
        entries: vec![entry],
        before: Some(251),
    };
    let chain = ChainPage {
        entries: vec![SealedEntry { seal, json }],
        head: ChainHead { entries: 1, seal },
    };
    let (request, answer) = (Request::Audit, Answer::Audit);
    vec![
        Sample::new("audit_list", &request(AuditRequest::List(list))),
        Sample::new(
            "audit_chain",
            &request(AuditRequest::Chain(ReadChain {
                org: ORG,
                from: 1000,
            })),
        ),
        Sample::new("audit_page", &answer(AuditAnswer::Page(page))),
        Sample::new("audit_chain_page", &answer(AuditAnswer::Chain(chain))),
    ]
}
