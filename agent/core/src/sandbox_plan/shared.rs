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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox_plan::{DiskBound, tests};

    #[test]
    fn what_a_program_is_given_may_differ_and_what_it_lives_in_may_not() {
        let mut first = tests::planned(true, 1);
        assert!(!first.same_sandbox(&first), "it was not made to be shared");
        let attempt = |task| AttemptId {
            job: common::id::JobId::from_bytes([4; 16]),
            task,
            number: 1,
        };
        first.share(attempt(1));
        assert_eq!(first.identity, private(attempt(1)));
        let may: [fn(&mut SandboxPlan); 4] = [
            |plan| plan.command.push("more".to_owned()),
            |plan| drop(plan.env.insert("A".to_owned(), "b".to_owned())),
            |plan| plan.max_runtime = None,
            |plan| {
                let own = plan.mounts.iter_mut().find(|mount| mount.target == WORK);
                if let Content::Bind { source, .. } = &mut own.unwrap().content {
                    source.push("elsewhere");
                }
            },
        ];
        for (number, change) in may.into_iter().enumerate() {
            let mut next = first.clone();
            change(&mut next);
            assert!(first != next && next.same_sandbox(&first), "{number}");
        }
        let may_not: [fn(&mut SandboxPlan); 6] = [
            |plan| plan.limits.memory.0 += 1,
            |plan| plan.identity = Identity::Agent,
            |plan| plan.disk = DiskBound::Own,
            |plan| drop(plan.mounts.pop()),
            |plan| plan.shared = None,
            |plan| {
                let data = plan
                    .mounts
                    .iter_mut()
                    .find_map(|mount| match &mut mount.content {
                        Content::Bind {
                            source,
                            access: Access::Data,
                            ..
                        } => Some(source),
                        _ => None,
                    });
                data.unwrap().push("elsewhere");
            },
        ];
        for (number, change) in may_not.into_iter().enumerate() {
            let mut next = first.clone();
            change(&mut next);
            assert!(!next.same_sandbox(&first), "{number}");
        }
    }

    #[test]
    fn what_serves_one_attempt_alone_is_not_shared() {
        let mut plan = tests::planned(true, 1);
        assert!(!plan.could_be_shared(), "nothing counts");
        plan.cgroup = Cgroup::V2 {
            base: "/jobs".into(),
        };
        assert!(plan.could_be_shared());
        plan.network = NetworkPlan::Proxy(crate::sandbox_plan::ProxyRules::default());
        assert!(!plan.could_be_shared());
    }
}
