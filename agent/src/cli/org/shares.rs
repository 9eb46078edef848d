//! `org shares`: whose turn it is, and why.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        shares::{Shares, SharesAnswer, SharesRequest},
    },
    problem::Problem,
};

use crate::cli::{
    Context,
    session::{Session, ask},
    table::Table,
};

/// Show whose turn it is: what members hold, used and lent, and what they weigh
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  compute-share org shares
  compute-share member set-weight bob 2
  compute-share project set-weight vision 0.5
  compute-share org set usage_half_life=7d lending_credit=50%

All of it in parts of what the org's machines lend together, the largest of processors, memory and GPUs. Whoever
has the smallest STANDING comes first: what they hold of other members' machines, and what they used of them lately,
less what lending_credit takes off, for their weight; a project's weight counts for its jobs alone. What runs on one's own machine counts nowhere, and comes first there.")]
pub(in crate::cli) struct Show {}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let shares = ask_shares(&session).await?;
        session.end().await;
        let handles = |shares: &Shares| {
            let members = shares.members.iter();
            members.map(|share| share.member.to_string()).collect()
        };
        context.output.show(&shares, handles, text)
    }
}

/// Asks for what the order of members is made of.
pub(in crate::cli) async fn ask_shares(session: &Session) -> Result<Shares, Problem> {
    let request = Request::Shares(SharesRequest::Show { org: session.org });
    ask!(session, request, Answer::Shares(SharesAnswer::Shares(shares)) => shares)
}

pub(in crate::cli) fn text(shares: &Shares) -> String {
    let mut table = Table::new(&[
        "MEMBER",
        ">WEIGHT",
        ">HOLDS",
        ">USED",
        ">LENT",
        ">STANDING",
        ">QUEUED",
    ]);
    for share in &shares.members {
        table.row([
            share.member.to_string(),
            share.weight.to_string(),
            percent(share.holds_ppm),
            percent(share.used_ppm),
            percent(share.lent_ppm),
            percent(share.standing_ppm),
            share.queued.to_string(),
        ]);
    }
    let mut text = table.to_text("No members.").trim_end().to_owned();
    if shares.left_out > 0 {
        text += &format!("\nand {} more", shares.left_out);
    }
    for project in &shares.projects {
        text += &format!("\nproject {} weighs {}", project.project, project.weight);
    }
    text
}

/// Returns millionths as people read them, never as nothing what is something.
fn percent(ppm: u64) -> String {
    match ppm {
        0 => "0%".to_owned(),
        1..=999 => "<0.1%".to_owned(),
        _ => format!("{}.{}%", ppm / 10_000, ppm / 1000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use common::{
        api::shares::{MemberShare, ProjectWeight},
        org::{percent::Percent, retention::Retention},
        weight::Weight,
    };

    use super::*;

    #[test]
    fn who_comes_first_is_first() {
        let share = |member: &str, weight, standing_ppm| MemberShare {
            member: member.parse().unwrap(),
            weight: Weight::thousandths(weight).unwrap(),
            holds_ppm: standing_ppm / 2,
            used_ppm: standing_ppm / 2,
            lent_ppm: 0,
            standing_ppm,
            queued: 3,
        };
        let shares = Shares {
            usage_half_life: Retention::days(1),
            lending_credit: Percent::default(),
            members: vec![
                share("bob", 2000, 0),
                share("carol", 1000, 900),
                share("dave", 500, 1_234_567),
            ],
            left_out: 4,
            projects: vec![ProjectWeight {
                project: "vision".parse().unwrap(),
                weight: Weight::thousandths(1500).unwrap(),
            }],
        };
        assert_eq!(
            anstream::adapter::strip_str(&text(&shares)).to_string(),
            "\
MEMBER  WEIGHT  HOLDS   USED  LENT  STANDING  QUEUED
bob          2     0%     0%    0%        0%       3
carol        1  <0.1%  <0.1%    0%     <0.1%       3
dave       0.5  61.7%  61.7%    0%    123.4%       3
and 4 more
project vision weighs 1.5"
        );
    }
}
