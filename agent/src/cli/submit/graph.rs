//! `submit graph.yaml`: every job of a graph in one request, once all that they bring along is there.

use std::{collections::BTreeMap, path::PathBuf};

use common::{
    api::{
        Answer, Request,
        explain::Explanation,
        job::{GraphJob, JobAnswer, JobRequest, SubmitGraph, SubmitJob, Submitted},
    },
    id::TreeId,
    image::Image,
    name::Name,
    problem::Problem,
    seal::RegistryLogin,
    wire::client::UploadPurpose,
};
use serde::Serialize;

use super::{awaited, folder_to_send, walk_meant};
use crate::{
    cli::{
        Context,
        each::{self, Lines},
        explain,
        graph_file::{Graph, GraphDraft},
        image,
        job_flags::{GraphFlags, Workdir},
        sending::{send, with_files},
        session::{Session, ask},
        table::Table,
    },
    transfer::Walked,
};

/// A job of the graph, with what it brings along.
struct Ready {
    job: GraphJob,
    login: Option<RegistryLogin>,
    /// That is sent with it.
    folder: Option<PathBuf>,
    lines: Option<Lines>,
}

/// What was looked up and walked for one job need not be for the next.
#[derive(Default)]
struct Found {
    images: BTreeMap<String, (Image, Option<RegistryLogin>)>,
    folders: BTreeMap<PathBuf, Walked>,
}

/// A job of the graph that is committed.
#[derive(Debug, Serialize)]
struct Committed {
    name: Name,
    #[serde(flatten)]
    job: Submitted,
}

/// What would happen to a job of the graph.
#[derive(Debug, Serialize)]
struct Foreseen {
    name: Name,
    /// What it would wait for in the graph: `prepare:succeeded`.
    after: Vec<String>,
    explanation: Explanation,
}

/// Submits the graph, or says what would happen.
pub(super) async fn submit(
    context: &Context,
    graph: Graph,
    flags: GraphFlags,
) -> Result<(), Problem> {
    let names: Vec<Name> = graph.jobs.iter().map(|job| job.name.clone()).collect();
    let mut found = Found::default();
    let mut jobs = Vec::with_capacity(names.len());
    for draft in graph.jobs {
        let name = draft.name.clone();
        let job = ready(context, draft, &flags, &mut found).await;
        jobs.push(job.map_err(|problem| of(&name, problem))?);
    }
    let session = context.session().await?;
    if flags.dry_run {
        return foresee(context, session, &names, jobs, &flags).await;
    }
    for ready in &mut jobs {
        image::seal(&session, &mut ready.job.spec, ready.login.take()).await?;
    }
    let submitted = with_files(async || {
        let request = Request::Job(JobRequest::SubmitGraph(SubmitGraph {
            org: session.org,
            jobs: send_folders(context, &session, &jobs, &found).await?,
            key: flags.key,
        }));
        ask!(session, request, Answer::AboutJob(JobAnswer::Graph(submitted)) => submitted)
    })
    .await?;
    session.end().await;
    let jobs = names.into_iter().zip(submitted);
    let jobs: Vec<Committed> = jobs.map(|(name, job)| Committed { name, job }).collect();
    context.output.show(
        &jobs,
        |jobs| jobs.iter().map(|job| job.job.number.to_string()).collect(),
        |jobs| table(jobs),
    )
}

/// Says of which job it is.
fn of(name: &Name, problem: Problem) -> Problem {
    let what = format!("{name} in the graph: {}", problem.what);
    Problem { what, ..problem }
}

/// Sends what of the jobs' folders the coordinator lacks, each once for each project, and returns the jobs with them.
async fn send_folders(
    context: &Context,
    session: &Session,
    jobs: &[Ready],
    found: &Found,
) -> Result<Vec<GraphJob>, Problem> {
    let mut sent: BTreeMap<(&PathBuf, Option<Name>), TreeId> = BTreeMap::new();
    let mut all = Vec::with_capacity(jobs.len());
    for Ready {
        job, folder, lines, ..
    } in jobs
    {
        let mut job = job.clone();
        let folder = folder.as_ref();
        if let Some((path, folder)) = folder.and_then(|path| found.folders.get_key_value(path)) {
            let project = job.spec.project.clone();
            let tree = match sent.get(&(path, project.clone())) {
                Some(tree) => *tree,
                None => {
                    let project = project.clone();
                    let purpose = UploadPurpose::Workdir { project };
                    let doing = "sending a work folder";
                    send(context, session, folder, purpose, None, doing).await?
                }
            };
            sent.insert((path, project), tree);
            job.spec.workdir = Some(tree);
        }
        if let Some(lines) = lines {
            let project = job.spec.project.clone();
            job.spec.params = Some(lines.send(context, session, project).await?);
        }
        all.push(job);
    }
    Ok(all)
}

fn table(jobs: &[Committed]) -> String {
    let mut table = Table::new(&["NAME", ">JOB", "STATUS", "WAITS FOR"]);
    for Committed { name, job } in jobs {
        let held = if job.held { ", held" } else { "" };
        table.row([
            name.to_string(),
            job.number.to_string(),
            format!("{}{held}", job.status),
            awaited(&job.awaits),
        ]);
    }
    table.without_empty_columns().to_text("")
}

/// Completes a job, as far as that needs no coordinator.
async fn ready(
    context: &Context,
    draft: GraphDraft,
    flags: &GraphFlags,
    found: &mut Found,
) -> Result<Ready, Problem> {
    let GraphDraft {
        name,
        mut draft,
        needs,
    } = draft;
    let workdir = match draft.workdir.take() {
        _ if flags.no_workdir => Workdir::None,
        Some(folder) => Workdir::Named(folder),
        None => Workdir::Current,
    };
    let each = draft.each.take();
    let mut spec = draft.into_spec(None)?;
    let lines = each::read(each, &mut spec, context.output).await?;
    let asked = spec.image.to_string();
    let login = if let Some((image, login)) = found.images.get(&asked) {
        spec.image = image.clone();
        login.clone()
    } else {
        let login = image::pin(&mut spec).await?;
        let pinned = (spec.image.clone(), login.clone());
        found.images.insert(asked, pinned);
        login
    };
    let folder = match folder_to_send(workdir)? {
        _ if flags.dry_run => None,
        None => None,
        Some((folder, _)) if found.folders.contains_key(&folder) => Some(folder),
        Some((folder, options)) => {
            let walked = walk_meant(folder.clone(), options).await?;
            (!walked.is_empty()).then(|| {
                found.folders.insert(folder.clone(), walked);
                folder
            })
        }
    };
    let job = GraphJob { name, spec, needs };
    Ok(Ready {
        job,
        login,
        folder,
        lines,
    })
}

/// Asks of each job what would happen, and says it. Nothing is sent but the questions.
async fn foresee(
    context: &Context,
    session: Session,
    names: &[Name],
    jobs: Vec<Ready>,
    flags: &GraphFlags,
) -> Result<(), Problem> {
    let mut all = Vec::with_capacity(jobs.len());
    for Ready { job, .. } in jobs {
        let GraphJob { name, spec, needs } = job;
        let after = needs.iter().map(|need| {
            let other = &names[need.place as usize];
            format!("{other}:{}", need.condition)
        });
        let after: Vec<String> = after.collect();
        let request = Request::SubmitJob(Box::new(SubmitJob {
            org: session.org,
            spec,
            key: flags.key,
            dry_run: true,
        }));
        let answer: Result<Explanation, Problem> =
            ask!(session, request, Answer::Explanation(explanation) => explanation);
        let explanation = answer.map_err(|problem| of(&name, problem))?;
        all.push(Foreseen {
            name,
            after,
            explanation,
        });
    }
    session.end().await;
    context.output.show(
        &all,
        |_| Vec::new(),
        |all| {
            let texts = all.iter().map(|job| {
                let after = match job.after.is_empty() {
                    true => String::new(),
                    false => format!(", after {}", job.after.join(", ")),
                };
                let text = explain::text(&job.explanation);
                format!("{}{after}:\n{text}", job.name)
            });
            texts.collect::<Vec<_>>().join("\n")
        },
    )
}
