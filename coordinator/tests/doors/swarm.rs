//! Machines are told from whom to get a tree: only who may have it, only machines of the org, for a moment.

use std::net::SocketAddr;

use certs::Subject;
use common::{
    code::Code,
    id::{IdempotencyKey, MachineId, TreeId},
    problem::Problem,
    time::Timestamp,
    units::MilliCpu,
    wire::{
        agent::{AgentMessage, AgentStream, ReportStage},
        peer::{Done, MAX_NEWS, PeerDoor, Source, SwarmNews, SwarmOrders},
    },
};
use link::frames::{self, FrameReceiver, FrameSender};

use crate::{
    lab::Lab,
    machine::{Control, Machine, ended, job, machine_of, submit},
    trees::send,
};

/// Comes to the swarm of a tree of so many blocks, lacking all of them.
async fn come(control: &Control, tree: TreeId, blocks: u32) -> (FrameSender, FrameReceiver) {
    let stream = control.connection.open_bi().await.unwrap();
    let (mut tx, rx) = frames::split(stream);
    tx.send(&AgentStream::Swarm { tree, blocks }).await.unwrap();
    let lacks = vec![(1 << blocks) - 1];
    let news = SwarmNews {
        lacks,
        ..SwarmNews::default()
    };
    tx.send(&news).await.unwrap();
    (tx, rx)
}

async fn refusal(control: &Control, tree: TreeId) -> Code {
    let (_tx, mut rx) = come(control, tree, 8).await;
    let refused = rx.expect::<SwarmOrders>().await.unwrap_err();
    Problem::from(refused).code
}

async fn open_door(control: &mut Control, addresses: &[&str]) {
    let at = addresses.iter().map(|at| at.parse::<SocketAddr>().unwrap());
    let addresses = at.collect();
    let door = AgentMessage::Door(PeerDoor { addresses });
    control.tx.send(&door).await.unwrap();
    control.settled().await;
}

fn id(machine: &Machine) -> MachineId {
    match machine.identity.peer().subject {
        Subject::Machine(id) => id,
        Subject::User(_) => panic!("a machine has a machine's certificate"),
    }
}

fn news(block: u32, from: Source) -> SwarmNews {
    let came = true;
    SwarmNews {
        done: vec![Done { block, from, came }],
        ..SwarmNews::default()
    }
}

#[tokio::test]
async fn machines_are_told_of_one_another_as_long_as_they_may_have_the_tree() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machines = [
        machine_of(&lab, &owner, &owner, "one").await,
        machine_of(&lab, &owner, &owner, "two").await,
    ];
    let mut one = Control::open(&lab, &machines[0], Vec::new()).await;
    let mut two = Control::open(&lab, &machines[1], Vec::new()).await;
    let (tree, _) = send(&member, owner.org, b"the files of two jobs").await;
    assert_eq!(
        refusal(&one, tree).await,
        Code::NotFound,
        "it runs nothing that needs it"
    );
    for key in [1, 2] {
        let mut request = job(owner.org);
        request.spec.workdir = Some(tree);
        // All of a machine, so that each gets one.
        request.spec.request.cpu = MilliCpu::cpus(4);
        request.key = IdempotencyKey::from_bytes([key; 16]);
        submit(&member, request).await;
    }
    one.assignment(|set| set.attempts.len() == 1).await;
    let set = two.assignment(|set| set.attempts.len() == 1).await;
    let attempt = set.attempts[0].attempt;
    open_door(&mut one, &["127.0.0.1:7001", "198.51.100.9:7001"]).await;
    open_door(&mut two, &["127.0.0.1:7002", "10.1.2.3:7002"]).await;

    let (mut to_one, mut of_one) = come(&one, tree, 8).await;
    let alone: SwarmOrders = of_one.expect().await.unwrap();
    assert_eq!(alone.orders.len(), 4, "nobody else fetches");
    assert!(alone.contacts.is_empty());
    let (mut to_two, mut of_two) = come(&two, tree, 8).await;
    let told: SwarmOrders = of_two.expect().await.unwrap();
    let contact = &told.contacts[0];
    let at: Vec<SocketAddr> = vec!["127.0.0.1:7001".parse().unwrap()];
    assert_eq!(contact.addresses, at, "not at a stranger's");
    let grant = &contact.grant.grant;
    assert_eq!(
        (grant.tree, grant.from, grant.to),
        (tree, id(&machines[0]), id(&machines[1]))
    );
    assert_eq!(grant.certificate, machines[1].identity.peer().serial);
    let checked = machines[0].identity.check_grant(
        &contact.grant,
        id(&machines[0]),
        id(&machines[1]),
        grant.certificate,
        Timestamp::from_unix_ms(grant.expires_at.unix_ms() - 1),
    );
    assert_eq!(checked, Ok(()), "the other machine believes it");

    // What the first has is ordered from it, once there is a connection.
    let came = alone.orders[0].block;
    to_one.send(&news(came, Source::Coordinator)).await.unwrap();
    let mut reached = SwarmNews::default();
    reached.reached.push(id(&machines[0]));
    to_two.send(&reached).await.unwrap();
    let from_one = loop {
        let orders: SwarmOrders = of_two.expect().await.unwrap();
        let mut orders = orders.orders.into_iter();
        let found = orders.find(|order| order.block == came);
        if let Some(order) = found {
            break order;
        }
    };
    assert_eq!(from_one.from, Source::Peer(id(&machines[0])));

    // Whose job is over has no right to it any more, and hears so.
    two.say(attempt, ended(0)).await;
    two.acknowledged(attempt, ReportStage::Ended).await;
    let refused = loop {
        match of_two.expect::<SwarmOrders>().await {
            Ok(_) => {}
            Err(error) => break Problem::from(error),
        }
    };
    assert_eq!(refused.code, Code::NotFound);
}

#[tokio::test]
async fn who_says_nonsense_is_refused() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine_of(&lab, &owner, &owner, "one").await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let (tree, _) = send(&member, owner.org, b"the files of a job").await;
    let mut request = job(owner.org);
    request.spec.workdir = Some(tree);
    submit(&member, request).await;
    control.assignment(|set| set.attempts.len() == 1).await;
    let many = SwarmNews {
        reached: vec![id(&machine); MAX_NEWS + 1],
        ..SwarmNews::default()
    };
    let beyond = SwarmNews {
        lacks: vec![u64::MAX],
        ..SwarmNews::default()
    };
    let long = SwarmNews {
        lacks: vec![0; 9],
        ..SwarmNews::default()
    };
    for (what, blocks, first) in [
        ("blocks that there are not", 8, &beyond),
        ("too long a list of blocks", 8, &long),
        ("too many machines", 64, &many),
        ("more blocks than a tree has", u32::MAX, &beyond),
        ("no blocks", 0, &SwarmNews::default()),
    ] {
        let stream = control.connection.open_bi().await.unwrap();
        let (mut tx, mut rx) = frames::split(stream);
        tx.send(&AgentStream::Swarm { tree, blocks }).await.unwrap();
        tx.send(first).await.unwrap();
        let refused = rx.expect::<SwarmOrders>().await;
        let code = Problem::from(refused.unwrap_err()).code;
        assert!(
            [Code::Protocol, Code::Busy].contains(&code),
            "{what}: {code}"
        );
    }
    control.settled().await;
}
