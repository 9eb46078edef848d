//! The ways in which every sandbox test is done: with each backend, as root and as an ordinary user, with
//! cgroups and without; and what is noted of each row of the escape table on the way. Which level that is, the machine
//! tells; whoever knows what it has to be says so in `COMPUTE_SHARE_TEST_LEVELS`, and gets no other.
//!
//! A test that stands for rows of the table begins with [`row`] instead of [`everyone`] and names them. What it
//! returns is the verdict: nothing where everything held, and otherwise [`Verdict::NotHeld`] with the reason as
//! people read it in the table, after the test has asserted what does happen instead. A test that panics leaves
//! "broke" behind. `cargo xtask escape-table` collects the notes and compares them with `SECURITY.md`.

use std::{
    cell::Cell as Slot,
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use agent::sandbox::host;
use agent_core::sandbox_plan::{Backend, Cgroup, Host};
use common::status::IsolationLevel;

use crate::world::{SLOWNESS, program};

/// The user `nobody` of every distribution.
const ORDINARY_USER: u32 = 65534;
/// Tells a test that runs as another user where the program is.
pub(crate) const PROGRAM: &str = "COMPUTE_SHARE_TEST_PROGRAM";
/// The levels to do, as `b,c`. The tests fail where the machine has another.
const LEVELS: &str = "COMPUTE_SHARE_TEST_LEVELS";
/// Where the notes go.
const NOTES: &str = "COMPUTE_SHARE_ESCAPE_NOTES";
/// What a line begins with by which a test that runs as another user tells its notes: it cannot write where
/// the others go.
const NOTE: &str = "escape-note ";
const BROKE: &str = "broke";
const MAKERS: [Maker; 2] = [Maker::Native, Maker::Bubblewrap];

/// What makes the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    Native,
    Bubblewrap,
}

impl Maker {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Bubblewrap => "bubblewrap",
        }
    }
}

/// One way of making a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) maker: Maker,
    pub(crate) level: IsolationLevel,
}

thread_local! {
    static WAY: Slot<Option<Way>> = const { Slot::new(None) };
}

/// How a row went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Held,
    /// This way cannot hold it; the reason, short, for the table.
    NotHeld(&'static str),
}

impl From<()> for Verdict {
    fn from((): ()) -> Self {
        Self::Held
    }
}

/// Does a test in every way that this machine and user allow; where that is root, once more as an ordinary user.
/// `name` is the test's own, with its module.
pub(crate) fn everyone(name: &str, body: impl Fn()) {
    row(&[], name, body);
}

/// Does the same with a test that stands for these rows of the escape table.
pub(crate) fn row<V: Into<Verdict>>(rows: &[&str], name: &str, body: impl Fn() -> V) {
    for way in ways() {
        let note = |verdict: &str| {
            for row in rows {
                keep(&Note::new(row, name, way, verdict));
            }
        };
        eprintln!("{} at level {:?}", way.maker.as_str(), way.level);
        note(BROKE);
        WAY.set(Some(way));
        let verdict = body().into();
        WAY.set(None);
        match verdict {
            Verdict::Held => note("held"),
            Verdict::NotHeld(reason) => note(&format!("no: {reason}")),
        }
    }
    if rustix::process::geteuid().is_root() && wanted().is_none() {
        as_ordinary_user(name);
    }
}

/// Returns the way that is being done now.
pub(crate) fn way() -> Way {
    WAY.get().unwrap_or_else(|| Way {
        maker: Maker::Native,
        level: level(&host(BTreeMap::new())),
    })
}

/// Does on this thread what another one is doing in this way.
pub(crate) fn on_this_thread(way: Way) {
    WAY.set(Some(way));
}

fn ways() -> Vec<Way> {
    let here = level(&host(BTreeMap::new()));
    let mut levels = vec![here];
    if here == IsolationLevel::B {
        levels.push(IsolationLevel::C);
    }
    if let Some(wanted) = wanted() {
        let there = wanted.iter().all(|level| levels.contains(level));
        assert!(there, "this machine has {levels:?}, not {wanted:?}");
        levels = wanted;
    }
    let each = |maker| levels.iter().map(move |&level| Way { maker, level });
    MAKERS.into_iter().flat_map(each).collect()
}

fn wanted() -> Option<Vec<IsolationLevel>> {
    let names = std::env::var(LEVELS).ok()?;
    let wanted = names.split(',').map(|name| name.parse().unwrap());
    Some(wanted.collect())
}

fn level(host: &Host) -> IsolationLevel {
    match (&host.cgroup, host.superuser) {
        (Cgroup::None, _) => IsolationLevel::C,
        (_, true) => IsolationLevel::A,
        (_, false) => IsolationLevel::B,
    }
}

impl Way {
    /// Takes from the machine what this way is to do without.
    pub(crate) fn narrow(self, host: &mut Host) {
        if self.level == IsolationLevel::C {
            host.cgroup = Cgroup::None;
        }
    }

    /// Returns what to plan with; bubblewrap has to be there.
    pub(crate) fn backend(self, host: &Host) -> Backend {
        match self.maker {
            Maker::Native => Backend::Native,
            Maker::Bubblewrap => Backend::Bubblewrap {
                program: host
                    .tools
                    .bwrap
                    .clone()
                    .expect("`apt-get install bubblewrap`"),
            },
        }
    }
}

fn as_ordinary_user(name: &str) {
    let test = std::env::current_exe().unwrap();
    let again = |test: &Path, program: &Path| {
        Command::new(test)
            .args(["--exact", name, "--nocapture"])
            .env_clear()
            .env(PROGRAM, program)
            .envs(std::env::var(SLOWNESS).map(|factor| (SLOWNESS, factor)))
            .uid(ORDINARY_USER)
            .gid(ORDINARY_USER)
            .current_dir("/")
            .output()
    };
    let output = again(&test, &program()).unwrap_or_else(|_| {
        // What root built is out of the ordinary user's reach: hand out copies.
        let open = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let copy = |from: &Path, name: &str| {
            let to = open.path().join(name);
            fs::copy(from, &to).unwrap();
            to
        };
        again(&copy(&test, "test"), &copy(&program(), "compute-share")).unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    text.lines().filter_map(Note::heard).for_each(|note| {
        keep(&note);
    });
    assert!(
        output.status.success(),
        "as an ordinary user: {text}{errors}"
    );
    assert!(
        text.contains("1 passed"),
        "{name} is not the test's name: {text}"
    );
}

/// What is known of one row, one test and one way.
struct Note {
    file: String,
    text: String,
}

impl Note {
    fn new(row: &str, test: &str, way: Way, verdict: &str) -> Self {
        let maker = way.maker.as_str();
        let level = format!("{:?}", way.level);
        Self {
            file: format!("{row}.{}.{maker}.{level}", test.replace("::", "-")),
            text: format!("{row}\t{maker}\t{level}\t{test}\t{verdict}"),
        }
    }

    fn heard(line: &str) -> Option<Self> {
        // The harness's own text may stand before it.
        let (_, note) = line.split_once(NOTE)?;
        let (file, text) = note.split_once(' ')?;
        Some(Self {
            file: file.to_owned(),
            text: text.to_owned(),
        })
    }
}

fn keep(note: &Note) {
    if std::env::var_os(PROGRAM).is_some() {
        println!("{NOTE}{} {}", note.file, note.text);
        return;
    }
    let folder = std::env::var_os(NOTES).map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("escape-notes"),
        PathBuf::from,
    );
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&note.file), format!("{}\n", note.text)).unwrap();
}
