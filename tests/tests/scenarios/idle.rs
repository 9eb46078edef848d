//! What the daemons cost when nothing happens.

use compute_share_tests::{Daemon, Org};

/// What the program's own pages may take; those of its file are shared and can be dropped at any time, and a
/// debug build has several times as many. The release build is held to the whole by `cargo xtask bench`.
const MOST_PRIVATE_KIB: u64 = 12 << 10;

#[test]
fn idle_daemons_are_small() {
    let org = Org::start();
    let agent = org.agent(&org.alice, "box");
    org.alice
        .run(&["run", "--no-workdir", "--memory", "32MiB", "--", "true"])
        .expect_success();
    let check = |name: &str, daemon: &Daemon| {
        let private = daemon.private_kib();
        assert!(
            private <= MOST_PRIVATE_KIB,
            "the {name} holds {private} KiB of its own"
        );
    };
    check("coordinator", &org.coordinator.daemon);
    check("agent", &agent.daemon);
}
