//! Network namespaces made ahead of the attempts that will live in them: making one takes longer than all the other
//! namespaces together, and a job would wait for it.
//!
//! They belong to the machine's root, not to the user of a sandbox: nobody inside can ever change them.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use agent_core::sandbox_plan::{Backend, Host, NetworkPlan, SandboxPlan};
use rustix::{
    net::{AddressFamily, SocketType, socket},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

use super::system;

/// Ready at a time, besides one in the maker's hands. Each is some hundred kilobytes of the kernel's memory.
const READY: usize = 1;
/// Networks that cannot be made in a row before it is left to the sandboxes.
const MAX_FAILED: u32 = 30;
/// After the first of them; longer after each.
const PAUSE: Duration = Duration::from_secs(1);
/// The namespace of the thread that looks.
const OWN: &str = "/proc/thread-self/ns/net";

/// Empty networks, with a loopback that is up.
#[derive(Debug)]
pub(crate) struct SpareNetworks(Mutex<Receiver<OwnedFd>>);

impl SpareNetworks {
    /// Begins to make them; `None` where only the sandbox itself can.
    pub(crate) fn begin(host: &Host) -> Option<Self> {
        if !host.superuser {
            return None;
        }
        let (made, ready) = sync_channel(READY);
        let name = "spare networks".to_owned();
        let maker = thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = make_all(&made) {
                tracing::warn!(%error, "sandboxes make their networks themselves from now on");
            }
        });
        maker.ok().map(|_| Self(Mutex::new(ready)))
    }

    /// Returns one for this plan, if it can have one and one is ready.
    pub(crate) fn take(&self, plan: &SandboxPlan) -> Option<OwnedFd> {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fits(plan) {
            ready.try_recv().ok()
        } else {
            None
        }
    }
}

/// Returns whether a sandbox needs no rights in its network namespace, which one that was made ahead does not give.
pub(super) fn fits(plan: &SandboxPlan) -> bool {
    let closed = matches!(plan.network, NetworkPlan::None | NetworkPlan::Proxy(_));
    closed && plan.backend == Backend::Native
}

/// Makes one whenever there is room for it, until nobody wants any more.
///
/// # Errors
/// This thread cannot go back to where it was, or no network could be made so many times in a row.
fn make_all(made: &SyncSender<OwnedFd>) -> io::Result<()> {
    let mut failed = 0;
    loop {
        match make_and_return()? {
            Ok(network) => {
                failed = 0;
                if made.send(network).is_err() {
                    return Ok(());
                }
            }
            // Of memory or of descriptors there may be more in a moment.
            Err(_) if failed < MAX_FAILED => {
                failed += 1;
                thread::sleep(PAUSE * failed);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes one, or says why not.
///
/// # Errors
/// This thread is left in another network than its own, and good for nothing else.
pub(crate) fn make_and_return() -> io::Result<io::Result<OwnedFd>> {
    let home = own()?;
    let network = make();
    // In a namespace that it hands on, this thread would keep it from ending.
    enter(&home)?;
    Ok(network)
}

#[allow(unsafe_code, reason = "the network namespace of this thread alone")]
fn make() -> io::Result<OwnedFd> {
    // SAFETY: no descriptors are unshared, which is what could hurt.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    system::loopback_up(socket.as_fd())?;
    own()
}

/// Returns the network namespace of this thread.
pub(super) fn own() -> io::Result<OwnedFd> {
    Ok(File::open(OWN)?.into())
}

/// Moves this thread to another network namespace.
pub(super) fn enter(network: &OwnedFd) -> io::Result<()> {
    let kind = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(network.as_fd(), kind)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn number(network: OwnedFd) -> u64 {
        File::from(network).metadata().unwrap().ino()
    }

    #[test]
    fn each_is_another_and_the_maker_stays_at_home() {
        if !rustix::process::geteuid().is_root() {
            assert!(make_and_return().is_ok_and(|made| made.is_err()));
            return;
        }
        let (made, ready) = sync_channel(0);
        let maker = thread::spawn(move || {
            make_all(&made).unwrap();
            number(own().unwrap())
        });
        let first = number(ready.recv().unwrap());
        let second = number(ready.recv().unwrap());
        drop(ready);
        let home = number(own().unwrap());
        assert_eq!(maker.join().unwrap(), home);
        assert!(first != home && second != home);
    }
}
