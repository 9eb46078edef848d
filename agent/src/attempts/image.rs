//! The image of an attempt: fetched by what was pinned, with the login that the coordinator hands out for it.

use std::{sync::Arc, time::Duration};

use agent_core::cache_plan::Item;
use common::{
    code::Code,
    image::ImageRef,
    problem::Problem,
    seal::RegistryLogin,
    wire::agent::{AgentStream, AttemptImage, RegistryAnswer},
};
use link::backoff::Backoff;
use tokio::time::timeout;

use super::{Work, prepare};
use crate::{
    images::{self, Reach},
    transfer::{self, PinnedImage},
};

/// Waits before a registry is asked again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MOST_WAIT: Duration = Duration::from_secs(20);
/// Tries for one image where its registry cannot be reached or sends what it should not.
const MAX_TRIES: u32 = 4;
/// Longest wait for the coordinator's answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Returns what the cache calls the attempt's image; `None` where it has the machine's own programs.
pub(crate) fn item(image: &AttemptImage) -> Option<Item> {
    match image {
        AttemptImage::Host => None,
        AttemptImage::Registry(reference) => reference.digest.map(Item::Image),
        AttemptImage::Imported { tree, .. } => Some(Item::Imported(*tree)),
    }
}

/// Returns the attempt's image, fetched unless it is there.
pub(super) async fn fetch(work: &Work) -> Result<Option<PinnedImage>, Problem> {
    match &work.spec.image {
        AttemptImage::Host => Ok(None),
        AttemptImage::Registry(reference) => from_registry(work, reference).await.map(Some),
        AttemptImage::Imported { name, tree } => {
            let tree = *tree;
            let layout = prepare::fetch(work, tree, name);
            let fetched = images::from_tree(&work.machine.cache, name, tree, layout).await;
            fetched.map(Some).map_err(|problem| {
                let what = format!("the image {name} cannot be used");
                Problem { what, ..problem }
            })
        }
    }
}

async fn from_registry(work: &Work, reference: &ImageRef) -> Result<PinnedImage, Problem> {
    let login = match work.spec.registry_login {
        true => Some(login(work, reference).await?),
        false => None,
    };
    let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
    let mut tries = 0;
    loop {
        tries += 1;
        // As the rules are now: what the owner closes is closed at once.
        let rules = Arc::clone(&work.machine.rules().borrow().rules);
        let reach = Reach::public_and(&rules.registries);
        let cache = &work.machine.cache;
        let fetched = images::from_registry(cache, reference, login.as_ref(), &reach).await;
        let problem = match fetched {
            Ok(pinned) => return Ok(pinned),
            Err(problem) => problem,
        };
        let passing = matches!(problem.code, Code::RegistryUnreachable | Code::Checksum);
        if !passing || tries == MAX_TRIES {
            let what = format!("the image {reference} cannot be used");
            return Err(Problem { what, ..problem });
        }
        tracing::info!(attempt = %work.attempt, %problem, "an image has to be fetched again");
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Asks the coordinator for what opens the registry. It is kept nowhere.
async fn login(work: &Work, reference: &ImageRef) -> Result<RegistryLogin, Problem> {
    let attempt = work.attempt;
    let what = "the registry's login cannot be had";
    let login = prepare::over_uplink(work, |connection| async move {
        let asked = async {
            let first = AgentStream::RegistryLogin { attempt };
            let (mut tx, mut rx) = transfer::open(&connection, &first).await?;
            tx.finish();
            let RegistryAnswer { login } = rx.expect().await?;
            Ok::<_, Problem>(login)
        };
        let late = |_| Problem::new(Code::Busy, what, "the coordinator does not answer");
        timeout(ANSWER_WAIT, asked).await.map_err(late)?
    });
    let login = login.await?;
    if login.registry != reference.registry {
        let why = format!(
            "a login for {} came instead of {}",
            login.registry, reference.registry
        );
        return Err(Problem::new(Code::Protocol, what, why));
    }
    Ok(login)
}
