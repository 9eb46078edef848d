//! `machine why`: why a machine gets nothing, in the words of `job why`.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        machine::{Lately, MachineExplanation, MachineRequest, Obstacle},
    },
    name::Name,
    problem::Problem,
};

use super::super::{Context, amounts::counted, moments::local, session::ask, table::Table};

/// Say why a machine gets nothing, or what it could run now (for its owner and admins)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine why bob-workstation")]
pub(in super::super) struct Why {
    name: Name,
}

impl Why {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::Machine(MachineRequest::Explain {
            org: session.org,
            name: self.name,
        });
        let explanation = ask!(session, request, Answer::MachineExplanation(it) => it)?;
        session.end().await;
        context.output.show(&*explanation, codes, text)
    }
}

/// Returns the codes of all that is in the way.
fn codes(explanation: &MachineExplanation) -> Vec<String> {
    let classes = explanation.classes.iter();
    let all = classes.flat_map(|class| &class.obstacles);
    let all = explanation.obstacles.iter().chain(all);
    let mut codes: Vec<String> = Vec::new();
    for one in all.map(|one| one.code.as_str().to_owned()) {
        if !codes.contains(&one) {
            codes.push(one);
        }
    }
    codes
}

fn text(explanation: &MachineExplanation) -> String {
    let MachineExplanation {
        machine, status, ..
    } = explanation;
    let mut text = format!("{machine} is {status}.\n{}\n", lately(&explanation.lately));
    if !explanation.obstacles.is_empty() {
        let mut table = Table::new(&["IN ITS WAY", "WHY"]);
        for Obstacle { code, text } in &explanation.obstacles {
            table.row([code.as_str().to_owned(), text.clone()]);
        }
        text += &format!("\n{}", table.to_text(""));
    }
    text += &format!("\n{}\n", waiting(explanation));
    if !explanation.classes.is_empty() {
        text += &format!("\n{}", classes(explanation));
    }
    if explanation.classes_left_out > 0 {
        text += &format!("and {} more kinds\n", explanation.classes_left_out);
    }
    text
}

fn lately(lately: &Lately) -> String {
    let tasks = counted(lately.tasks, "task");
    let running = match lately.running {
        0 => String::new(),
        running => format!(", {running} running now"),
    };
    let since = local(lately.since);
    format!(
        "Since {since}: {tasks} done{running}, {} of work.",
        lately.busy
    )
}

/// Returns how much waits, and how much of that could start here.
fn waiting(explanation: &MachineExplanation) -> String {
    let later = match explanation.not_ready {
        0 => String::new(),
        tasks => format!(" (and {tasks} more that something else holds up)"),
    };
    if explanation.waiting == 0 {
        return format!("Nothing waits in the org{later}.");
    }
    let free = explanation.classes.iter();
    let free = free.filter(|class| class.obstacles.is_empty());
    let here = match free.map(|class| class.tasks).sum::<u64>() {
        0 => "none can start here".to_owned(),
        tasks => format!("{tasks} could start here"),
    };
    let tasks = counted(explanation.waiting, "task");
    let wait = match explanation.waiting {
        1 => "waits",
        _ => "wait",
    };
    format!("{tasks} {wait} in the org{later}; {here}.")
}

fn classes(explanation: &MachineExplanation) -> String {
    let mut table = Table::new(&[">TASKS", "ASK FOR", "BLOCKER", "WHY NOT HERE"]);
    for class in &explanation.classes {
        let (tasks, asks) = (class.tasks.to_string(), class.asks.clone());
        let Some((first, rest)) = class.obstacles.split_first() else {
            let now = "could start any moment".to_owned();
            table.row([tasks, asks, String::new(), now]);
            continue;
        };
        table.row([
            tasks,
            asks,
            first.code.as_str().to_owned(),
            first.text.clone(),
        ]);
        for Obstacle { code, text } in rest {
            let none = String::new();
            table.row([none.clone(), none, code.as_str().to_owned(), text.clone()]);
        }
    }
    table.to_text("")
}

#[cfg(test)]
mod tests {
    use common::{
        api::{explain::BlockerCode, machine::WaitingClass},
        status::MachineStatus,
        time::{Span, Timestamp},
    };

    use super::*;

    fn obstacle(code: BlockerCode, text: &str) -> Obstacle {
        Obstacle {
            code,
            text: text.to_owned(),
        }
    }

    fn explanation() -> MachineExplanation {
        let class = |tasks, asks: &str, obstacles| WaitingClass {
            tasks,
            asks: asks.to_owned(),
            obstacles,
        };
        MachineExplanation {
            machine: "box".parse().unwrap(),
            status: MachineStatus::Paused,
            obstacles: vec![obstacle(
                BlockerCode::MachinePaused,
                "its owner has paused it",
            )],
            lately: Lately {
                since: Timestamp::default(),
                tasks: 3,
                running: 1,
                busy: Span::from_secs(5400),
            },
            waiting: 41,
            not_ready: 2,
            classes: vec![
                class(1, "1 CPU, 1 GiB", Vec::new()),
                class(
                    40,
                    "8 CPUs, 64 GiB",
                    vec![
                        obstacle(BlockerCode::TooSmallCpu, "asks for 8 CPUs"),
                        obstacle(BlockerCode::MachinePaused, "lends nothing"),
                    ],
                ),
            ],
            classes_left_out: 1,
        }
    }

    #[test]
    fn all_that_is_in_the_way_is_told() {
        let text = anstream::adapter::strip_str(&text(&explanation())).to_string();
        let (_, told) = text.split_once('\n').unwrap();
        assert!(told.contains(": 3 tasks done, 1 running now, 1h 30m of work."));
        let (_, told) = told.split_once('\n').unwrap();
        assert_eq!(
            told,
            "\nIN ITS WAY      WHY\n\
             machine_paused  its owner has paused it\n\
             \n\
             41 tasks wait in the org (and 2 more that something else holds up); 1 could start here.\n\
             \n\
             TASKS  ASK FOR         BLOCKER         WHY NOT HERE\n    \
             1  1 CPU, 1 GiB                    could start any moment\n   \
             40  8 CPUs, 64 GiB  too_small_cpu   asks for 8 CPUs\n                       \
             machine_paused  lends nothing\n\
             and 1 more kinds\n"
        );
        assert_eq!(codes(&explanation()), ["machine_paused", "too_small_cpu"]);
    }

    #[test]
    fn an_org_without_work_is_the_reason() {
        let idle = MachineExplanation {
            obstacles: Vec::new(),
            waiting: 0,
            not_ready: 0,
            classes: Vec::new(),
            classes_left_out: 0,
            ..explanation()
        };
        assert!(text(&idle).ends_with("\nNothing waits in the org.\n"));
    }
}
