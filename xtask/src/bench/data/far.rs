//! Where people really are: 100 Mbit/s, 40 ms there and back, one packet in a hundred lost.

use std::{fs, path::Path};

use anyhow::Result;

use super::{
    Kind, Place, Tools,
    near::time,
    peers::{BareQuic, Rsync},
    place::{DEVICE, LEFT, Line, Quality, RIGHT},
    stage,
    table::{Bound, Table, verdict},
};
use crate::{bench::load, person::Voice, pool::Pool};

const QUALITY: Quality = Quality {
    mbit: 100.0,
    delay_ms: 20.0,
    loss_percent: 1.0,
};
const MIB: u64 = 24;
const ROUNDS: usize = 3;

pub(super) fn measure(tools: &Tools) -> Result<()> {
    let Quality {
        mbit,
        delay_ms,
        loss_percent,
    } = QUALITY;
    println!(
        "\nfar: {mbit} Mbit/s, {} ms there and back, {loss_percent} % loss, {MIB} MiB of each kind",
        2.0 * delay_ms
    );
    let (home, office) = (Place::new()?, Place::new()?);
    let _line = Line::between(&home, &office, QUALITY, &tools.rig)?;
    let stage = stage()?;
    let folder = stage.path().to_owned();
    let address = format!("{RIGHT}:7000");
    let pool = Pool::open_at(
        stage,
        &tools.programs,
        Voice::Silent,
        &address,
        Some(office.pid()),
    )?;
    let bob = pool.member_in("bob", Some(home.pid()))?;
    pool.lend(&bob, "laptop")?;
    let quic = BareQuic::dropping(tools, &office, RIGHT, &folder)?;
    for kind in [Kind::Big, Kind::Small] {
        let mut table = Table::default();
        for round in 1..=ROUNDS {
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
            table.time("bare QUIC, 8 streams, CUBIC, a twelfth of it", || {
                quic.put(&home, MIB / 12)
            })?;
            let rsync = Rsync::serve(&office, RIGHT, &folder, &outbox, &inbox)?;
            table.time("rsync daemon up", || rsync.up(&home, &source))?;
            table.time("rsync daemon down", || rsync.down(&home, "data", &copies))?;
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
            table.measure("dataset upload", (&home, DEVICE), || time(&bob, &upload))?;
            let mount = format!("{name}:/data");
            let job = [
                "compute-share",
                "run",
                "--no-workdir",
                "--dataset",
                &mount,
                "--",
                "true",
            ];
            table.measure("job, data cold", (&home, DEVICE), || time(&bob, &job))?;
            tools.change(&source, kind)?;
            table.measure("rsync daemon down, 1 % changed", (&home, DEVICE), || {
                rsync.down(&home, "data", &copies)
            })?;
            table.measure("dataset upload, 1 % changed", (&home, DEVICE), || {
                time(&bob, &upload)
            })?;
            table.measure("job, 1 % changed", (&home, DEVICE), || time(&bob, &job))?;
            clear(&pool, &name, &source, &copies, &inbox)?;
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

fn clear(pool: &Pool, name: &str, source: &Path, copies: &Path, inbox: &Path) -> Result<()> {
    pool.alice
        .does(&["compute-share", "dataset", "delete", name, "--yes"])?;
    for path in [source, copies, inbox] {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

fn report(kind: Kind, table: &Table) {
    let mb = (MIB << 20) as f64 / 1e6;
    table.print(
        &format!("{} files, {mb:.0} MB, over {LEFT} - {RIGHT}", kind.name()),
        mb,
    );
    let line = mb * 8.0 / QUALITY.mbit;
    for name in ["dataset upload", "job, data cold"] {
        verdict(
            &format!("{name} beside what the line can carry"),
            table.median(name) / line,
            1.0 / 0.7,
        );
    }
    for name in ["dataset upload", "job, data cold"] {
        verdict(
            &format!("bytes of {name} on the wire beside those there are"),
            table.wire(name) / (mb * 1e6),
            1.25,
        );
    }
    let bound = |what, ours, theirs| Bound {
        what,
        ours,
        theirs,
        most: 1.0,
    };
    table.judge(&[
        bound("upload beside rsync", "dataset upload", "rsync daemon up"),
        bound("cold beside rsync", "job, data cold", "rsync daemon down"),
        bound(
            "1 % changed beside rsync",
            "job, 1 % changed",
            "rsync daemon down, 1 % changed",
        ),
    ]);
}
