//! Whose a tree is: who names one must have sent it. Its id, which others may see, is no key to its bytes.

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        data::AddDatasetVersion,
        job::SubmitJob,
        project::{CreateProject, GrantAccess, ProjectRequest},
    },
    code::Code,
    id::{AttemptId, IdempotencyKey, OrgId, TreeId},
    job::JobNumber,
    join_link::LinkPurpose,
    name::Name,
    problem::Problem,
    project::{Grantee, Restrictions},
    status::{Access, CopyOut, DownloadBy, Visibility},
    tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id},
    wire::{
        Message,
        agent::{AgentStream, AttemptReport, ReportStage},
        client::{ClientStream, DownloadSource, UploadPurpose},
        data::Announced,
    },
};
use link::{
    frames,
    trees::{self, Lane, Manifest},
};
use tokio::sync::mpsc;

use crate::{
    lab::{Lab, Signed, ask, invite, name},
    machine::{Control, ended, job, machine, machine_of, submit},
};

/// Names and contents, each of one chunk.
pub(crate) type Files<'a> = &'a [(&'a str, &'static [u8])];

/// Returns a folder with these files.
pub(crate) fn manifest_of(files: Files<'_>) -> Manifest {
    let entry = |(path, bytes): &(&str, &'static [u8])| Entry {
        path: path.parse().unwrap(),
        kind: EntryKind::File {
            executable: false,
            chunks: vec![chunk(bytes)],
        },
    };
    Manifest::new(Tree::new(files.iter().map(entry).collect()).unwrap()).unwrap()
}

pub(crate) fn chunk(bytes: &[u8]) -> ChunkRef {
    ChunkRef {
        id: chunk_id(bytes),
        bytes: u32::try_from(bytes.len()).unwrap(),
    }
}

/// Announces a tree as it is.
pub(crate) fn all_of(manifest: &Manifest) -> Announced {
    let tree = manifest.tree();
    Announced {
        files: tree.file_count(),
        bytes: tree.bytes(),
        beside: None,
    }
}

fn announced(bytes: &'static [u8]) -> Announced {
    all_of(&manifest_of(&[("data", bytes)]))
}

/// Sends files over streams that begin so; returns their tree and how many chunks were asked for.
pub(crate) async fn send_over<M: Message + Clone + Send + Sync + 'static>(
    connection: &quinn::Connection,
    first: M,
    files: Files<'_>,
) -> Result<(TreeId, usize), Problem> {
    let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
    tx.send(&first).await.unwrap();
    let (hand, cuts) = mpsc::channel(1);
    let cut = files
        .iter()
        .map(|(_, bytes)| (chunk(bytes), (*bytes).into()));
    hand.send(cut.collect()).await.unwrap();
    drop(hand);
    let lane = Lane {
        connection,
        tx: &mut tx,
        rx: &mut rx,
        pieces: first,
        beside: None,
    };
    let manifest = manifest_of(files);
    let announced = all_of(&manifest);
    let sent = trees::send(lane, announced, cuts, async { Ok(manifest) }, &()).await;
    sent.map(|(tree, sent)| (tree.id(), sent.chunks))
}

fn upload(org: OrgId, bytes: &'static [u8]) -> ClientStream {
    ClientStream::Upload {
        org,
        announced: announced(bytes),
        purpose: UploadPurpose::Workdir { project: None },
    }
}

/// Sends a folder; returns its tree and how many chunks were asked for.
pub(crate) async fn send(
    connection: &quinn::Connection,
    org: OrgId,
    bytes: &'static [u8],
) -> (TreeId, usize) {
    let sent = send_over(connection, upload(org, bytes), &[("data", bytes)]).await;
    sent.unwrap()
}

/// Returns whether an upload to a dataset may build upon a tree.
async fn builds_upon(
    connection: &quinn::Connection,
    org: OrgId,
    called: &str,
    tree: TreeId,
) -> bool {
    let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
    let announced = Announced {
        beside: Some(tree),
        ..announced(b"little")
    };
    let (name, project) = (name(called), None);
    let first = ClientStream::Upload {
        org,
        announced,
        purpose: UploadPurpose::Dataset { name, project },
    };
    tx.send(&first).await.unwrap();
    trees::agree(&mut rx).await.unwrap()
}

pub(crate) fn version(org: OrgId, called: &str, tree: TreeId) -> AddDatasetVersion {
    AddDatasetVersion {
        org,
        name: name(called),
        tree,
        description: None,
        visibility: None,
        project: None,
    }
}

fn job_in(org: OrgId, tree: TreeId, key: u8) -> SubmitJob {
    let mut request = job(org);
    request.spec.workdir = Some(tree);
    request.key = IdempotencyKey::from_bytes([key; 16]);
    request
}

async fn code(connection: &quinn::Connection, request: Request) -> Option<Code> {
    let answer = ask(connection, request).await;
    answer.err().map(|problem| problem.code)
}

/// Lets Bob in, who then may look at a project that keeps its data in; returns him and the tree of its dataset.
async fn bob_sees_a_tree(lab: &Lab, owner: &Signed, alice: &quinn::Connection) -> (Signed, TreeId) {
    let org = owner.org;
    let (_, secret) = invite(alice, org).await;
    let key = PrivateKey::generate().unwrap();
    let bob = lab.enrol(&secret, LinkPurpose::Join, Some("bob"), &key);
    let bob = bob.await.unwrap();
    let closed = Restrictions {
        copy_out: CopyOut::None,
        download: DownloadBy::None,
        ..Restrictions::default()
    };
    let project: Name = name("vision");
    let create = ProjectRequest::Create(CreateProject {
        org,
        name: project.clone(),
        description: String::new(),
        restrictions: closed,
    });
    ask(alice, Request::Project(create)).await.unwrap();
    let grant = ProjectRequest::Grant(GrantAccess {
        org,
        name: project.clone(),
        to: Grantee::Member(name("bob")),
        access: Access::View,
    });
    ask(alice, Request::Project(grant)).await.unwrap();
    let (tree, _) = send(alice, org, b"what stays in the project").await;
    let mut add = version(org, "scans", tree);
    add.project = Some(project);
    ask(alice, Request::AddDatasetVersion(add)).await.unwrap();
    (bob, tree)
}

#[tokio::test]
async fn whoever_sees_the_id_of_a_tree_has_not_got_its_bytes() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    let alice = lab.connect(&owner).await;
    machine(&lab, &owner).await;
    let (bob, tree) = bob_sees_a_tree(&lab, &owner, &alice).await;
    let bob = lab.connect(&bob).await;
    let question = Request::ShowDataset {
        org,
        name: name("scans"),
    };
    let Ok(Answer::Dataset(seen)) = ask(&bob, question).await else {
        panic!("bob may look");
    };
    assert_eq!(seen.versions[0].tree, tree);

    let mine = Request::AddDatasetVersion(version(org, "mine", tree));
    let refused = ask(&bob, mine.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::NotUploaded);
    // What is not here at all is refused in the same words.
    let nowhere = TreeId::new([9; 32]);
    let guess = Request::AddDatasetVersion(version(org, "mine", nowhere));
    let guessed = ask(&bob, guess).await.unwrap_err();
    assert_eq!(
        guessed.why.replace(&nowhere.to_string(), ""),
        refused.why.replace(&tree.to_string(), "")
    );
    let work = Request::SubmitJob(Box::new(job_in(org, tree, 1)));
    assert_eq!(code(&bob, work.clone()).await, Some(Code::NotUploaded));
    let mut lines = job_in(org, tree, 2);
    lines.spec.params = lines.spec.workdir.take();
    lines.spec.array = Some("0-1".parse().unwrap());
    let lines = Request::SubmitJob(Box::new(lines));
    assert_eq!(code(&bob, lines.clone()).await, Some(Code::NotUploaded));
    let source = DownloadSource::Dataset {
        name: name("mine"),
        version: None,
    };
    let (mut tx, mut rx) = frames::split(bob.open_bi().await.unwrap());
    tx.send(&ClientStream::Download { org, source })
        .await
        .unwrap();
    assert!(trees::receive_description(&mut rx).await.is_err());

    // Nor is it one to build upon, which would bring them to whoever does.
    assert!(!builds_upon(&bob, org, "scans", tree).await);
    assert!(!builds_upon(&bob, org, "mine", tree).await);
    assert!(!builds_upon(&alice, org, "other", tree).await);
    let (open, _) = send(&alice, org, b"what all may have").await;
    let mut add = version(org, "open", open);
    add.visibility = Some(Visibility::OrgRead);
    ask(&alice, Request::AddDatasetVersion(add)).await.unwrap();
    assert!(builds_upon(&alice, org, "open", open).await);
    assert!(builds_upon(&bob, org, "open", open).await);

    // Who has the files may name them, and nothing travels twice.
    let (again, asked_for) = send(&bob, org, b"what stays in the project").await;
    assert_eq!((again, asked_for), (tree, 0));
    assert_eq!(code(&bob, mine).await, None);
    assert_eq!(code(&bob, work).await, None);
    assert_eq!(code(&bob, lines).await, None);
    lab.running.stop().await;
}

/// Sends what an attempt left, as its machine.
async fn send_artifacts(control: &Control, attempt: AttemptId, bytes: &'static [u8]) -> TreeId {
    let first = AgentStream::Upload {
        attempt,
        announced: announced(bytes),
    };
    let sent = send_over(&control.connection, first, &[("data", bytes)]).await;
    sent.unwrap().0
}

/// Runs a job of Bob's on his machine to its end, whose files are on their way then.
async fn run_to_its_end(
    control: &mut Control,
    bob: &quinn::Connection,
    request: SubmitJob,
) -> (JobNumber, AttemptId) {
    let number = submit(bob, request).await.number;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = set.attempts[0].attempt;
    let AttemptReport::Ended { at, outcome, .. } = ended(0) else {
        panic!("an end");
    };
    let end = AttemptReport::Ended {
        at,
        outcome,
        artifacts: true,
    };
    control.say(attempt, end).await;
    control.acknowledged(attempt, ReportStage::Ended).await;
    (number, attempt)
}

/// Returns the tree of a job's artifacts, or why it is not given.
async fn fetch(
    connection: &quinn::Connection,
    org: OrgId,
    job: JobNumber,
) -> Result<TreeId, Problem> {
    let source = DownloadSource::Artifacts {
        job,
        task: 0,
        attempt: None,
    };
    let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
    tx.send(&ClientStream::Download { org, source })
        .await
        .unwrap();
    Ok(trees::receive_description(&mut rx).await?.id())
}

#[tokio::test]
async fn a_machine_has_sent_what_it_calls_an_artifact() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    let alice = lab.connect(&owner).await;
    let (bob, tree) = bob_sees_a_tree(&lab, &owner, &alice).await;
    let machine = machine_of(&lab, &bob, &owner, "box").await;
    let bob_asks = lab.connect(&bob).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let with_key = |key| {
        let mut request = job(org);
        request.key = IdempotencyKey::from_bytes([key; 16]);
        request
    };

    let (number, attempt) = run_to_its_end(&mut control, &bob_asks, with_key(1)).await;
    control
        .say(attempt, AttemptReport::Artifacts { tree })
        .await;
    control.acknowledged(attempt, ReportStage::Artifacts).await;
    let refused = fetch(&bob_asks, org, number).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);

    let content = b"what stays in the project";
    let (number, attempt) = run_to_its_end(&mut control, &bob_asks, with_key(2)).await;
    assert_eq!(send_artifacts(&control, attempt, content).await, tree);
    control
        .say(attempt, AttemptReport::Artifacts { tree })
        .await;
    control.acknowledged(attempt, ReportStage::Artifacts).await;
    assert_eq!(fetch(&bob_asks, org, number).await, Ok(tree));

    // Sent before a restart and said after it, files are not lost.
    let (number, attempt) = run_to_its_end(&mut control, &bob_asks, with_key(3)).await;
    let fresh = send_artifacts(&control, attempt, b"a result").await;
    let lab = lab.restart().await;
    let mut control = Control::open(&lab, &machine, vec![attempt]).await;
    let said = AttemptReport::Artifacts { tree: fresh };
    control.say(attempt, said).await;
    control.acknowledged(attempt, ReportStage::Artifacts).await;
    let bob_asks = lab.connect(&bob).await;
    assert_eq!(fetch(&bob_asks, org, number).await, Ok(fresh));
    lab.running.stop().await;
}

#[tokio::test]
async fn after_a_restart_files_are_asked_for_again_and_a_job_that_is_there_is_not() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let org = owner.org;
    machine(&lab, &owner).await;
    let alice = lab.connect(&owner).await;
    let (tree, _) = send(&alice, org, b"some work").await;
    let there = submit(&alice, job_in(org, tree, 1)).await;

    let lab = lab.restart().await;
    let alice = lab.connect(&owner).await;
    assert_eq!(submit(&alice, job_in(org, tree, 1)).await, there);
    let another = Request::SubmitJob(Box::new(job_in(org, tree, 2)));
    assert_eq!(code(&alice, another.clone()).await, Some(Code::NotUploaded));
    // The key of a job that is there opens nothing but that job's own folder.
    let foreign = job_in(org, TreeId::new([9; 32]), 1);
    let foreign = Request::SubmitJob(Box::new(foreign));
    assert_eq!(code(&alice, foreign).await, Some(Code::NotUploaded));
    let (_, asked_for) = send(&alice, org, b"some work").await;
    assert_eq!(asked_for, 0);
    assert_eq!(code(&alice, another).await, None);
    lab.running.stop().await;
}
