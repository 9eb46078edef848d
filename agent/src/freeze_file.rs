//! Since when the owner's return has held running jobs still, for a daemon that is started again meanwhile. A small
//! file, there only while they are frozen; not flushed, as it need not outlive the boot that it names.

use std::{path::PathBuf, time::Duration};

use crate::lease_file::this_boot;

/// See the module.
#[derive(Debug)]
pub(crate) struct FreezeFile {
    path: PathBuf,
    boot: String,
    written: Option<Duration>,
}

impl FreezeFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        let mut file = Self {
            path,
            boot: this_boot(),
            written: None,
        };
        // So that what an earlier daemon wrote goes as well.
        file.written = file.read();
        file
    }

    /// Returns since when an earlier daemon of this boot has had them frozen, on the clock since the boot.
    pub(crate) fn read(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let (boot, since) = text.trim().split_once(' ')?;
        let since = Duration::from_millis(since.parse().ok()?);
        (boot == self.boot).then_some(since)
    }

    /// Writes down since when they are frozen, or that they are not.
    pub(crate) fn keep(&mut self, since: Option<Duration>) {
        if since == self.written {
            return;
        }
        self.written = since;
        let done = match since {
            None => std::fs::remove_file(&self.path),
            Some(since) => {
                let draft = self.path.with_extension("draft");
                let text = format!("{} {}\n", self.boot, since.as_millis());
                std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &self.path))
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, "since when jobs are frozen cannot be noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_outlives_the_daemon_but_neither_its_end_nor_the_boot() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("frozen");
        let since = Some(Duration::from_millis(12_345));
        let mut file = FreezeFile::new(path.clone());
        assert_eq!(file.read(), None);
        file.keep(since);
        let mut next = FreezeFile::new(path.clone());
        assert_eq!(next.read(), since);
        next.keep(None);
        assert!(!path.exists());
        file.keep(None);
        file.keep(since);
        file.boot = "another".to_owned();
        assert_eq!(file.read(), None);
        file.keep(None);
        assert!(!path.exists());
        std::fs::write(&path, "another").unwrap();
        assert_eq!(file.read(), None);
    }
}
