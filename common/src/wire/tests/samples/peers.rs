//! Machines among one another.

use super::super::Sample;
use super::nouns::{AT, MACHINE, TREE};
use crate::id::CertificateSerial;
use crate::wire::agent::{AgentMessage, AgentStream};
use crate::wire::peer::{
    Contact, Done, Grant, Lost, LostWhy, Order, PeerDoor, PeerStream, SignedGrant, Source,
    SwarmNews, SwarmOrders,
};

pub(super) fn peers() -> Vec<Sample> {
    let addresses = vec![
        "10.0.0.7:7444".parse().unwrap(),
        "[fd00::7]:7444".parse().unwrap(),
    ];
    let grant = SignedGrant {
        grant: Grant {
            tree: TREE,
            from: MACHINE,
            to: MACHINE,
            certificate: CertificateSerial::new([5; 16]),
            expires_at: AT,
        },
        signature: vec![6; 64],
    };
    let lost = [
        LostWhy::Unreachable,
        LostWhy::Refused,
        LostWhy::Slow,
        LostWhy::Lied,
    ];
    let lost = lost.map(|why| Lost {
        machine: MACHINE,
        why,
    });
    let done = Done {
        block: 3,
        from: Source::Coordinator,
        came: true,
    };
    let order = Order {
        block: 4,
        from: Source::Peer(MACHINE),
    };
    let door = PeerDoor {
        addresses: addresses.clone(),
    };
    let (tree, blocks) = (TREE, 9);
    vec![
        Sample::new("door", &AgentMessage::Door(door)),
        Sample::new("swarm", &AgentStream::Swarm { tree, blocks }),
        Sample::new(
            "swarm_news",
            &SwarmNews {
                lacks: vec![0x1ff],
                done: vec![done],
                reached: vec![MACHINE],
                lost: lost.to_vec(),
            },
        ),
        Sample::new(
            "swarm_orders",
            &SwarmOrders {
                orders: vec![order],
                contacts: vec![Contact {
                    addresses,
                    grant: grant.clone(),
                }],
            },
        ),
        Sample::new("peer_chunks", &PeerStream::Chunks { grant }),
    ]
}
