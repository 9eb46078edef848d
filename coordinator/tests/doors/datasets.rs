//! Datasets by the bare protocol: what there is no room for, what is damaged, and who may have their bytes.

use std::{fs, os::unix::fs::FileExt as _, path::PathBuf};

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, VerifiedPart, VerifyDataset},
        project::{CreateProject, GrantAccess, ProjectRequest, RevokeAccess},
        storage::{StorageAnswer, StorageReport, StorageRequest},
    },
    code::Code,
    dataset::DatasetRef,
    id::{OrgId, TreeId},
    join_link::LinkPurpose,
    limits::{Limits, StorageLimits},
    problem::Problem,
    project::{Grantee, Restrictions},
    status::{Access, DownloadBy},
    units::Bytes,
    wire::{
        client::{ClientStream, DownloadSource, UploadPurpose},
        data::{Announced, ChunkAsk, Offer, Run, Wanted},
    },
};
use link::{frames, trees};

use crate::{
    lab::{Lab, Signed, ask, invite, name},
    trees::{Files, all_of, chunk, manifest_of, send_over, version},
};

const FIRST: Files<'static> = &[
    ("a", b"what is in a"),
    ("b", b"what is in b"),
    ("sub/c", b"what is in c"),
];
const SECOND: Files<'static> = &[("a", b"what is in a"), ("b", b"something else")];

fn upload(org: OrgId, called: &str, announced: Announced) -> ClientStream {
    let purpose = UploadPurpose::Dataset {
        name: name(called),
        project: None,
    };
    ClientStream::Upload {
        org,
        announced,
        purpose,
    }
}

/// Sends files that are to be a version of this dataset.
async fn send(
    connection: &quinn::Connection,
    org: OrgId,
    called: &str,
    files: Files<'_>,
) -> Result<TreeId, Problem> {
    let first = upload(org, called, all_of(&manifest_of(files)));
    let sent = send_over(connection, first, files).await;
    sent.map(|(tree, _)| tree)
}

async fn kept(connection: &quinn::Connection, org: OrgId) -> StorageReport {
    let request = StorageRequest::Collect { org, dry_run: true };
    match ask(connection, Request::Storage(request)).await.unwrap() {
        Answer::Storage(StorageAnswer::Collected(report)) => report,
        other => panic!("{other:?}"),
    }
}

fn limit(org: OrgId, datasets: Bytes) -> Request {
    let storage = StorageLimits {
        datasets: Some(datasets),
        artifacts: None,
    };
    Request::ApplyLimits {
        org,
        limits: Limits {
            storage,
            ..Limits::default()
        },
    }
}

#[tokio::test]
async fn what_there_is_no_room_for_is_refused_before_a_byte_moves() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    let alice = lab.connect(&owner).await;
    ask(&alice, limit(org, Bytes::mib(1))).await.unwrap();

    // A mebibyte and a byte, of which nothing is sent: the first offer is refused.
    let announced = Announced {
        files: 2,
        bytes: Bytes(Bytes::mib(1).0 + 1),
        beside: None,
    };
    let (mut tx, mut rx) = frames::split(alice.open_bi().await.unwrap());
    tx.send(&upload(org, "scans", announced)).await.unwrap();
    let chunks = vec![chunk(b"the first of many")];
    tx.send(&Offer { chunks }).await.unwrap();
    let Err(frames::RecvError::Refused(problem)) = rx.expect::<Wanted>().await else {
        panic!("nothing of it is wanted");
    };
    assert_eq!(problem.code, Code::Limit, "{problem}");
    assert_eq!(
        problem.why,
        "storage.datasets is 1 MiB in the limits of org lab; 0 B kept now"
    );
    assert!(!problem.help.is_empty());
    // And by those who send as they should.
    ask(&alice, limit(org, Bytes(30))).await.unwrap();
    let refused = send(&alice, org, "scans", FIRST).await.unwrap_err();
    assert_eq!(refused.code, Code::Limit, "{refused}");
    let seen = kept(&alice, org).await;
    assert_eq!((seen.kept.trees, seen.kept.bytes), (0, Bytes::ZERO));
    let list = ask(&alice, show(org, "scans")).await.unwrap_err();
    assert_eq!(list.code, Code::NotFound);

    // What fits comes, and what is here already costs nothing.
    let tree = send(&alice, org, "scans", SECOND).await.unwrap();
    let add = |called| Request::AddDatasetVersion(version(org, called, tree));
    ask(&alice, add("scans")).await.unwrap();
    assert_eq!(send(&alice, org, "again", SECOND).await, Ok(tree));
    ask(&alice, add("again")).await.unwrap();
    let refused = send(&alice, org, "scans", FIRST).await.unwrap_err();
    assert_eq!(
        refused.why,
        "storage.datasets is 30 B in the limits of org lab; 26 B kept now"
    );
    assert_eq!(kept(&alice, org).await.kept.trees, 1);
    lab.running.stop().await;
}

fn show(org: OrgId, called: &str) -> Request {
    Request::ShowDataset {
        org,
        name: name(called),
    }
}

fn verify(org: OrgId, dataset: &str) -> Request {
    let dataset: DatasetRef = dataset.parse().unwrap();
    Request::Data(DataRequest::Verify(VerifyDataset {
        org,
        dataset,
        from: 0,
    }))
}

async fn verified(
    connection: &quinn::Connection,
    org: OrgId,
    dataset: &str,
) -> Result<VerifiedPart, Problem> {
    match ask(connection, verify(org, dataset)).await? {
        Answer::Data(DataAnswer::Verified(part)) => Ok(part),
        other => panic!("{other:?}"),
    }
}

/// Flips a bit of a stored content, in every pack that has it.
fn damage(lab: &Lab, org: OrgId, content: &[u8]) {
    let packs: PathBuf = lab
        .config
        .data
        .join("blobs")
        .join(org.to_string())
        .join("packs");
    let mut found = 0;
    for entry in fs::read_dir(packs).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let at = bytes
            .windows(content.len())
            .position(|part| part == content);
        if let Some(at) = at {
            // In place: the coordinator has the file open.
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
            found += 1;
        }
    }
    assert_eq!(found, 1);
}

#[tokio::test]
async fn a_damaged_piece_is_found_by_whoever_verifies_and_named_by_its_files() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    let alice = lab.connect(&owner).await;
    for files in [FIRST, SECOND] {
        let tree = send(&alice, org, "digits", files).await.unwrap();
        let add = Request::AddDatasetVersion(version(org, "digits", tree));
        ask(&alice, add).await.unwrap();
    }
    let whole = verified(&alice, org, "digits@1").await.unwrap();
    assert_eq!((whole.version, whole.files, whole.next), (1, 3, None));
    assert_eq!((whole.bytes, whole.damaged_files), (Bytes(36), 0));

    damage(&lab, org, b"what is in c");
    let found = verified(&alice, org, "digits@1").await.unwrap();
    assert_eq!(found.damaged, ["sub/c".parse().unwrap()]);
    assert_eq!(found.damaged_files, 1);
    // A version that shares what is whole is whole.
    let other = verified(&alice, org, "digits").await.unwrap();
    assert_eq!((other.version, other.damaged_files), (2, 0));
    let storage = lab.stop().await;
    let lab = storage.start_again().await;
    let alice = lab.connect(&owner).await;
    let found = verified(&alice, org, "digits@1").await.unwrap();
    assert_eq!(found.damaged_files, 1, "it is not forgotten");

    let tree = send(&alice, org, "digits", FIRST).await.unwrap();
    assert_eq!(tree, manifest_of(FIRST).id());
    let healed = verified(&alice, org, "digits@1").await.unwrap();
    assert_eq!(healed, whole);
    lab.running.stop().await;
}

/// Somebody's right to a dataset's bytes, asked for in each way: whether it is verified, described and fetched.
async fn attempts(
    connection: &quinn::Connection,
    org: OrgId,
    called: &str,
) -> [Option<Problem>; 3] {
    let verified = verified(connection, org, called).await.err();
    let source = DownloadSource::Dataset {
        name: name(called),
        version: None,
    };
    let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
    let download = ClientStream::Download {
        org,
        source: source.clone(),
    };
    tx.send(&download).await.unwrap();
    let described = trees::receive_description(&mut rx).await.err();
    // The tree's id is no secret.
    let tree = manifest_of(FIRST).id();
    let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
    let chunks = ClientStream::Chunks { org, source, tree };
    tx.send(&chunks).await.unwrap();
    let runs = Run::of([0]);
    // Whoever is refused at once may not hear the question.
    let _ = tx.send(&ChunkAsk::Wanted(Wanted { runs })).await;
    let fetched = match rx.pieces().await {
        Ok(frame) => {
            let pieces = trees::read_pieces(frame.expect("what was wanted")).unwrap();
            assert_eq!(pieces.len(), 1);
            None
        }
        Err(frames::RecvError::Refused(problem)) => Some(problem),
        Err(error) => panic!("{error}"),
    };
    [verified, described, fetched]
}

async fn join(lab: &Lab, admin: &quinn::Connection, org: OrgId, handle: &str) -> Signed {
    let (_, secret) = invite(admin, org).await;
    let key = PrivateKey::generate().unwrap();
    let joined = lab.enrol(&secret, LinkPurpose::Join, Some(handle), &key);
    joined.await.unwrap()
}

#[tokio::test]
async fn bytes_are_for_those_who_see_the_project_and_may_take_them_out() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    let alice = lab.connect(&owner).await;
    let bob = lab.connect(&join(&lab, &alice, org, "bob").await).await;
    let project = |request| ask(&alice, Request::Project(request));
    let create = |called: &str, download| {
        ProjectRequest::Create(CreateProject {
            org,
            name: name(called),
            description: String::new(),
            restrictions: Restrictions {
                download,
                ..Restrictions::default()
            },
        })
    };
    let tree = send(&alice, org, "scans", FIRST).await.unwrap();
    for (called, home, download) in [
        ("scans", "open", DownloadBy::All),
        ("faces", "closed", DownloadBy::None),
    ] {
        project(create(home, download)).await.unwrap();
        let mut add = version(org, called, tree);
        add.project = Some(name(home));
        ask(&alice, Request::AddDatasetVersion(add)).await.unwrap();
        assert_eq!(attempts(&alice, org, called).await, [None, None, None]);
    }

    // Who sees nothing of a project finds nothing, as where there is nothing.
    let nothing = attempts(&bob, org, "nothing").await;
    for called in ["scans", "faces"] {
        let unseen = attempts(&bob, org, called).await;
        for (problem, nothing) in unseen.iter().zip(&nothing) {
            let (problem, nothing) = (problem.as_ref().unwrap(), nothing.as_ref().unwrap());
            assert_eq!(problem.code, Code::NotFound, "{problem}");
            let words = nothing.to_string().replace("nothing", called);
            assert_eq!(problem.to_string(), words);
        }
    }

    let grant = |home: &str, access| {
        ProjectRequest::Grant(GrantAccess {
            org,
            name: name(home),
            to: Grantee::Member(name("bob")),
            access,
        })
    };
    for access in [Access::View, Access::Contribute] {
        project(grant("open", access)).await.unwrap();
        assert_eq!(attempts(&bob, org, "scans").await, [None, None, None]);
        project(grant("closed", access)).await.unwrap();
        ask(&bob, show(org, "faces")).await.unwrap();
        for problem in attempts(&bob, org, "faces").await {
            let problem = problem.expect("it stays where it is");
            assert_eq!(problem.code, Code::Permission, "{problem}");
            assert!(problem.to_string().contains("closed"), "{problem}");
        }
    }
    project(grant("closed", Access::Administer)).await.unwrap();
    assert_eq!(attempts(&bob, org, "faces").await, [None, None, None]);

    let revoke = ProjectRequest::Revoke(RevokeAccess {
        org,
        name: name("open"),
        from: Grantee::Member(name("bob")),
    });
    project(revoke).await.unwrap();
    for problem in attempts(&bob, org, "scans").await {
        assert_eq!(problem.unwrap().code, Code::NotFound);
    }
    lab.running.stop().await;
}
