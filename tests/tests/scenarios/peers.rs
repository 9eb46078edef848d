//! Machines fetch data from one another.

use std::fs;

use compute_share_tests::{Org, Person, until};

const MEBIBYTES: u32 = 12;

fn rules(person: &Person, text: &str) {
    fs::create_dir_all(person.agent_folder()).unwrap();
    fs::write(person.agent_folder().join("owner.yaml"), text).unwrap();
}

/// Runs something that needs the data, on the one machine that lends.
fn use_data(person: &Person) {
    let arguments = [
        "run",
        "--no-workdir",
        "--memory",
        "32MiB",
        "--dataset",
        "noise:/data",
        "--",
        "sh",
        "-c",
        "wc -c < /data/noise",
    ];
    let run = person.run(&arguments).expect_success();
    assert_eq!(run.stdout.trim(), (MEBIBYTES << 20).to_string());
}

fn moved(person: &Person) -> (u64, u64) {
    let peers = &person.json(&["status"])["peers"];
    let bytes = |key: &str| peers[key].as_u64().unwrap();
    (bytes("served"), bytes("fetched"))
}

#[test]
fn the_second_machine_fetches_from_the_first_and_one_that_is_switched_off_does_not() {
    let org = Org::start_with("heartbeat = \"500ms\"\n");
    let people: Vec<Person> = ["bob", "carol", "dave"]
        .map(|handle| org.join(handle))
        .into();
    rules(
        &people[0],
        "data: {peers: on, peer_rate: 1Gbit, peer_address: 127.0.0.1:0}\n",
    );
    rules(&people[1], "data: {peer_address: 127.0.0.1:0}\n");
    rules(&people[2], "data: {peers: off}\n");
    let data = org.folder().join("noise");
    fs::create_dir(&data).unwrap();
    let noise: Vec<u8> = (0..MEBIBYTES << 18)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(data.join("noise"), noise).unwrap();
    org.alice
        .run(&[
            "dataset",
            "upload",
            data.to_str().unwrap(),
            "--name",
            "noise",
        ])
        .expect_success();

    let _one = org.agent(&people[0], "one");
    use_data(&org.alice);
    until("the coordinator to hear who has the data", || {
        let machine = org.alice.json(&["machine", "show", "one"]);
        let cached = machine["cached"].as_array()?.len();
        (cached > 0 && machine["load"]["peers"]["serves"] == true).then_some(())
    });
    // Who has paused lends nothing new; what lies there can be fetched all the same.
    people[0].run(&["pause"]).expect_success();
    let _two = org.agent(&people[1], "two");
    use_data(&org.alice);
    let whole = u64::from(MEBIBYTES) << 20;
    let (served, fetched) = (moved(&people[0]).0, moved(&people[1]).1);
    // One block comes from the coordinator while it is not known yet who can be reached.
    assert!(
        fetched >= whole * 3 / 4,
        "{fetched} of {whole} came from the first machine"
    );
    assert!(served >= fetched, "{served} were sent");

    people[1].run(&["pause"]).expect_success();
    let _three = org.agent(&people[2], "three");
    use_data(&org.alice);
    assert_eq!(moved(&people[2]), (0, 0));
    let shown = people[2].run(&["status"]).expect_success();
    assert!(
        shown.stdout.contains("not shared with other machines"),
        "{}",
        shown.stdout
    );
}
