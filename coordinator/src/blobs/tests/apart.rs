//! A bucket that takes connections and never answers holds up its org, and nobody else.

use std::time::Duration;

use tokio::{runtime::Builder, time::timeout};

use super::{
    bucket::Bucket,
    serving::{download, upload},
    *,
};

const LOCAL: OrgId = OrgId::from_bytes([2; 16]);
/// One that has lost its disk: the bucket has to answer before it is open.
const LOST: OrgId = OrgId::from_bytes([3; 16]);

/// More than there are slots and threads for everybody.
const WAITING: u32 = 12;
/// Less than a request to a bucket may take.
const SOON: Duration = Duration::from_secs(20);

/// All but one org in a bucket.
#[derive(Debug)]
struct Mixed(Arc<Fixed>);

impl Homes for Mixed {
    fn place(&self, org: OrgId) -> StoragePlace {
        match org {
            LOCAL => StoragePlace::Local,
            _ => self.0.place(org),
        }
    }

    fn keys(&self, org: OrgId) -> Result<Keys, Problem> {
        self.0.keys(org)
    }
}

async fn until_nothing_is_free(store: &Store) {
    let free = || async { timeout(Duration::from_millis(100), store.slots().run(|| Ok(()))).await };
    while free().await.is_ok() {}
}

#[test]
fn a_bucket_that_never_answers_holds_up_nobody_else() {
    let bucket = Bucket::start();
    let folder = tempfile::tempdir().unwrap();
    let homes = Arc::new(Mixed(Fixed::at(place_in(&bucket, "lab"))));
    let stores = stores_of(folder.path(), BEGINNING, homes);
    let hung = stores.org(ORG).unwrap();
    let known = save(&hung, &[1, 2, 3]);
    bucket.hang();

    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(2).max_blocking_threads(8);
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..WAITING {
            let (store, stores) = (hung.clone(), stores.clone());
            waiting.spawn(async move { upload(&store, &tree(20 + number)).await.0.map(drop) });
            let store = hung.clone();
            waiting.spawn(async move { download(&store, known).await.map(drop) });
            let store = hung.clone();
            waiting.spawn(async move {
                let scrubbed = |store: &Store| {
                    let now = Timestamp::from_unix_ms(BEGINNING);
                    let step = store.scrub_step(now);
                    step.map_err(|error| error.problem("not looked through"))
                };
                store.beside(scrubbed).await.map(drop)
            });
            waiting.spawn(async move { stores.open_org(LOST).await.map(drop) });
        }
        until_nothing_is_free(&hung).await;

        let stored = async {
            let store = stores.open_org(LOCAL).await.unwrap();
            let numbers = tree(100);
            upload(&store, &numbers).await.0.unwrap();
            assert_eq!(download(&store, numbers.id()).await, Ok(numbers.id()));
        };
        timeout(SOON, stored).await.expect("it waits for nobody");
        // What they are told in the end is another test's.
        assert!(waiting.try_join_next().is_none());
        waiting.abort_all();
    });
    // Nobody waits for them: they know that the bucket is silent when its time is over.
    runtime.shutdown_background();
}
