//! What an org has stored below its datasets: an admin sees what would go, and has it cleared up.

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        data::{DataRequest, DeleteDataset},
        storage::{StorageAnswer, StorageReport, StorageRequest},
    },
    code::Code,
    dataset::DatasetRef,
    id::OrgId,
    join_link::LinkPurpose,
    problem::Problem,
};

use crate::{
    lab::{Lab, ask, invite, name},
    trees::{send, version},
};

async fn collect(
    connection: &quinn::Connection,
    org: OrgId,
    dry_run: bool,
) -> Result<StorageReport, Problem> {
    let request = Request::Storage(StorageRequest::Collect { org, dry_run });
    match ask(connection, request).await? {
        Answer::Storage(StorageAnswer::Collected(report)) => Ok(report),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_admin_clears_up_and_nobody_else() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    let alice = lab.connect(&owner).await;
    let (kept, _) = send(&alice, org, b"what is kept").await;
    let add = version(org, "digits", kept);
    ask(&alice, Request::AddDatasetVersion(add)).await.unwrap();
    let (unnamed, _) = send(&alice, org, b"what nobody names").await;
    assert_ne!(kept, unnamed);

    let seen = collect(&alice, org, true).await.unwrap();
    assert!(seen.dry_run);
    assert_eq!(
        (seen.trees, seen.pieces, seen.kept.trees),
        (0, 0, 2),
        "{seen:?}"
    );
    assert!(seen.scrub.is_none());
    let done = collect(&alice, org, false).await.unwrap();
    let expected = StorageReport {
        dry_run: false,
        ..seen
    };
    assert_eq!(done, expected, "it may still be named, for a day");

    // What a deletion leaves is taken at once, by whoever comes first.
    let dataset = DatasetRef {
        name: name("digits"),
        version: None,
    };
    let delete = Request::Data(DataRequest::Delete(DeleteDataset {
        org,
        dataset,
        now: true,
    }));
    ask(&alice, delete).await.unwrap();
    collect(&alice, org, false).await.unwrap();
    let left = collect(&alice, org, true).await.unwrap();
    assert_eq!(
        (left.trees, left.pieces, left.kept.trees),
        (0, 0, 1),
        "{left:?}"
    );
    let (_, sent) = send(&alice, org, b"what is kept").await;
    assert_eq!(sent, 1, "it is gone");
    let (_, sent) = send(&alice, org, b"what nobody names").await;
    assert_eq!(sent, 0);

    let (_, secret) = invite(&alice, org).await;
    let key = PrivateKey::generate().unwrap();
    let bob = lab.enrol(&secret, LinkPurpose::Join, Some("bob"), &key);
    let bob = lab.connect(&bob.await.unwrap()).await;
    for dry_run in [true, false] {
        let refused = collect(&bob, org, dry_run).await.unwrap_err();
        assert_eq!(refused.code, Code::Permission);
        let nowhere = OrgId::from_bytes([9; 16]);
        let refused = collect(&alice, nowhere, dry_run).await.unwrap_err();
        assert_eq!(refused.code, Code::NotFound);
    }
}
