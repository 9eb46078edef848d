//! Members towards the real coordinator: sessions that stay, where the command line makes one for each command.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use certs::{Identity, client_config, install_crypto};
use clap::Subcommand;
use common::{
    api::{
        Answer, Request,
        job::{ExplainJob, FollowEvent, FollowJob, ListJobs, ShowJob, SubmitJob, Submitted},
    },
    id::{Fingerprint, IdempotencyKey, OrgId},
    job::{ArraySpec, JobNumber, JobSpec},
    status::JobStatus,
    units::{Bytes, MilliCpu},
    wire::{ALPN_CLIENT, Hello, client::ClientStream},
};
use link::{
    endpoint::Dialer,
    frames::{FrameReceiver, split},
};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::quic::runtime;

/// What a job asks for: little, so that nothing but what is measured is the bound.
pub(super) const PROCESSORS: MilliCpu = MilliCpu(100);
const MEMORY: Bytes = Bytes::mib(16);
const DISK: Bytes = Bytes::mib(1);
/// How often is looked whether all jobs have ended.
const LOOK: Duration = Duration::from_millis(10);
/// What a list asks for: what fits a screen.
const LISTED: u32 = 50;

/// What a member does.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Does {
    /// Submits `true` again and again on one session; prints for each job the milliseconds from the submission until it
    /// was known to run, and until it was known to have ended.
    OneByOne { count: u32 },
    /// Submits an array of `true`; prints the seconds until that was acknowledged, and with `--to-end` until all had ended.
    Array {
        tasks: u32,
        /// Most tasks at once.
        #[arg(long)]
        parallel: Option<u32>,
        #[arg(long)]
        to_end: bool,
    },
    /// Submits single jobs, each client on its session one after the other; prints what [`Does::Array`] does.
    Singles {
        count: u32,
        #[arg(long, default_value_t = 64)]
        clients: u32,
        #[arg(long)]
        to_end: bool,
    },
    /// Looks at the list of jobs, at the newest job, and at why it waits, so many times; prints the milliseconds of each.
    Look { count: u32 },
}

/// Does it.
pub(super) fn run(folder: &Path, does: Does) -> Result<()> {
    runtime()?.block_on(async {
        match does {
            Does::OneByOne { count } => one_by_one(&Member::connect(folder).await?, count).await,
            Does::Array {
                tasks,
                parallel,
                to_end,
            } => array(&Member::connect(folder).await?, tasks, parallel, to_end).await,
            Does::Singles {
                count,
                clients,
                to_end,
            } => singles(folder, count, clients, to_end).await,
            Does::Look { count } => look(&Member::connect(folder).await?, count).await,
        }
    })
}

async fn one_by_one(member: &Member, count: u32) -> Result<()> {
    for _ in 0..count {
        let begin = Instant::now();
        let job = member.submit(None).await?;
        let mut follower = member.follow(job.number).await?;
        let mut started = None;
        let ended = loop {
            let FollowEvent::Status(job) = follower.expect().await? else {
                bail!("job {} was not followed to its end", job.number);
            };
            let known = begin.elapsed().as_secs_f64() * 1000.0;
            if job.started_at.is_some() {
                started.get_or_insert(known);
            }
            if job.ended_at.is_some() {
                ensure!(job.status == JobStatus::Succeeded, "{job:?}");
                break known;
            }
        };
        println!("{:.4} {ended:.4}", started.context("it never started")?);
    }
    Ok(())
}

async fn array(member: &Member, tasks: u32, parallel: Option<u32>, to_end: bool) -> Result<()> {
    let array = ArraySpec::of(1, tasks, parallel);
    let begin = Instant::now();
    let job = member.submit(Some(array)).await?;
    print!("{:.6}", begin.elapsed().as_secs_f64());
    if to_end {
        let mut follower = member.follow(job.number).await?;
        let mut succeeded = 0;
        loop {
            match follower.expect().await? {
                FollowEvent::Status(job) => succeeded = job.tasks.succeeded,
                FollowEvent::Log { .. } => {}
                FollowEvent::End => break,
            }
        }
        ensure!(succeeded == tasks, "{succeeded} of {tasks} tasks succeeded");
        print!(" {:.6}", begin.elapsed().as_secs_f64());
    }
    println!();
    Ok(())
}

async fn singles(folder: &Path, count: u32, clients: u32, to_end: bool) -> Result<()> {
    ensure!(clients > 0, "nobody submits nothing");
    let mut members = Vec::new();
    for _ in 0..clients {
        members.push(Member::connect(folder).await?);
    }
    let begin = Instant::now();
    let mut submitting = JoinSet::new();
    for (number, member) in (0..clients).zip(members) {
        let share = count / clients + u32::from(number < count % clients);
        submitting.spawn(async move {
            for _ in 0..share {
                member.submit(None).await?;
            }
            anyhow::Ok(member)
        });
    }
    let members = submitting.join_all().await;
    print!("{:.6}", begin.elapsed().as_secs_f64());
    let members: Vec<Member> = members.into_iter().collect::<Result<_>>()?;
    if to_end {
        let live = vec![JobStatus::Queued, JobStatus::Running];
        let member = members.first().context("a member")?;
        while !member.list(live.clone(), 1).await?.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        print!(" {:.6}", begin.elapsed().as_secs_f64());
    }
    println!();
    Ok(())
}

async fn look(member: &Member, count: u32) -> Result<()> {
    for _ in 0..count {
        let begin = Instant::now();
        let jobs = member.list(Vec::new(), LISTED).await?;
        let list = begin.elapsed();
        let (org, number) = (member.org, *jobs.first().context("there is no job")?);
        let show = Request::ShowJob(ShowJob {
            org,
            number,
            task: None,
            attempts: LISTED,
            live: false,
        });
        member.ask(&show).await?;
        let show = begin.elapsed() - list;
        let explain = Request::ExplainJob(ExplainJob { org, number });
        member.ask(&explain).await?;
        let why = begin.elapsed() - list - show;
        let [list, show, why] = [list, show, why].map(|took| took.as_secs_f64() * 1000.0);
        println!("{list:.4} {show:.4} {why:.4}");
    }
    Ok(())
}

/// What is needed of a member's credentials, as the command line keeps them.
#[derive(Debug, Deserialize)]
struct Credentials {
    address: String,
    fingerprint: Fingerprint,
    org: OrgId,
}

/// One session.
#[derive(Debug)]
struct Member {
    org: OrgId,
    connection: quinn::Connection,
    /// Owns the socket.
    _dialer: Dialer,
}

impl Member {
    async fn connect(folder: &Path) -> Result<Self> {
        install_crypto();
        let credentials = fs::read(folder.join("credentials.json"))?;
        let credentials: Credentials = serde_json::from_slice(&credentials)?;
        let identity = Identity::load(&folder.join("member.pem"))?;
        let tls = client_config(credentials.fingerprint, Some(&identity), ALPN_CLIENT)?;
        let dialer = Dialer::new()?;
        let connection = dialer.dial(&credentials.address, tls).await?;
        let (mut sender, mut receiver) = split(connection.open_bi().await?);
        sender.send(&Hello::ours()).await?;
        sender.finish();
        receiver.expect::<Hello>().await?;
        Ok(Self {
            org: credentials.org,
            connection,
            _dialer: dialer,
        })
    }

    async fn ask(&self, request: &Request) -> Result<Answer> {
        Ok(self.send(request).await?.expect().await?)
    }

    async fn send(&self, request: &Request) -> Result<FrameReceiver> {
        let (mut sender, receiver) = split(self.connection.open_bi().await?);
        sender.send(&ClientStream::Request).await?;
        sender.send(request).await?;
        sender.finish();
        Ok(receiver)
    }

    /// Submits `true`, as a single job or as an array.
    async fn submit(&self, array: Option<ArraySpec>) -> Result<Submitted> {
        let mut spec = JobSpec::of(vec!["true".to_owned()]);
        (spec.request.cpu, spec.request.memory, spec.request.disk) = (PROCESSORS, MEMORY, DISK);
        spec.array = array;
        let request = Request::SubmitJob(Box::new(SubmitJob {
            org: self.org,
            spec,
            key: IdempotencyKey::from_bytes(rand::random()),
            dry_run: false,
        }));
        match self.ask(&request).await? {
            Answer::Submitted(job) => Ok(job),
            other => bail!("a submission was answered by {other:?}"),
        }
    }

    async fn follow(&self, number: JobNumber) -> Result<FrameReceiver> {
        let follow = FollowJob {
            org: self.org,
            number,
            task: None,
            logs: false,
            until_end: true,
            cursors: Vec::new(),
        };
        self.send(&Request::FollowJob(follow)).await
    }

    /// Returns the newest jobs in one of these states, or in any.
    async fn list(&self, status: Vec<JobStatus>, limit: u32) -> Result<Vec<JobNumber>> {
        let request = Request::ListJobs(ListJobs {
            org: self.org,
            status,
            owner: None,
            project: None,
            before: None,
            limit,
        });
        match self.ask(&request).await? {
            Answer::Jobs(page) => Ok(page.rows.iter().map(|job| job.number).collect()),
            other => bail!("a list of jobs was answered by {other:?}"),
        }
    }
}
