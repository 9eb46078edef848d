//! Two gigabytes over loopback, cold, again, and changed by one hundredth.

use std::{fs, path::Path};

use anyhow::Result;

use super::{
    Kind, Place, Tools,
    peers::{BareQuic, Rsync, copy},
    seconds, stage,
    table::{Bound, Table, verdict},
};
use crate::{
    bench::load,
    person::{Person, Voice},
    pool::Pool,
};

/// Of each kind of data.
const MIB: u64 = 2048;
const ROUNDS: usize = 3;
/// How often a job is run with data that is there.
const AGAIN: usize = 10;
const IP: &str = "127.0.0.1";
const ADDRESS: &str = "127.0.0.1:7000";
const LOOPBACK: &str = "lo";
const MACHINE: &str = "box";

pub(super) fn measure(tools: &Tools) -> Result<()> {
    println!("near: loopback, {MIB} MiB of each kind, {ROUNDS} rounds");
    let place = Place::new()?;
    let stage = stage()?;
    let folder = stage.path().to_owned();
    let network = Some(place.pid());
    let pool = Pool::open_at(stage, &tools.programs, Voice::Silent, ADDRESS, network)?;
    let bob = pool.member_in("bob", network)?;
    pool.lend(&bob, MACHINE)?;
    let quic = BareQuic::listen(tools, &place, IP, &folder)?;
    for kind in [Kind::Big, Kind::Small] {
        let mut table = Table::default();
        for round in 1..=ROUNDS {
            one_round(tools, &place, &pool, &quic, kind, &folder, &mut table)?;
            println!(
                "{} files, round {round} of {ROUNDS}; load {}",
                kind.name(),
                load()
            );
        }
        report(kind, &table);
    }
    Ok(())
}

fn one_round(
    tools: &Tools,
    place: &Place,
    pool: &Pool,
    quic: &BareQuic,
    kind: Kind,
    folder: &Path,
    table: &mut Table,
) -> Result<()> {
    let alice = &pool.alice;
    let (outbox, inbox, copies) = (
        folder.join("outbox"),
        folder.join("inbox"),
        folder.join("copies"),
    );
    for path in [&outbox, &inbox, &copies] {
        fs::create_dir_all(path)?;
    }
    let source = outbox.join("data");
    tools.fill(&source, kind.name(), MIB)?;
    let rsync = Rsync::serve(place, IP, folder, &outbox, &inbox)?;

    table.add("bare QUIC, 8 streams", quic.put(place, MIB)?);
    table.add("cp -r", copy(&source, &copies.join("cp"))?);
    fs::remove_dir_all(copies.join("cp"))?;
    table.add("rsync daemon up", rsync.up(place, &source)?);
    fs::remove_dir_all(inbox.join("data"))?;
    let name = format!("{}-data", kind.name());
    let path = source.display().to_string();
    let upload = [
        "compute-share",
        "dataset",
        "upload",
        &path,
        "--name",
        &name,
        "-q",
    ];
    table.measure("dataset upload", (place, LOOPBACK), || time(alice, &upload))?;

    table.add("rsync daemon down", rsync.down(place, "data", &copies)?);
    let to_machine = with_data(&name);
    let plain = without_data();
    table.measure("job, data cold", (place, LOOPBACK), || {
        time(alice, &strs(&to_machine))
    })?;
    let download = [
        "compute-share",
        "dataset",
        "download",
        &name,
        "--to",
        "got",
        "-q",
    ];
    table.measure("dataset download", (place, LOOPBACK), || {
        time(alice, &download)
    })?;
    fs::remove_dir_all(alice.home().join("got"))?;

    for _ in 0..AGAIN {
        table.add(
            "rsync daemon, nothing changed",
            rsync.down(place, "data", &copies)?,
        );
        table.add("job without data", time(alice, &strs(&plain))?);
        table.measure("job, data there", (place, LOOPBACK), || {
            time(alice, &strs(&to_machine))
        })?;
    }
    table.measure("dataset upload, nothing changed", (place, LOOPBACK), || {
        time(alice, &upload)
    })?;

    tools.change(&source, kind)?;
    table.measure("rsync daemon down, 1 % changed", (place, LOOPBACK), || {
        rsync.down(place, "data", &copies)
    })?;
    table.measure("dataset upload, 1 % changed", (place, LOOPBACK), || {
        time(alice, &upload)
    })?;
    table.measure("job, 1 % changed", (place, LOOPBACK), || {
        time(alice, &strs(&to_machine))
    })?;

    alice.does(&["compute-share", "dataset", "delete", &name, "--yes"])?;
    fs::remove_dir_all(&source)?;
    fs::remove_dir_all(&copies)?;
    Ok(())
}

fn with_data(name: &str) -> Vec<String> {
    let mount = format!("{name}:/data");
    let words = [
        "compute-share",
        "run",
        "--no-workdir",
        "--dataset",
        &mount,
        "--",
        "true",
    ];
    words.map(str::to_owned).to_vec()
}

fn without_data() -> Vec<String> {
    ["compute-share", "run", "--no-workdir", "--", "true"]
        .map(str::to_owned)
        .to_vec()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

pub(super) fn time(person: &Person, words: &[&str]) -> Result<f64> {
    seconds(&mut person.command(words))
}

fn report(kind: Kind, table: &Table) {
    let mb = (MIB << 20) as f64 / 1e6;
    table.print(&format!("{} files, {mb:.0} MB", kind.name()), mb);
    let cold = |ours, theirs, most, what| Bound {
        what,
        ours,
        theirs,
        most,
    };
    match kind {
        Kind::Big => table.judge(&[
            cold(
                "job, data cold",
                "bare QUIC, 8 streams",
                1.0 / 0.85,
                "cold beside bare QUIC",
            ),
            cold(
                "dataset upload",
                "bare QUIC, 8 streams",
                1.0 / 0.85,
                "upload beside bare QUIC",
            ),
            cold(
                "job, data cold",
                "rsync daemon down",
                1.0,
                "stretch: cold beside rsync's plaintext",
            ),
            cold(
                "job, 1 % changed",
                "rsync daemon down, 1 % changed",
                0.6,
                "1 % changed beside rsync",
            ),
        ]),
        Kind::Small => table.judge(&[
            cold(
                "job, data cold",
                "rsync daemon down",
                1.0,
                "cold beside rsync",
            ),
            cold(
                "dataset upload",
                "rsync daemon up",
                1.0,
                "upload beside rsync",
            ),
            cold(
                "job, data cold",
                "cp -r",
                1.0 / 0.8,
                "stretch: cold beside cp -r",
            ),
            cold(
                "job, 1 % changed",
                "rsync daemon down, 1 % changed",
                1.0,
                "1 % changed beside rsync",
            ),
        ]),
    }
    let mount = table.median("job, data there") - table.median("job without data");
    println!("  mount of data that is there: {:.2} ms", mount * 1e3);
    verdict(
        "mount beside rsync's look",
        mount / table.median("rsync daemon, nothing changed"),
        0.05,
    );
    let changed = mb * 1e6 / 100.0;
    for name in ["dataset upload, 1 % changed", "job, 1 % changed"] {
        verdict(
            &format!("bytes of {name}, beside those that changed"),
            table.wire(name) / changed,
            1.5,
        );
    }
}
