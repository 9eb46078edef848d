//! The processes beside a sandbox: what gives it its network, and what serves its lazily mounted datasets.

use std::{io, os::fd::OwnedFd};

use super::{Feeder, Gateway, Jail, JailEvent, Watch};
use crate::sandbox::Outside;

impl Watch<'_> {
    /// Starts them. Where one cannot be had, the job ends.
    pub(super) fn start_beside(
        &mut self,
        jail: &Jail,
        network: Option<Outside>,
        lazy: Vec<OwnedFd>,
    ) {
        match Feeder::start(self.plan, &lazy) {
            Ok(feeder) => self.feeder = feeder,
            Err(error) => self.cannot(jail, "serve the lazily mounted datasets", &error),
        }
        // Only its server has them, so that nothing waits for one that is gone.
        drop(lazy);
        match Gateway::start(self.plan, jail.first(), network) {
            Ok(gateway) => self.gateway = gateway,
            Err(error) => self.cannot(jail, "start the job's proxy", &error),
        }
    }

    fn cannot(&mut self, jail: &Jail, what: &str, error: &io::Error) {
        self.ending.program = Some(JailEvent::Failed(format!("cannot {what}: {error}")));
        self.kill(jail);
    }

    /// Takes in what they told.
    pub(super) fn hear_beside(&mut self, network: bool, fed: bool) {
        if network {
            let lines = self.gateway.hear();
            self.note(lines);
        }
        if fed {
            let lines = self.feeder.hear();
            self.note(lines);
        }
    }

    /// Ends everything in the sandbox, and what its processes may wait for.
    pub(super) fn kill(&mut self, jail: &Jail) {
        jail.kill();
        self.feeder.end();
    }
}
