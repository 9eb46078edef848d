//! A member with much in the org is removed, and the process is killed at every write to the disk in turn: the book
//! says all of it or nothing.
//!
//! The test starts itself again as the process that dies. Killed is as by `kill -9`: what was written stays.

use std::{
    env,
    fs::{File, OpenOptions},
    io,
    os::unix::{fs::FileExt as _, process::ExitStatusExt as _},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use common::{
    api::job::SubmitJob,
    id::{
        CertificateSerial, CodeDigest, DeviceId, Fingerprint, IdempotencyKey, InvitationId, JobId,
        MachineId,
    },
    job::JobSpec,
    join_link::LinkPurpose,
    machine::{Isolation, MachineReport, SystemInfo},
    name::Name,
    resources::Capacity,
    status::{IsolationLevel, Role},
    time::Span,
    units::{Bytes, MilliCpu},
};
use coordinator_core::command::{
    NewCertificate, SignIn,
    invitation::{CreateInvitations, InvitationCommand, NewInvitation},
};
use redb::StorageBackend;

use super::*;

/// Tells the process that dies at which write; it is this test again.
const KILL_AT: &str = "COMPUTE_SHARE_TEST_KILL_AT";
const BOOK: &str = "COMPUTE_SHARE_TEST_BOOK";

const MACHINES: u8 = 3;
/// One for each processor of the machines.
const RUNNING: u16 = 20;
const QUEUED: u16 = 1000;

const ORG: OrgId = OrgId::from_bytes([1; 16]);
const ALICE: UserId = UserId::from_bytes([1; 16]);
const BOB: UserId = UserId::from_bytes([2; 16]);

#[test]
fn a_member_is_removed_whole_or_not_at_all_wherever_the_process_is_killed() {
    if let Ok(at) = env::var(KILL_AT) {
        let book = env::var(BOOK).unwrap();
        return remove_and_die(Path::new(&book), at.parse().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    fill(&path);
    let before = Store::open(&path).unwrap().state;

    // What nobody kills shows what all is.
    let whole = folder.path().join("whole");
    std::fs::copy(&path, &whole).unwrap();
    assert!(die(&whole, u32::MAX).success());
    let after = at_the_end(&whole);
    assert!(before != after);

    let copy = folder.path().join("copy");
    let (mut nothing, mut all) = (0, 0);
    for write in 0.. {
        std::fs::copy(&path, &copy).unwrap();
        let status = die(&copy, write);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "at write {write}: {status}");
        let found = at_the_end(&copy);
        if found == before {
            assert_eq!(all, 0, "write {write} took back what was there");
            nothing += 1;
        } else {
            assert!(found == after, "at write {write} something was half done");
            all += 1;
        }
    }
    println!(
        "killed at {} writes: {nothing} left nothing, {all} left all",
        nothing + all
    );
    assert!(nothing > 10 && all > 0, "{nothing} and {all}");
    check(&copy).unwrap();
}

/// Stands still, so that every process that is not killed writes the same.
fn clock() -> Arc<Clock> {
    Arc::new(Clock::starting_at(Timestamp::from_unix_ms(1 << 42)))
}

fn at_the_end(path: &Path) -> State {
    Store::open(path).unwrap().state
}

/// Runs this test again, as the one that dies.
fn die(book: &Path, at: u32) -> std::process::ExitStatus {
    let name = "store::tests::killed::a_member_is_removed_whole_or_not_at_all_wherever_the_process_is_killed";
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]);
    command.env(KILL_AT, at.to_string()).env(BOOK, book);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap()
}

fn remove_and_die(book: &Path, at: u32) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(book)
        .unwrap();
    let writes_left = AtomicU32::new(u32::MAX);
    let mortal = Arc::new(Mortal { file, writes_left });
    let db = builder()
        .create_with_backend(Handle(Arc::clone(&mortal)))
        .unwrap();
    let opened = read(db, book).unwrap();
    let mut clerk = Clerk::new(opened.state, opened.store, clock());
    mortal.writes_left.store(at, Ordering::SeqCst);
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    let done = clerk.process(vec![(Actor::User(ALICE), body)]).unwrap();
    let events = done.replies[0].as_ref().unwrap();
    // Jobs, running and waiting, and machines at the least.
    let least = usize::from(RUNNING) * 2 + usize::from(QUEUED) + usize::from(MACHINES);
    assert!(events.len() > least, "{}", events.len());
}

/// A file whose process dies in the middle of a write.
#[derive(Debug)]
struct Mortal {
    file: File,
    writes_left: AtomicU32,
}

#[derive(Debug)]
struct Handle(Arc<Mortal>);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.step(|| ())?;
        self.0.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.step(|| ())?;
        self.0.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let half = &data[..data.len() / 2];
        self.0
            .step(|| self.0.file.write_all_at(half, offset).unwrap())?;
        self.0.file.write_all_at(data, offset)
    }
}

impl Mortal {
    /// Counts a step; at the last one the process does `half` of it and is killed.
    fn step(&self, half: impl FnOnce()) -> io::Result<()> {
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 0 {
            half();
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
        }
        if left < u32::MAX {
            self.writes_left.store(left - 1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Makes a book with bob in it, his machines, and his jobs, of which as many run as there is room for.
fn fill(path: &Path) {
    let store = Store::create(path).unwrap();
    let mut clerk = Clerk::new(State::new(), store, clock());
    let mut all = |commands: Vec<(Actor, Body)>| {
        for commands in commands.chunks(200) {
            for reply in clerk.process(commands.to_vec()).unwrap().replies {
                reply.unwrap();
            }
        }
    };
    let org = Body::CreateOrg {
        org: ORG,
        name: name("lab"),
        owner: ALICE,
        handle: name("alice"),
    };
    let invitation = Body::Invitation(InvitationCommand::Create(CreateInvitations {
        org: ORG,
        role: Role::Member,
        ttl: Span::from_secs(3600),
        uses: 1,
        invitee: None,
        batch: vec![NewInvitation {
            id: InvitationId::from_bytes([1; 16]),
            codes: vec![CodeDigest::new([1; 32])],
        }],
    }));
    let enrol = Body::Enrol {
        code: CodeDigest::new([1; 32]),
        purpose: LinkPurpose::Join,
        fresh_user: BOB,
        handle: Some(name("bob")),
        sign_in: SignIn {
            fresh_device: DeviceId::from_bytes([7; 16]),
            name: "laptop".parse().unwrap(),
            proof: None,
        },
        certificate: NewCertificate {
            serial: CertificateSerial::new([1; 16]),
            key: Fingerprint::new([1; 32]),
            expires_at: Timestamp::from_unix_ms(u64::MAX >> 16),
        },
    };
    all(vec![
        (Actor::System, org),
        (Actor::User(ALICE), invitation),
        (Actor::Stranger, enrol),
    ]);
    for number in 1..=MACHINES {
        let machine = MachineId::from_bytes([number; 16]);
        let called = name(&format!("box{number}"));
        let register = Body::RegisterMachine {
            machine,
            org: ORG,
            name: called.clone(),
            key: Fingerprint::new([number; 32]),
            from: None,
        };
        let approve = Body::ApproveMachine {
            org: ORG,
            name: called,
        };
        let connect = Body::ConnectMachine {
            report: report(7),
            attempts: Vec::new(),
        };
        all(vec![
            (Actor::User(BOB), register),
            (Actor::User(ALICE), approve),
            (Actor::Machine(machine), connect),
        ]);
    }
    let jobs = (0..RUNNING + QUEUED).map(|number| (Actor::User(BOB), submit(number)));
    all(jobs.collect());
}

fn submit(number: u16) -> Body {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let spec = JobSpec {
        max_runtime: Some(Span::from_secs(3600)),
        ..JobSpec::of(vec!["true".to_owned()])
    };
    Body::SubmitJob {
        job: JobId::from_bytes(id),
        request: SubmitJob {
            org: ORG,
            spec,
            key: IdempotencyKey::from_bytes(id),
            dry_run: false,
        },
    }
}

fn report(cpus: u32) -> MachineReport {
    let capacity = Capacity {
        cpu: MilliCpu::cpus(cpus),
        memory: Bytes::gib(64),
        disk: Bytes::gib(500),
        gpus: Vec::new(),
    };
    MachineReport::lending_all(
        capacity,
        Isolation::of(IsolationLevel::A),
        SystemInfo::default(),
    )
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
