//! When the lease was last renewed, for a daemon that is started again while attempts run, and for
//! supervisors whose daemon is gone. A small file,
//! replaced whole but not flushed: it need not outlive the boot that it names.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use agent_core::lease::Lease;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// See the module.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    path: PathBuf,
    boot: String,
    written: Mutex<Option<Lease>>,
}

impl LeaseFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            boot: this_boot(),
            written: Mutex::default(),
        }
    }

    /// Returns the lease of an earlier daemon of this boot.
    pub(crate) fn read(&self) -> Option<Lease> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let mut words = text.split_whitespace();
        if words.next()? != self.boot {
            return None;
        }
        let mut span = || Some(Duration::from_millis(words.next()?.parse().ok()?));
        let (length, renewed_at) = (span()?, span()?);
        Some(Lease::new(length, renewed_at))
    }

    /// Notes a lease, unless a later one was noted meanwhile. Blocks.
    pub(crate) fn write(&self, lease: &Lease) {
        let mut last = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let later = |noted: &Lease| noted.renewed_at() > lease.renewed_at();
        if last
            .as_ref()
            .is_some_and(|noted| noted == lease || later(noted))
        {
            return;
        }
        let (length, renewed) = (lease.length().as_millis(), lease.renewed_at().as_millis());
        let text = format!("{} {length} {renewed}\n", self.boot);
        let draft = self.path.with_extension("draft");
        let written =
            std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &self.path));
        match written {
            Ok(()) => *last = Some(*lease),
            Err(error) => tracing::debug!(%error, "the lease cannot be noted"),
        }
    }
}

/// Returns what tells this start of the machine from every other.
pub(crate) fn this_boot() -> String {
    let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    boot.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlives_the_daemon_but_not_the_boot() {
        let temp = tempfile::tempdir().unwrap();
        let mut file = LeaseFile::new(temp.path().join("lease"));
        assert_eq!(file.read(), None);
        let lease = Lease::new(Duration::from_secs(300), Duration::from_millis(12_345));
        file.write(&lease);
        assert_eq!(file.read(), Some(lease));
        // What was on its way longer does not put it back.
        file.write(&Lease::new(
            Duration::from_secs(300),
            Duration::from_millis(12_344),
        ));
        assert_eq!(file.read(), Some(lease));
        file.boot = "another".to_owned();
        assert_eq!(file.read(), None);
        std::fs::write(&file.path, "another 5").unwrap();
        assert_eq!(file.read(), None);
    }
}
