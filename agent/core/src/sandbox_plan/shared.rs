//! Sandboxes that tasks of one job share, one after the other: what they have to agree in.

use common::id::AttemptId;

use super::{
    Access, Backend, Cgroup, Content, Identity, Mount, NetworkPlan, OUTPUT, SandboxPlan, WORK,
    identity::private,
};

impl SandboxPlan {
    /// Returns whether another task of its job could follow in its sandbox: nothing in it serves one attempt alone, as
    /// the processes do that are beside it for a network or for files that come when they are read, and what each task
    /// takes can be told apart.
    pub fn could_be_shared(&self) -> bool {
        self.backend == Backend::Native
            && self.network == NetworkPlan::None
            && self.cgroup != Cgroup::None
            && self.lazy().next().is_none()
    }

    /// Makes it one for the sandbox that is made, or was, for `first`.
    pub fn share(&mut self, first: AttemptId) {
        self.shared = Some(first);
        if self.identity != Identity::Agent {
            self.identity = private(first);
        }
    }

    /// Returns whether this plan's program may run in the sandbox that was made by the other plan: all is the same but
    /// what each program is given when it begins. Where its own folders came from does not count: they are put in place
    /// of each other.
    pub fn same_sandbox(&self, other: &Self) -> bool {
        let Self {
            hostname,
            mounts,
            limits,
            backend,
            network,
            uid,
            identity,
            cgroup,
            disk,
            shared,
            // Of the program.
            command: _,
            env: _,
            // Of who watches it.
            max_runtime: _,
            grace: _,
            checkpoint: _,
            lease: _,
            notes: _,
        } = self;
        shared.is_some()
            && *shared == other.shared
            && *hostname == other.hostname
            && *limits == other.limits
            && *backend == other.backend
            && *network == other.network
            && (*uid, *identity) == (other.uid, other.identity)
            && *cgroup == other.cgroup
            && *disk == other.disk
            && mounts.len() == other.mounts.len()
            && mounts.iter().zip(&other.mounts).all(same_mount)
    }
}

fn same_mount((one, other): (&Mount, &Mount)) -> bool {
    let own = |mount: &Mount| {
        let writable = matches!(
            mount.content,
            Content::Bind {
                access: Access::Writable,
                ..
            }
        );
        writable && [WORK, OUTPUT].contains(&mount.target.as_str())
    };
    one == other || one.target == other.target && own(one) && own(other)
}
