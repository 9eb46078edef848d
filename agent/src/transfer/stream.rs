//! One tree over a connection: a walked folder up, a tree down into a folder.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{
    code::Code,
    id::TreeId,
    problem::Problem,
    tree::{Tree, TreePath},
    wire::{Message, data::Announced},
};
use link::{
    close_problem,
    frames::{FrameReceiver, FrameSender, split},
    trees::{self, CUTS_AHEAD, Fetcher, Lane, Manifest, Progress, io_problem, on_disk},
};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with, syncfs};
use tokio::{sync::mpsc, task};

use super::{
    donors::Donors,
    layout::{Layout, Leave},
    read::Walked,
    remembered::{Memory, Remembered},
    route::{Destination, Origin},
};

/// Digits of a tree's id in the name of a folder that is not complete.
const PARTIAL_DIGITS: usize = 16;

/// Sends a walked folder. What the other side has is not sent, and every file is read once.
///
/// # Errors
/// `file_changed` if a file is not as it was when it was walked; the other side's refusal; a lost connection.
pub async fn upload<D: Destination>(
    connection: &quinn::Connection,
    to: &D,
    walked: &Walked,
    progress: &dyn Progress,
) -> Result<TreeId, Problem> {
    let tree = send(connection, to, walked, None, progress, |_| {}).await?;
    Ok(tree.id())
}

/// As [`upload`], of a folder that may have been sent before: what has not been touched since is not read again.
///
/// # Errors
/// As for [`upload`].
pub async fn upload_again<D: Destination>(
    connection: &quinn::Connection,
    to: &D,
    walked: &Walked,
    memory: &Memory,
    progress: &dyn Progress,
) -> Result<TreeId, Problem> {
    let recalling = memory.clone();
    let remembered = on_disk(move || Ok(recalling.recall())).await?;
    let is_first = remembered.is_none();
    let mut note = None;
    // The other side is making the tree safe then, for which this one only waits.
    let mut read = |manifest: &Manifest| {
        let (memory, walked, manifest) = (memory.clone(), walked.clone(), manifest.clone());
        let describe = move || memory.describe(&walked, &manifest);
        note = Some(task::spawn_blocking(describe));
    };
    let sent = match send(connection, to, walked, remembered, progress, &mut read).await {
        // The other side has lost something of what it said that it has.
        Err(problem) if problem.code == Code::BadRequest && !is_first => {
            memory.forget();
            send(connection, to, walked, None, progress, &mut read).await?
        }
        sent => sent?,
    };
    if let Some(note) = note {
        let (noting, note) = (memory.clone(), note.await);
        let note = move || noting.note(&note.map_err(io::Error::other)??);
        let noted = on_disk(move || Ok(note())).await?;
        if let Err(error) = noted {
            tracing::warn!(%error, "it is not noted how the folder was; the next upload reads all of it");
        }
    }
    Ok(sent.id())
}

/// Sends a walked folder, beside what it was before where the other side has that. `read` hears of the tree once all of
/// it was read.
async fn send<D: Destination>(
    connection: &quinn::Connection,
    to: &D,
    walked: &Walked,
    remembered: Option<Remembered>,
    progress: &dyn Progress,
    read: impl FnOnce(&Manifest),
) -> Result<Manifest, Problem> {
    let beside = remembered.as_ref().map(|known| known.manifest().id());
    let announced = Announced {
        beside,
        ..walked.announced()
    };
    let (mut tx, mut rx) = open(connection, &to.upload(announced)).await?;
    let remembered = match remembered {
        Some(known) if trees::agree(&mut rx).await? => Some(known),
        _ => None,
    };
    let (hand, cuts) = mpsc::channel(CUTS_AHEAD);
    let (reading, known) = (walked.clone(), remembered.clone());
    let reading = task::spawn_blocking(move || {
        let read = reading.cut(known.as_ref(), &|cuts| hand.blocking_send(cuts).is_ok());
        // Only now is it over for who takes the chunks: what is wrong is known by then.
        drop(hand);
        read
    });
    let tree = async {
        let tree = reading.await.unwrap_or_else(|panicked| {
            let what = "the folder cannot be read";
            Err(Problem::new(Code::Internal, what, panicked.to_string()))
        });
        tree.inspect(read)
    };
    let lane = Lane {
        connection,
        pieces: to.pieces(tx.number()),
        tx: &mut tx,
        rx: &mut rx,
        beside: remembered.as_ref().map(Remembered::manifest),
    };
    let sent = trees::send(lane, announced, cuts, tree, progress).await;
    let (tree, sent) = or_refuse(sent, &mut tx).await?;
    let id = tree.id();
    tracing::debug!(tree = %id, chunks = sent.chunks, bytes = sent.bytes.0, "tree sent");
    Ok(tree)
}

/// Fetches the description of a tree: what is in it, and nothing of it.
///
/// # Errors
/// The other side's refusal, a lost connection.
pub async fn describe<O: Origin>(
    connection: &quinn::Connection,
    from: &O,
) -> Result<Manifest, Problem> {
    let (mut tx, mut rx) = open(connection, &from.description()).await?;
    tx.finish();
    trees::receive_description(&mut rx).await
}

/// Fetches a tree, or what of it is at `select` or below, as the folder `into`, which must be empty or not there yet.
/// It appears as a whole or not at all; what came of an interrupted transfer is used by the next.
///
/// # Errors
/// `bad_folder` if `into` is in use, `not_found` if nothing is at `select`, `disk_full`, the other side's refusal, a
/// lost connection.
pub async fn download<O: Origin>(
    connection: &quinn::Connection,
    from: &O,
    into: &Path,
    select: Option<&TreePath>,
    progress: &dyn Progress,
) -> Result<Tree, Problem> {
    let wanted = into.to_owned();
    let target = on_disk(move || target(&wanted)).await?;
    let manifest = describe(connection, from).await?;
    let first = from.chunks(manifest.id());
    let mut fetcher = Fetcher::new(connection.clone(), first, manifest);
    if let Some(path) = select {
        fetcher = fetcher.within(path).ok_or_else(|| {
            let why = format!("there is nothing at {path:?}");
            Problem::new(Code::NotFound, "nothing was fetched", why)
        })?;
    }
    let manifest = fetcher.manifest().clone();
    let partial = partial_path(&manifest, &target);
    let received = async {
        let (layout, _lock) = prepare_partial(&manifest, &partial, target).await?;
        fetcher.complete(&layout, progress).await
    };
    let received = received.await;
    if received
        .as_ref()
        .is_err_and(|problem| problem.code == Code::DiskFull)
    {
        // What could go on later would keep the disk full until then.
        let removed = on_disk(move || Ok(fs::remove_dir_all(partial))).await?;
        tracing::debug!(?removed, "an unfinished transfer was cleared");
    }
    received?;
    Ok(manifest.tree().clone())
}

pub(crate) async fn open(
    connection: &quinn::Connection,
    first: &impl Message,
) -> Result<(FrameSender, FrameReceiver), Problem> {
    let stream = connection
        .open_bi()
        .await
        .map_err(|error| close_problem(&error))?;
    let (mut tx, rx) = split(stream);
    tx.send(first).await?;
    Ok((tx, rx))
}

/// Ends the stream, telling the other side about a problem.
pub(super) async fn or_refuse<T>(
    result: Result<T, Problem>,
    tx: &mut FrameSender,
) -> Result<T, Problem> {
    match &result {
        Ok(_) => tx.finish(),
        Err(problem) => {
            // If this cannot be sent, the other side knows as much as we do.
            let _told = tx.refuse(problem).await;
        }
    }
    result
}

/// Returns the full path that the folder will have.
fn target(into: &Path) -> Result<PathBuf, Problem> {
    let refused = |why: String| {
        let what = format!("cannot put anything into {}", into.display());
        let help = "Choose a folder that is empty or does not exist yet.";
        Problem::new(Code::BadFolder, what, why).help(help)
    };
    match into.canonicalize() {
        Ok(full) => {
            let mut inside = fs::read_dir(&full).map_err(|error| refused(error.to_string()))?;
            match inside.next() {
                None if full.parent().is_some() => Ok(full),
                _ => Err(refused("it is not empty".to_owned())),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if into.is_symlink() || into.file_name().is_none() {
                return Err(refused("it leads nowhere".to_owned()));
            }
            std::path::absolute(into).map_err(|error| refused(error.to_string()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Returns the folder beside `target` that a tree is written into until it is whole.
fn partial_path(manifest: &Manifest, target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let id = manifest.id().to_string();
    name.push(format!(".{}.partial", &id[..PARTIAL_DIGITS]));
    target.with_file_name(name)
}

/// Makes the folder beside `target` that the tree is written into, and locks it.
async fn prepare_partial(
    manifest: &Manifest,
    partial: &Path,
    target: PathBuf,
) -> Result<(Arc<Layout>, File), Problem> {
    let (manifest, partial) = (manifest.clone(), partial.to_owned());
    on_disk(move || {
        let failed = {
            let what = format!("cannot write {}", target.display());
            move |error: &io::Error| io_problem(what.clone(), error)
        };
        let parent = target.parent().unwrap_or(Path::new("/")).to_owned();
        fs::create_dir_all(&parent).map_err(|error| failed(&error))?;
        let lock = lock(&partial).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let why = "another process is fetching the same into it";
                Problem::new(
                    Code::Busy,
                    format!("cannot write {}", target.display()),
                    why,
                )
            }
            _ => failed(&error),
        })?;
        let finish = move |layout: &Layout| put_in_place(layout.path(), &target, &parent);
        let layout = prepare(&partial, &manifest, &Donors::default(), Leave::Open, finish);
        Ok((Arc::new(layout.map_err(|error| failed(&error))?), lock))
    })
    .await
}

fn lock(partial: &Path) -> io::Result<File> {
    match fs::create_dir(partial) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // In a folder that others write to, somebody else may have made it.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = openat(CWD, partial, flags, Mode::empty()).map_err(io::Error::from)?;
    let lock = File::from(lock);
    if lock.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("{} belongs to somebody else", partial.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    lock.try_lock()?;
    Ok(lock)
}

/// Lays the tree out in a folder that is there; empties it first if something else is in it.
pub(super) fn prepare(
    partial: &Path,
    manifest: &Manifest,
    donors: &Donors,
    leave: Leave,
    finish: impl Fn(&Layout) -> Result<(), Problem> + Clone + Send + Sync + 'static,
) -> io::Result<Layout> {
    let again = finish.clone();
    match Layout::prepare(partial, manifest, donors, leave, Box::new(finish)) {
        Err(error) if !is_full(&error) => {
            tracing::debug!(%error, "what an earlier transfer left cannot be used");
            for entry in fs::read_dir(partial)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            Layout::prepare(partial, manifest, donors, leave, Box::new(again))
        }
        done => done,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Gives the complete folder its name.
fn put_in_place(partial: &Path, target: &Path, parent: &Path) -> Result<(), Problem> {
    let place = || -> io::Result<()> {
        syncfs(File::open(partial)?)?;
        match renameat_with(CWD, partial, CWD, target, RenameFlags::NOREPLACE) {
            // An empty folder may be replaced; the kernel refuses any other.
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::INVAL) => {
                fs::rename(partial, target)?
            }
            renamed => renamed?,
        }
        File::open(parent)?.sync_all()
    };
    place().map_err(|error| io_problem(format!("cannot write {}", target.display()), &error))
}
