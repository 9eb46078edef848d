//! `machine label`: what admins say of a machine, for jobs to ask for by name.

use clap::Args;
use common::{
    api::{
        Request,
        machine::{LabelMachine, MachineRequest},
    },
    code::Code,
    label,
    name::Name,
    problem::Problem,
};

use super::{super::Context, change};

/// Say of a machine what jobs can ask for
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share machine label bob-workstation ssd zone=a\n  compute-share machine label bob-workstation --unset zone\n\nIts owner does so in owner.yaml (`labels: [ssd]`); what is said here wins."
)]
pub(in super::super) struct Label {
    name: Name,
    /// A word, or one with a value
    #[arg(value_name = "KEY[=VALUE]")]
    set: Vec<label::Label>,
    /// Take back what was said here of this key
    #[arg(long, value_name = "KEY")]
    unset: Vec<label::Label>,
}

impl Label {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { name, set, unset } = self;
        if set.is_empty() && unset.is_empty() {
            let why = "nothing says what to change";
            let problem = Problem::new(Code::BadRequest, "no label was given", why);
            return Err(problem.help("Name a label, as in ssd or zone=a, or one to --unset."));
        }
        let sentence =
            format!("{name} is labelled; `compute-share machine show {name}` shows all.");
        let machine = name.clone();
        change(context, &name, &sentence, |org| {
            Request::Machine(MachineRequest::Label(LabelMachine {
                org,
                name: machine,
                set,
                unset,
            }))
        })
        .await
    }
}
