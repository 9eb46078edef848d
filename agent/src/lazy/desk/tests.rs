use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream as StdStream,
    time::Duration,
};

use common::{
    code::Code,
    tree::{Entry, EntryKind, Tree, TreePath, chunk_id},
    units,
};
use link::trees::Manifest;
use tempfile::TempDir;

use super::*;
use crate::lazy::{PinnedLazy, Room};

/// As much as anybody likes, once nobody holds this.
#[derive(Default, Clone)]
struct Plenty(Arc<Mutex<()>>);

impl Room for Plenty {
    fn lend(&self, _: units::Bytes) -> units::Bytes {
        let _one = self.0.lock().unwrap();
        units::Bytes(1 << 30)
    }
}

fn content(ordinal: u32) -> Bytes {
    Bytes::from(format!("this is chunk {ordinal}"))
}

/// Brings what it is asked for, once it may.
#[derive(Debug, Clone)]
struct Double {
    asked: Arc<Mutex<Vec<Vec<u32>>>>,
    turns: Arc<Semaphore>,
    refuses: bool,
}

impl Source for Double {
    async fn fetch(
        &self,
        _: TreeId,
        chunks: Vec<(u32, ChunkRef)>,
        sink: Arc<Arriving>,
    ) -> Result<(), Problem> {
        let ordinals: Vec<u32> = chunks.iter().map(|(ordinal, _)| *ordinal).collect();
        self.asked.lock().unwrap().push(ordinals.clone());
        self.turns.acquire().await.unwrap().forget();
        if self.refuses {
            return Err(Problem::new(Code::NotFound, "no data", "it was deleted"));
        }
        on_disk(move || {
            for ordinal in ordinals {
                sink.put(ordinal, &content(ordinal));
            }
            Ok(())
        })
        .await
    }
}

struct Site {
    folder: TempDir,
    pinned: PinnedLazy,
    tree: TreeId,
    double: Double,
    /// Held, nothing that came is kept yet.
    disk: Arc<Mutex<()>>,
    stopping: CancellationToken,
}

impl Site {
    fn new(refuses: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plenty = Plenty::default();
        let store = Store::open(&folder.path().join("lazy"), plenty.clone()).unwrap();
        let chunks = (0..100).map(|ordinal| ChunkRef {
            id: chunk_id(&content(ordinal)),
            bytes: u32::try_from(content(ordinal).len()).unwrap(),
        });
        let file = Entry {
            path: TreePath::new(*b"f").unwrap(),
            kind: EntryKind::File {
                executable: false,
                chunks: chunks.collect(),
            },
        };
        let manifest = Manifest::new(Tree::new(vec![file]).unwrap()).unwrap();
        let pinned = store.describe(&manifest).unwrap();
        let double = Double {
            asked: Arc::default(),
            turns: Arc::new(Semaphore::new(0)),
            refuses,
        };
        let stopping = CancellationToken::new();
        serve(
            &folder.path().join("door"),
            store,
            double.clone(),
            stopping.clone(),
        )
        .unwrap();
        Self {
            folder,
            pinned,
            tree: manifest.id(),
            double,
            disk: plenty.0,
            stopping,
        }
    }

    fn server(&self) -> Server {
        let stream = StdStream::connect(self.folder.path().join("door").join(SOCKET)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Server {
            stream,
            tree: self.tree,
        }
    }
}

/// A server of the test's own. Blocks.
struct Server {
    stream: StdStream,
    tree: TreeId,
}

impl Server {
    fn ask(&mut self, wanted: &[u32], ahead: &[u32]) {
        let ask = Ask {
            tree: self.tree,
            wanted: wanted.to_vec(),
            ahead: ahead.to_vec(),
            touched: vec![0, 7],
        };
        self.stream.write_all(&ask.encode()).unwrap();
    }

    fn hear(&mut self, count: usize) -> BTreeMap<u32, Result<Bytes, String>> {
        let mut heard = BTreeMap::new();
        for _ in 0..count {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).unwrap();
            let mut body = vec![0; length(head).unwrap()];
            self.stream.read_exact(&mut body).unwrap();
            match Answer::decode(body).unwrap() {
                Answer::Piece { ordinal, bytes, .. } => heard.insert(ordinal, Ok(bytes)),
                Answer::Failed { ordinal, why, .. } => heard.insert(ordinal, Err(why)),
            };
        }
        heard
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_want_comes_once_and_what_came_is_there() {
    let site = Site::new(false);
    let (mut one, mut two) = (site.server(), site.server());
    one.ask(&[3, 4], &[5, 6]);
    while site.double.asked.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    two.ask(&[4, 5], &[]);
    // Nothing new is asked for by that; an unknown chunk tells that it was heard.
    two.ask(&[], &[70]);
    while site.double.asked.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    site.double.turns.add_permits(100);
    let heard = tokio::task::spawn_blocking(move || (one.hear(2), two.hear(2)));
    let (one, two) = heard.await.unwrap();
    assert_eq!(
        one,
        BTreeMap::from([(3, Ok(content(3))), (4, Ok(content(4)))])
    );
    assert_eq!(
        two,
        BTreeMap::from([(4, Ok(content(4))), (5, Ok(content(5)))])
    );
    let mut asked = site.double.asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, [vec![3, 4], vec![5, 6], vec![70]]);
    // From the disk.
    let mut again = site.server();
    again.ask(&[3, 4, 5], &[3, 4]);
    let heard = tokio::task::spawn_blocking(move || again.hear(3))
        .await
        .unwrap();
    assert_eq!(heard[&3], Ok(content(3)));
    assert_eq!(site.double.asked.lock().unwrap().len(), 3);
    assert!(site.pinned.folder().exists());
    site.stopping.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_come_and_is_not_kept_yet_is_not_brought_again() {
    let site = Site::new(false);
    site.double.turns.add_permits(100);
    let (mut one, mut two) = (site.server(), site.server());
    let (double, disk) = (site.double.clone(), Arc::clone(&site.disk));
    let heard = tokio::task::spawn_blocking(move || {
        // Heard before it is kept the first time, and after that the second.
        for _ in 0..2 {
            one.ask(&[9], &[]);
            one.hear(1);
        }
        let writing = disk.lock().unwrap();
        one.ask(&[3], &[4]);
        assert_eq!(
            one.hear(1)[&3],
            Ok(content(3)),
            "who waits does not wait for the disk"
        );
        // Both are on their way to the disk, or wait for their turn.
        two.ask(&[3, 4], &[3, 4]);
        // Heard after that, and answered from the disk; a chunk that came only after it was asked for is told at once.
        two.ask(&[9], &[]);
        let mut told = BTreeMap::new();
        while !told.contains_key(&9) {
            told.extend(two.hear(1));
        }
        drop(writing);
        while told.len() < 3 {
            told.extend(two.hear(1));
        }
        told
    });
    let told = heard.await.unwrap();
    assert_eq!(
        told,
        [3, 4, 9].map(|chunk| (chunk, Ok(content(chunk)))).into()
    );
    let mut asked = double.asked.lock().unwrap().concat();
    asked.sort_unstable();
    assert_eq!(asked, [3, 4, 9], "each once");
    site.stopping.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_helped_is_told_why() {
    let site = Site::new(true);
    site.double.turns.add_permits(100);
    let (mut server, mut stranger) = (site.server(), site.server());
    server.ask(&[1], &[]);
    stranger.tree = TreeId::new([9; 32]);
    stranger.ask(&[1], &[2]);
    let heard = tokio::task::spawn_blocking(move || (server.hear(1), stranger.hear(1)));
    let (refused, unknown) = heard.await.unwrap();
    assert_eq!(refused[&1], Err("no data: it was deleted".to_owned()));
    assert!(unknown[&1].as_ref().unwrap_err().contains("does not know"));
    site.stopping.cancel();
}
