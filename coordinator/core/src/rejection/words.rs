//! What a person is told: what, why, what to do, and the code.

mod approval;
mod invitation;

use common::{code::Code, problem::Problem, status::Role};

use super::{InvalidJob, LimitReached, Rejection, Was};
use crate::policy::Action;

impl Rejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::WrongCaller => Problem::new(
                Code::Permission,
                "cannot do that",
                "this kind of caller cannot ask for it",
            )
            .help("Sign in as a member; if you have, report this."),
            Self::NotAllowed { action, role } => not_allowed(action, role),
            Self::Project(rejection) => rejection.problem(),
            Self::Dataset(rejection) => rejection.problem(),
            Self::Artifact(rejection) => rejection.problem(),
            Self::Waiting(rejection) => rejection.problem(),
            Self::Rerun(rejection) => rejection.problem(),
            Self::Graph(invalid) => Problem::new(
                Code::BadJobFile,
                "cannot submit this graph",
                invalid.to_string(),
            ),
            Self::OfGraph { name, rejection } => {
                let problem = rejection.problem();
                let what = format!("{name} in the graph: {}", problem.what);
                Problem { what, ..problem }
            }
            Self::Secret(rejection) => rejection.problem(),
            Self::Org(rejection) => rejection.problem(),
            Self::Invitation(rejection) => rejection.problem(),
            Self::Account(rejection) => rejection.problem(),
            Self::Limit(reached) => limit(&reached),
            Self::Approval(rejection) => rejection.problem(),
            Self::NeverFits {
                nearest,
                explanation,
            } => {
                let mut why: Vec<String> = explanation
                    .blockers
                    .iter()
                    .map(|blocker| match blocker.machine_count {
                        0 => blocker.text.clone(),
                        1 => format!("1 machine: {}", blocker.text),
                        count => format!("{count} machines: {}", blocker.text),
                    })
                    .collect();
                if let Some((name, offer)) = nearest {
                    why.push(format!("the nearest, {name}, lends {offer}"));
                }
                let problem = Problem::new(
                    Code::NeverFits,
                    "no machine of the org could ever run this job",
                    why.join("\n"),
                );
                match explanation.smallest_change {
                    None => problem,
                    Some(change) => problem.help(format!("Smallest change: {change}.")),
                }
            }
            Self::CodeInvalid
            | Self::CodeUsed
            | Self::CodeExpired { .. }
            | Self::CodeRevoked
            | Self::CertificateUnknown
            | Self::CertificateRevoked
            | Self::CertificateExpired { .. }
            | Self::MachineState { .. }
            | Self::MachinePending { .. }
            | Self::MachineRejected { .. }
            | Self::MachineRemoved { .. } => self.identity(),
            Self::NoSuchOrg
            | Self::NoSuchMember { .. }
            | Self::NoSuchInvitation
            | Self::NoSuchMachine { .. }
            | Self::NoSuchDataset { .. }
            | Self::NoSuchVersion { .. }
            | Self::NoSuchJob { .. }
            | Self::NoSuchTask { .. }
            | Self::NoArtifacts { .. } => self.missing(),
            _ => self.refused(),
        }
    }

    /// What is not there, or not for the caller.
    fn missing(self) -> Problem {
        let not_found = |what: String, why: &str| Problem::new(Code::NotFound, what, why);
        match self {
            Self::NoSuchOrg => not_found(
                "no such org".to_owned(),
                "it does not exist, or you are not a member of it",
            )
            .help("`compute-share org list` shows yours; `compute-share org use NAME` picks the one that you act in."),
            Self::NoSuchMember { handle } => not_found(
                format!("no member {handle}"),
                "nobody of this name belongs to the org",
            )
            .help("`compute-share member list` shows them."),
            Self::NoSuchInvitation => not_found(
                "no such invitation".to_owned(),
                "the org has none with this id",
            )
            .help("`compute-share invite list` lists them."),
            Self::NoSuchMachine { name: Some(name) } => not_found(
                format!("no machine {name}"),
                "the org has none of this name",
            )
            .help("`compute-share machine list` lists them."),
            Self::NoSuchMachine { name: None } => Problem::new(
                Code::NotRegistered,
                "this machine is not known",
                "no registration belongs to its id and key",
            ),
            Self::NoSuchDataset { name } => not_found(
                format!("no dataset {name}"),
                "the org has none of this name, or you may not read it",
            )
            .help("`compute-share dataset list` lists those that you may read."),
            Self::NoSuchVersion {
                dataset,
                bounds: (first, newest),
                was,
            } => {
                let name = &dataset.name;
                let why = match was {
                    Was::Never => format!("versions of {name} go from {first} to {newest}"),
                    Was::Deleted => "that version was deleted".to_owned(),
                    Was::Restorable { until } => {
                        format!("that version was deleted; it is kept until {}", until.to_second())
                    }
                    Was::Another => {
                        "that version was of another dataset of this name, which was deleted".to_owned()
                    }
                };
                let newest = format!("Use {name}@{newest}, or leave the version out for the newest.");
                not_found(format!("no dataset {dataset}"), &why).help(match was {
                    Was::Restorable { .. } => format!(
                        "`compute-share dataset restore {dataset}` brings it back. Else: {newest}"
                    ),
                    _ => newest,
                })
            }
            Self::NoSuchJob { number } => not_found(
                format!("no job {number}"),
                "the org has none of this number, or it is not yours",
            )
            .help("`compute-share ps` lists yours."),
            Self::NoSuchTask {
                number,
                task,
                tasks,
            } => not_found(
                format!("no task {number}.{task}"),
                &match tasks.as_str() {
                    "0" => format!("job {number} has task 0 only"),
                    _ => format!("job {number} has tasks {tasks}"),
                },
            ),
            Self::NoArtifacts { number, task, lost } => not_found(
                format!("no files of task {number}.{task}"),
                if lost {
                    "they went with the machine before they could be sent"
                } else {
                    "it left none under /output and none that were declared as outputs"
                },
            )
            .help("`compute-share job logs` shows what it did."),
            other => other.refused(),
        }
    }

    /// Codes, certificates, registrations.
    fn identity(self) -> Problem {
        let cannot_join = "cannot use this code";
        let device = "this device is not let in";
        match self {
            Self::CodeInvalid => Problem::new(
                Code::CodeInvalid,
                cannot_join,
                "this coordinator knows no such code for this purpose; it may be another coordinator's",
            ),
            Self::CodeUsed => Problem::new(Code::CodeUsed, cannot_join, "it was used before"),
            Self::CodeExpired { at } => Problem::new(
                Code::CodeExpired,
                cannot_join,
                format!("it expired at {}", at.to_second()),
            ),
            Self::CodeRevoked => Problem::new(Code::CodeRevoked, cannot_join, "it was revoked"),
            Self::CertificateUnknown => Problem::new(
                Code::NotSignedIn,
                device,
                "the coordinator does not know its certificate",
            ),
            Self::CertificateRevoked => Problem::new(
                Code::CertificateRevoked,
                device,
                "its certificate was revoked",
            ),
            Self::CertificateExpired { at, now } => Problem::new(
                Code::CertificateExpired,
                device,
                format!(
                    "its certificate expired at {}; by the coordinator's clock it is {}",
                    at.to_second(),
                    now.to_second()
                ),
            ),
            Self::MachineState { name, state, step } => Problem::new(
                Code::WrongState,
                format!("cannot do that to machine {name}"),
                format!("{step} is not possible while it is {state}"),
            )
            .help(format!(
                "`compute-share machine show {name}` shows its state."
            )),
            Self::MachinePending { name } => Problem::new(
                Code::MachineNotApproved,
                format!("machine {name} cannot take part yet"),
                "it waits for approval",
            )
            .help(format!(
                "Ask an admin to run `compute-share machine approve {name}`."
            )),
            Self::MachineRejected { name, reason } => Problem::new(
                Code::MachineRejected,
                format!("machine {name} was rejected"),
                if reason.is_empty() {
                    "no reason was given".to_owned()
                } else {
                    reason
                },
            )
            .help(format!(
                "Once that is settled, `compute-share register --name {name}` on it asks again."
            )),
            Self::MachineRemoved { name } => Problem::new(
                Code::CertificateRevoked,
                format!("machine {name} cannot take part"),
                "it was removed from the org",
            ),
            other => other.refused(),
        }
    }

    /// Everything else.
    fn refused(self) -> Problem {
        let bad = |what: &str, why: String| Problem::new(Code::BadRequest, what, why);
        match self {
            Self::NameTaken { noun, name } => Problem::new(
                Code::NameTaken,
                format!("cannot use the name {name}"),
                format!("another {noun} has it"),
            ),
            Self::HandleMissing => bad(
                "cannot join without a name",
                "whoever joins chooses the name that others see".to_owned(),
            )
            .help("Add --handle NAME."),
            Self::OwnerStays { handle } => Problem::new(
                Code::OwnerStays,
                format!("cannot remove {handle}"),
                "they are the org's owner, and an org always has one",
            ),
            Self::OwnerRole => Problem::new(
                Code::OneOwner,
                "cannot give or take the role of owner",
                "an org has exactly one owner",
            ),
            Self::InvitationUses { uses } => bad(
                "cannot make this invitation",
                format!(
                    "{uses} uses: it takes 1 to {}",
                    common::org::MAX_INVITATION_USES
                ),
            ),
            Self::InvitationLife => bad(
                "cannot make this invitation",
                "it has to live longer than nothing and at most a year".to_owned(),
            )
            .help("Choose another --ttl, as in 24h."),
            Self::InvitationCodes => bad(
                "cannot make this invitation",
                "its codes cannot be used".to_owned(),
            )
            .help("Try again."),
            Self::Report(invalid) => {
                bad("cannot use what this machine reports", invalid.to_string())
            }
            Self::ReportOrder => bad(
                "cannot use this report of an attempt",
                "the end comes before its files".to_owned(),
            ),
            Self::DatasetText => bad(
                "cannot use this description",
                format!(
                    "it is longer than {} bytes or not plain text",
                    common::dataset::MAX_DESCRIPTION_BYTES
                ),
            ),
            Self::TooManyCertificates { most } => Problem::new(
                Code::Limit,
                "cannot have one more certificate",
                format!("{most} of the same user or machine are good already"),
            )
            .help("Use a device that is signed in, or wait until older ones expire."),
            Self::TooManyLimits { most } => Problem::new(
                Code::Limit,
                "cannot set one more limit for this member",
                format!("at most {most} compute resource types can have one"),
            )
            .help("Take others away first, as in `compute-share member set-limit bob rtx-5090=none`."),
            Self::TooManyVersions { name, most } => Problem::new(
                Code::Limit,
                format!("cannot add a version to {name}"),
                format!("a dataset has at most {most} versions"),
            )
            .help("Begin a dataset of another name."),
            Self::NoLogin => Problem::new(
                Code::NotFound,
                "no login for this attempt",
                "it is not this machine's to run, or its image needs none",
            )
            .help("Nothing is left to do: what this machine should run is said to it anew."),
            Self::DryRun => bad(
                "cannot submit this",
                "it asks only what would happen".to_owned(),
            ),
            Self::Job(invalid @ InvalidJob::NotPinned { .. }) => {
                bad("cannot run this job", invalid.to_string()).help(
                    "Name the image as REGISTRY/NAME@sha256:…; a newer `compute-share` finds the digest of a tag by itself.",
                )
            }
            Self::Job(
                invalid @ (InvalidJob::LoginTooLong | InvalidJob::LoginWithoutRegistry),
            ) => bad("cannot run this job", invalid.to_string()),
            Self::Job(invalid) => {
                Problem::new(Code::BadJobFile, "cannot run this job", invalid.to_string())
            }
            Self::KeyConflict { number } => Problem::new(
                Code::KeyConflict,
                "cannot submit this job with that key",
                format!("job {number} was submitted with it and is another"),
            ),
            Self::JobEnded { number, status } => Problem::new(
                Code::WrongState,
                format!("cannot cancel job {number}"),
                format!("it has ended: {status}"),
            )
            .help("Nothing is left to do."),
            Self::TaskEnded { number, task } => Problem::new(
                Code::WrongState,
                format!("cannot cancel task {number}.{task}"),
                "it has ended",
            )
            .help("Nothing is left to do."),
            other => Problem::new(Code::Internal, "cannot do that", format!("{other:?}")),
        }
    }
}

fn limit(reached: &[LimitReached]) -> Problem {
    let raise = |them| {
        format!(
            "Ask for less, or ask an admin to raise {them}; `compute-share member limits` shows every limit."
        )
    };
    if let [reached] = reached {
        let what = format!("cannot have {}", reached.asked);
        return Problem::new(Code::Limit, what, reached.bound()).help(raise("it"));
    }
    let why: Vec<String> = reached
        .iter()
        .map(|reached| format!("{}: {}", reached.asked, reached.bound()))
        .collect();
    let what = format!("{} limits are in the way", reached.len());
    Problem::new(Code::Limit, what, why.join("\n")).help(raise("them"))
}

fn not_allowed(action: Action, role: Role) -> Problem {
    let least = action.least_role();
    let why = match action.switched() {
        None => format!("your role is {role}; it takes {least}"),
        Some((_, switch)) => {
            format!("your role is {role}; it takes {least}, or the org's setting {switch}")
        }
    };
    let what = format!("you may not {}", action.as_str());
    let problem = Problem::new(Code::Permission, what, why);
    if least == Role::Owner {
        return problem.help("Ask the org's owner; `compute-share org show` names them.");
    }
    problem
}
