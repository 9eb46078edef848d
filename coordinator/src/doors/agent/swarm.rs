//! A machine that fetches a tree is told, block by block, from whom.

use std::time::Duration;

use common::{
    code::Code,
    id::TreeId,
    problem::Problem,
    wire::peer::{Contact, GRANT_LIFE_MS, Grant, MAX_NEWS, SwarmNews, SwarmOrders},
};
use coordinator_core::{query::access, swarm::Blocks};
use link::frames::{FrameReceiver, FrameSender};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Agent, streams::not_wanted};
use crate::{
    doors::HELLO_TIMEOUT,
    swarms::{Key, Member, Reached, same_machines},
};

/// How often it is looked whether somebody waits too long.
const LOOK: Duration = Duration::from_millis(250);
/// How often grants are made anew: each is good until the next has come.
const RENEW: Duration = Duration::from_millis(GRANT_LIFE_MS / 3);
/// Most machines with the whole tree that are told of.
const MAX_HOLDERS: usize = 16;

/// Serves a stream whose first frame was read. `may` says whether the machine may still have the tree.
///
/// # Errors
/// The machine may not have it, there is no room, or it breaks the protocol.
pub(super) async fn serve(
    agent: &Agent,
    tree: TreeId,
    blocks: u32,
    may: impl Fn() -> Result<(), Problem>,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, rx.expect::<SwarmNews>()).await;
    let mut first = first.map_err(|_| protocol("nothing was said"))??;
    let lacks = Blocks::from_words(blocks, std::mem::take(&mut first.lacks));
    let member = join(
        agent,
        tree,
        blocks,
        lacks.ok_or_else(|| protocol("it lacks what there is not"))?,
    )?;
    take(&member, &first)?;
    let mut told = Told::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        agent.authorise()?;
        may()?;
        if let Some(orders) = told.next(agent, tree, &member)? {
            send(tx, &orders).await?;
        }
        tokio::select! {
            news = rx.recv::<SwarmNews>() => match news? {
                Some(news) => take(&member, &news)?,
                None => return Ok(()),
            },
            () = member.wake.notified() => {}
            _ = look.tick() => {}
        }
    }
}

/// One that does not read is given up.
async fn send(tx: &mut FrameSender, orders: &SwarmOrders) -> Result<(), Problem> {
    let sent = tokio::time::timeout(HELLO_TIMEOUT, tx.send(orders)).await;
    Ok(sent.map_err(|_| protocol("it does not listen"))??)
}

fn join(agent: &Agent, tree: TreeId, blocks: u32, lacks: Blocks) -> Result<Member, Problem> {
    let swarms = &agent.desk.wires.swarms;
    let (org, holders) = {
        let state = agent.desk.engine.read();
        let org = access::org_of_machine(&state, agent.machine).ok_or_else(not_wanted)?;
        let open = |machine| machine != agent.machine && swarms.has_door(machine);
        let holders = access::machines_with(&state, org, tree, open, MAX_HOLDERS);
        (org, holders)
    };
    let key = Key { org, tree, blocks };
    swarms
        .join(key, agent.machine, lacks, &holders)
        .ok_or_else(|| {
            let why = "the coordinator looks after as many as it can";
            Problem::new(Code::Busy, "The data has to be fetched without others", why)
        })
}

fn take(member: &Member, news: &SwarmNews) -> Result<(), Problem> {
    if news.done.len().max(news.reached.len()).max(news.lost.len()) > MAX_NEWS {
        return Err(protocol("it says too much at once"));
    }
    member.on_news(news);
    Ok(())
}

/// What the machine was told last.
#[derive(Debug, Default)]
struct Told {
    contacts: Vec<Reached>,
    at: Option<Instant>,
}

impl Told {
    /// Returns what is new.
    fn next(
        &mut self,
        agent: &Agent,
        tree: TreeId,
        member: &Member,
    ) -> Result<Option<SwarmOrders>, Problem> {
        let (orders, contacts) = member.next();
        let old = self.at.is_none_or(|at| at.elapsed() >= RENEW);
        let mut news = SwarmOrders {
            orders,
            contacts: Vec::new(),
        };
        if !contacts.is_empty() && (old || !same_machines(&contacts, &self.contacts)) {
            let granted = contacts.iter().map(|reached| grant(agent, tree, reached));
            news.contacts = granted.collect::<Result<_, _>>()?;
            self.at = Some(Instant::now());
        }
        self.contacts = contacts;
        let nothing = news.orders.is_empty() && news.contacts.is_empty();
        Ok((!nothing).then_some(news))
    }
}

/// Lets the machine have the tree from one other, for a moment: what is revoked or lost is not given again.
fn grant(agent: &Agent, tree: TreeId, (from, addresses): &Reached) -> Result<Contact, Problem> {
    let desk = &*agent.desk;
    let life = Duration::from_millis(GRANT_LIFE_MS);
    let grant = Grant {
        tree,
        from: *from,
        to: agent.machine,
        certificate: agent.session.serial(),
        expires_at: desk.now().saturating_add(life),
    };
    let signed = desk.authority.sign_grant(grant).map_err(|error| {
        let why = crate::store::chain(&error);
        Problem::new(Code::Internal, "A grant could not be signed", why)
    })?;
    Ok(Contact {
        addresses: addresses.clone(),
        grant: signed,
    })
}

fn protocol(why: &str) -> Problem {
    Problem::new(Code::Protocol, "The machine cannot be understood", why)
}
