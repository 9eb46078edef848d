//! `cargo xtask demo`: the story of the first ten minutes with the real programs and a real dataset.

mod accuracy;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    person::{Person, Voice},
    pool::Pool,
    stage::Stage,
    workspace::{Profile, build_example, build_programs, quote},
};

/// The story takes a few seconds; a machine under load many more.
const LIMIT: Duration = Duration::from_secs(300);

/// The depths that the job array tries: a task's index is its tree's depth.
const DEPTHS: std::ops::RangeInclusive<u32> = 1..=6;

/// What the uploaded table is called in the dataset.
const TABLE: &str = "winequality-red.csv";

/// What programs print for EROFS.
const READ_ONLY: &str = "Read-only file system";

/// Exit code of a command that was refused.
const REFUSED: i32 = 3;

/// Runs the command.
///
/// # Errors
/// The build or any step of the story fails.
pub(crate) fn run(keep: bool) -> Result<()> {
    let programs = build_programs(Profile::Dev)?;
    let example = build_example()?;

    let begin = Instant::now();
    let stage = Stage::open("compute-share-demo-", LIMIT)?;
    let pool = tell(stage, &programs, &example)?;
    if keep {
        explain_how_to_go_on(pool, &programs);
    } else {
        drop(pool);
        chapter("The end: every process was stopped, the temporary folder removed");
    }
    println!(
        "\ndemo: done in {:.1} s after the build",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn tell(stage: Stage, programs: &Path, example: &Path) -> Result<Pool> {
    chapter("Alice sets an org up and signs in");
    let pool = Pool::open(stage, programs, Voice::Loud)?;
    let alice = &pool.alice;

    chapter("Bob and Carol join and lend their machines; Alice approves them");
    for (handle, machine) in [("bob", "bob-workstation"), ("carol", "carol-laptop")] {
        let person = pool.member(handle)?;
        pool.lend(&person, machine)?;
    }
    alice.does(&["compute-share", "machine", "list"])?;

    chapter("Alice uploads a dataset: 1,599 red wines, what is in them, and how good they are");
    upload_wine(alice, example)?;

    chapter("One job, six tasks: a decision tree for each depth, on other members' machines");
    let job = train(alice, example)?;
    print_accuracies(alice, &job)?;

    chapter("Nobody can change a dataset, not even for their own job");
    try_to_spoil(alice)?;

    chapter("What can never run is refused at once, with the reason");
    ask_for_too_much(alice)?;

    chapter("What happened");
    alice.does(&["compute-share", "ps", "--all"])?;
    Ok(pool)
}

fn upload_wine(alice: &Person, example: &Path) -> Result<()> {
    let folder = alice.home().join("wine");
    fs::create_dir_all(&folder).context("cannot make the dataset's folder")?;
    let export = std::process::Command::new(example.join("export-wine"))
        .arg(folder.join(TABLE))
        .status()
        .context("cannot export the dataset")?;
    ensure!(
        export.success(),
        "the export of the dataset ended with {export}"
    );
    alice.does(&[
        "compute-share",
        "dataset",
        "upload",
        "wine",
        "--name",
        "wine",
    ])?;
    alice.does(&["compute-share", "dataset", "list"])?;
    Ok(())
}

/// Runs the array with live logs and fetches what it left. Returns the job's number.
fn train(alice: &Person, example: &Path) -> Result<String> {
    let folder = alice.home().join("train");
    fs::create_dir_all(&folder).context("cannot make the work folder")?;
    fs::copy(example.join("train-depth"), folder.join("train-depth"))
        .context("cannot fill the work folder")?;
    let array = format!("{}-{}", DEPTHS.start(), DEPTHS.end());
    let table = format!("/data/{TABLE}");
    let what = ["--name", "depths", "--array", &array, "--workdir", "train"];
    let with = [
        "--cpu",
        "1",
        "--memory",
        "256MiB",
        "--disk",
        "64MiB",
        "--dataset",
        "wine:/data",
    ];
    let program = ["--", "./train-depth", &table];
    let submit = ["compute-share", "submit"];
    let submitted = alice.does(&[&submit[..], &what, &with, &program].concat())?;
    let job = submitted.number()?.to_owned();
    let logs = alice.does(&["compute-share", "logs", "-f", &job])?;
    for depth in DEPTHS {
        let line = format!("depth {depth}: accuracy ");
        ensure!(
            logs.stdout.contains(&line),
            "the live log lacks the end of depth {depth}"
        );
    }
    alice.does(&["compute-share", "job", "show", &job])?;
    alice.does(&["compute-share", "job", "pull", &job, "--to", "results"])?;
    Ok(job)
}

fn print_accuracies(alice: &Person, job: &str) -> Result<()> {
    let shown = alice.asks(&["compute-share", "job", "show", job])?;
    let results = accuracy::collect(&alice.home().join("results"))?;
    accuracy::check(&results, DEPTHS)?;
    println!("\n{}", accuracy::table(&results, &shown));
    Ok(())
}

fn try_to_spoil(alice: &Person) -> Result<()> {
    let spoil = format!("rm -f /data/{TABLE}; echo 'all of them are excellent' > /data/better.csv");
    let small = [
        "--no-workdir",
        "--cpu",
        "0.5",
        "--memory",
        "64MiB",
        "--disk",
        "16MiB",
    ];
    let run = [
        &["compute-share", "run"],
        &small[..],
        &["--dataset", "wine:/data"],
    ]
    .concat();
    let spoiled = alice.tries(&[&run[..], &["--", "sh", "-c", &spoil]].concat())?;
    ensure!(
        spoiled.code != Some(0) && spoiled.stderr.matches(READ_ONLY).count() == 2,
        "a job could write to a dataset, or was refused for another reason: {spoiled:?}"
    );
    println!("(The kernel refused both with EROFS.)");
    alice.does(&[
        "compute-share",
        "dataset",
        "download",
        "wine@1",
        "--to",
        "again",
    ])?;
    let before = fs::read(alice.home().join("wine").join(TABLE));
    let after = find(&alice.home().join("again"), TABLE).map(fs::read);
    let same = after.is_some_and(|after| after.ok() == before.ok());
    ensure!(same, "the dataset is not what was uploaded");
    println!("(downloaded again: not a byte has changed)");
    Ok(())
}

fn ask_for_too_much(alice: &Person) -> Result<()> {
    let submit = [
        "compute-share",
        "submit",
        "--no-workdir",
        "--memory",
        "64TiB",
    ];
    let refused = alice.tries(&[&submit[..], &["--", "true"]].concat())?;
    refused.expect_code(REFUSED)?;
    let asked = alice.tries(&[&submit[..], &["--dry-run", "--", "true"]].concat())?;
    ensure!(
        asked.code.is_some(),
        "asking without submitting was cut off"
    );
    Ok(())
}

fn explain_how_to_go_on(pool: Pool, programs: &Path) {
    chapter("It goes on running. To be Alice in this shell, paste:");
    println!(
        "export PATH={}:\"$PATH\"",
        quote(&programs.to_string_lossy())
    );
    for (name, folder) in pool.alice.variables() {
        println!("export {name}={}", quote(&folder.to_string_lossy()));
    }
    println!("compute-share top        # or run, submit, ps, machine list, …");
    println!("\nTo be bob or carol, replace alice in these lines. To stop everything:");
    let coordinator = pool.coordinator.id();
    let folder = pool.stage.keep();
    let folder = quote(&folder.to_string_lossy());
    for handle in ["bob", "carol"] {
        println!(
            "XDG_STATE_HOME={folder}/{handle}/.local/state XDG_RUNTIME_DIR={folder}/{handle}/.local/run compute-share stop --now"
        );
    }
    println!("kill {coordinator}");
    // An agent's cache is read-only, also for its owner.
    println!("chmod -R u+w {folder}; rm -rf {folder}");
}

fn chapter(title: &str) {
    println!("\n--- {title}");
}

/// Returns the first file of this name in or below a folder.
fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find_map(|path| {
        if path.is_dir() {
            find(&path, name)
        } else {
            path.ends_with(name).then_some(path)
        }
    })
}
