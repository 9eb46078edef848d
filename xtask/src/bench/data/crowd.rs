//! One dataset to eight machines on one network, whose coordinator has 100 Mbit/s.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Place, Tools, near::time, stage, table::verdict};
use crate::{
    person::{Person, Voice},
    pool::Pool,
};

const MACHINES: usize = 8;
const MIB: u64 = 64;
/// What leaves the coordinator, in Mbit/s; and each machine, on the network that they share.
const UPLINK: u32 = 100;
const LAN: u32 = 1000;
const COORDINATOR: &str = "10.78.0.100";

/// A network with a switch in the middle.
#[derive(Debug)]
struct Network {
    switch: Place,
    places: Vec<Place>,
}

impl Network {
    fn new() -> Result<Self> {
        let switch = Place::new()?;
        switch.set("ip link add name switch type bridge")?;
        switch.set("ip link set switch up")?;
        Ok(Self {
            switch,
            places: Vec::new(),
        })
    }

    /// Adds a place with an address and what it may send.
    fn join(&mut self, address: &str, mbit: u32) -> Result<u32> {
        let place = Place::new()?;
        let number = self.places.len();
        let pid = place.pid();
        self.switch.set(&format!(
            "ip link add port{number} type veth peer name eth0 netns {pid}"
        ))?;
        self.switch
            .set(&format!("ip link set port{number} master switch"))?;
        self.switch.set(&format!("ip link set port{number} up"))?;
        place.set(&format!("ip address add {address}/24 dev eth0"))?;
        place.set("ip link set eth0 up")?;
        place.set(&format!(
            "tc qdisc add dev eth0 root tbf rate {mbit}mbit burst 128kb latency 50ms"
        ))?;
        self.places.push(place);
        Ok(pid)
    }
}

pub(super) fn measure(tools: &Tools) -> Result<()> {
    println!(
        "\ncrowd: {MIB} MiB to {MACHINES} machines; the coordinator sends {UPLINK} Mbit/s, they {LAN} Mbit/s each"
    );
    let mut network = Network::new()?;
    let stage = stage()?;
    let folder = stage.path().to_owned();
    let coordinator = network.join(COORDINATOR, UPLINK)?;
    let address = format!("{COORDINATOR}:7000");
    let pool = Pool::open_at(
        stage,
        &tools.programs,
        Voice::Silent,
        &address,
        Some(coordinator),
    )?;
    let mut people = Vec::new();
    for number in 0..MACHINES {
        let at = network.join(&format!("10.78.0.{}", number + 1), LAN)?;
        let person = pool.member_in(&format!("member{number}"), Some(at))?;
        pool.lend(&person, &machine(number))?;
        people.push(person);
    }
    let upload = |name: &str| -> Result<()> {
        let source = folder.join(name);
        tools.fill(&source, "big", MIB)?;
        let path = source.display().to_string();
        time(
            &pool.alice,
            &[
                "compute-share",
                "dataset",
                "upload",
                &path,
                "--name",
                name,
                "--visibility",
                "org_read",
                "-q",
            ],
        )
        .map(drop)
    };
    upload("one")?;
    upload("all")?;
    let one = fetch(&people[..1], "one")?;
    let before = network.places[0].traffic("eth0")?;
    let all = fetch(&people, "all")?;
    let sent = (network.places[0].traffic("eth0")? - before) as f64;
    println!("one machine {one:.2} s, {MACHINES} machines {all:.2} s");
    verdict("time to all beside time to one", all / one, 2.2);
    verdict(
        "sent by the coordinator beside the dataset",
        sent / (MIB << 20) as f64,
        1.2,
    );
    Ok(())
}

fn machine(number: usize) -> String {
    format!("box{number}")
}

/// Returns how long it takes until all of these people's machines have the data.
fn fetch(people: &[Person], name: &str) -> Result<f64> {
    let begin = Instant::now();
    let mut running = Vec::new();
    for (number, person) in people.iter().enumerate() {
        let machine = machine(number);
        let warm = [
            "compute-share",
            "dataset",
            "warm",
            name,
            "--machine",
            &machine,
            "--wait",
            "-q",
        ];
        running.push(person.command(&warm).spawn()?);
    }
    for mut child in running {
        ensure!(child.wait()?.success(), "the data did not reach a machine");
    }
    Ok(begin.elapsed().as_secs_f64())
}
