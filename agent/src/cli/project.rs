//! `project create|list|show|grant|revoke|set|archive`: shared spaces in the org.

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        project::{
            ArchiveProject, CreateProject, GrantAccess, ProjectAnswer, ProjectRequest,
            RevokeAccess, SetProject,
        },
    },
    id::OrgId,
    name::Name,
    problem::Problem,
    project::{Grantee, ProjectView, Restrictions},
    status::{Access, CopyOut, DeleteBy, DownloadBy},
};
use serde_json::json;

use super::{
    Context,
    moments::{ago, local, now},
    output::Facts,
    pages,
    session::ask,
    table::Table,
    weight::OfProject,
};

/// Share jobs and data with some of the org's members
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  compute-share project create vision --description 'Ada, Bob: depth maps'"
)]
pub(super) enum Project {
    Create(Create),
    List(List),
    Show(Show),
    Grant(Grant),
    Revoke(Revoke),
    Set(Set),
    SetWeight(OfProject),
    Archive(Archive),
}

/// Make a project, which you administer
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share project create vision --download none")]
pub(super) struct Create {
    name: Name,
    /// What it is about
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    #[command(flatten)]
    restrict: Restrict,
}

/// List the projects that you may see
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share project list --archived")]
pub(super) struct List {
    /// Archived ones too
    #[arg(long)]
    archived: bool,
}

/// Show a project and who may do what in it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share project show vision")]
pub(super) struct Show {
    name: Name,
}

/// Give a member, or all of the org, access
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share project grant vision contribute bob\n  compute-share project grant vision view --everyone"
)]
pub(super) struct Grant {
    name: Name,
    /// How much, each with what comes before it
    #[arg(value_name = "view|upload|contribute|administer")]
    access: Access,
    #[command(flatten)]
    to: To,
}

/// Take access back; jobs that run already run on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share project revoke vision bob")]
pub(super) struct Revoke {
    name: Name,
    #[command(flatten)]
    from: To,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    #[arg(value_name = "HANDLE")]
    member: Option<Name>,
    /// Every member of the org, now and later
    #[arg(long)]
    everyone: bool,
}

/// Change what a project is about and what it keeps its members from
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  compute-share project set vision --copy-out none --delete admins"
)]
pub(super) struct Set {
    name: Name,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    restrict: Restrict,
}

#[derive(Debug, Args)]
struct Restrict {
    /// Whether its data may be used by jobs outside it
    #[arg(long, value_name = "all|none")]
    copy_out: Option<CopyOut>,
    /// Who may delete its datasets and move them elsewhere
    #[arg(long, value_name = "contributors|admins")]
    delete: Option<DeleteBy>,
    /// Who may download its data and its jobs' files; none is nobody but its administrators
    #[arg(long, value_name = "all|none")]
    download: Option<DownloadBy>,
}

/// Put a project to rest: all of it can be seen, and nothing new happens in it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share project archive vision")]
pub(super) struct Archive {
    name: Name,
    /// Take it out of the archive
    #[arg(long)]
    undo: bool,
}

impl Project {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Show(show) => show.run(context).await,
            Self::Grant(grant) => grant.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::SetWeight(set) => set.run(context).await,
            Self::Archive(archive) => archive.run(context).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let default = Restrictions::default();
        let restrictions = Restrictions {
            copy_out: self.restrict.copy_out.unwrap_or(default.copy_out),
            delete: self.restrict.delete.unwrap_or(default.delete),
            download: self.restrict.download.unwrap_or(default.download),
        };
        let said = format!("Project {} is there, and you administer it.", self.name);
        let request = |org| {
            ProjectRequest::Create(CreateProject {
                org,
                name: self.name,
                description: self.description,
                restrictions,
            })
        };
        change(context, request, &said).await
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let archived = self.archived;
        let session = context.session().await?;
        let org = session.org;
        let projects = pages::all(async |after| {
            let request = Request::Project(ProjectRequest::List {
                org,
                archived,
                after,
            });
            ask!(session, request, Answer::Project(ProjectAnswer::List(page)) => page)
        });
        let projects = projects.await?;
        session.end().await;
        context.output.show(
            &projects,
            |projects| projects.iter().map(|row| row.name.to_string()).collect(),
            |projects| projects_table(projects),
        )
    }
}

fn projects_table(projects: &[ProjectView]) -> String {
    let mut table = Table::new(&[
        "PROJECT",
        "YOU MAY",
        "ALL MAY",
        "BY",
        "SINCE",
        "DESCRIPTION",
    ]);
    for project in projects {
        let rests = if project.archived_at.is_some() {
            " (archived)"
        } else {
            ""
        };
        table.row([
            format!("{}{rests}", project.name),
            project.access.to_string(),
            project
                .everyone
                .map_or_else(String::new, |all| all.to_string()),
            project.created_by.to_string(),
            ago(project.created_at, now()),
            project.description.clone(),
        ]);
    }
    table.to_text("No projects for you. `compute-share project create NAME` makes one.")
}

impl Show {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let answer = asked(context, |org| ProjectRequest::Show {
            org,
            name: self.name,
        });
        match answer.await? {
            ProjectAnswer::One(project) => {
                let id = |project: &ProjectView| vec![project.id.to_string()];
                context.output.show(&*project, id, project_text)
            }
            other => Err(unexpected(other)),
        }
    }
}

fn project_text(project: &ProjectView) -> String {
    let restrictions = &project.restrictions;
    let facts = Facts::default()
        .with("project", &project.name)
        .with("id", project.id)
        .with("description", &project.description)
        .with("made by", &project.created_by)
        .with("since", local(project.created_at))
        .with_some("archived", project.archived_at.map(local))
        .with("you may", project.access)
        .with_some("all may", project.everyone)
        .with("copy_out", restrictions.copy_out)
        .with("delete", restrictions.delete)
        .with("download", restrictions.download);
    let mut table = Table::new(&["MEMBER", "MAY", "GRANTED BY", "SINCE"]);
    for grant in &project.grants {
        table.row([
            grant.member.to_string(),
            grant.access.to_string(),
            grant.granted_by.to_string(),
            ago(grant.granted_at, now()),
        ]);
    }
    let grants = table.to_text("Nobody has access by name.");
    format!("{}\n{grants}", facts.to_text())
}

impl Grant {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { name, to, access } = self;
        let said = format!("{} may {access} in {name} now.", to.who());
        let request = |org| {
            ProjectRequest::Grant(GrantAccess {
                org,
                name,
                to: to.grantee(),
                access,
            })
        };
        change(context, request, &said).await
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { name, from } = self;
        let said = format!("{} has no such access to {name} any more.", from.who());
        let request = |org| {
            ProjectRequest::Revoke(RevokeAccess {
                org,
                name,
                from: from.grantee(),
            })
        };
        change(context, request, &said).await
    }
}

impl To {
    fn grantee(self) -> Grantee {
        self.member.map_or(Grantee::Everyone, Grantee::Member)
    }

    fn who(&self) -> String {
        let member = self.member.as_ref().map(Name::to_string);
        member.unwrap_or_else(|| "Everyone".to_owned())
    }
}

impl Set {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let said = format!("Project {} is changed.", self.name);
        let request = |org| {
            ProjectRequest::Set(SetProject {
                org,
                name: self.name,
                description: self.description,
                copy_out: self.restrict.copy_out,
                delete: self.restrict.delete,
                download: self.restrict.download,
            })
        };
        change(context, request, &said).await
    }
}

impl Archive {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let (name, archived) = (self.name, !self.undo);
        let said = if archived {
            format!(
                "{name} is archived: nothing new happens in it; what runs already runs on, and what waits starts after `--undo`."
            )
        } else {
            format!("{name} is out of the archive.")
        };
        let request = |org| {
            ProjectRequest::Archive(ArchiveProject {
                org,
                name,
                archived,
            })
        };
        change(context, request, &said).await
    }
}

/// Asks for a change, and says that it is made.
async fn change(
    context: &Context,
    request: impl FnOnce(OrgId) -> ProjectRequest,
    said: &str,
) -> Result<(), Problem> {
    match asked(context, request).await? {
        ProjectAnswer::One(project) => context.output.show(
            &*project,
            |project| vec![project.id.to_string()],
            |_| said.to_owned(),
        ),
        ProjectAnswer::Gone => context.output.done(&json!({"gone": true}), said),
        other @ ProjectAnswer::List(_) => Err(unexpected(other)),
    }
}

async fn asked(
    context: &Context,
    request: impl FnOnce(OrgId) -> ProjectRequest,
) -> Result<ProjectAnswer, Problem> {
    let session = context.session().await?;
    let request = Request::Project(request(session.org));
    let answer = ask!(session, request, Answer::Project(answer) => answer)?;
    session.end().await;
    Ok(answer)
}

fn unexpected(answer: ProjectAnswer) -> Problem {
    crate::client::unexpected(&Answer::Project(answer))
}
