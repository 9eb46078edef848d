//! What outlives the process besides the book: what times it was (see `clock`), and who has to wait for wrong codes. One small file,
//! replaced as a whole. Without it, or if it is damaged, the book's newest event says what time it was at least.
//!
//! With it, a clock that is set back while the coordinator does not run makes nothing good again that has expired.

use std::path::Path;

use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{folder, rate::Closure};

/// Longest file: some thousand addresses.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// The org's time.
    pub(crate) at: Timestamp,
    /// The latest that the system's clock said, in any run; it goes back only when somebody says that the clock is right.
    pub(crate) system_at: Option<Timestamp>,
    pub(crate) closures: Vec<Closure>,
}

impl Kept {
    pub(crate) fn load(data: &Path) -> Self {
        let path = folder::kept(data);
        let Ok(metadata) = std::fs::metadata(&path) else {
            return Self::default();
        };
        if metadata.len() > MAX_BYTES {
            tracing::warn!(path = %path.display(), "it is far too long, and not used");
            return Self::default();
        }
        let read = std::fs::read(&path);
        let read = read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        read.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "it cannot be read, and is not used");
            Self::default()
        })
    }

    pub(crate) fn save(&self, data: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        let path = folder::kept(data);
        link::files::write_atomic(&path, &bytes, link::files::PRIVATE_FILE_MODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_damage_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Kept::load(folder.path()), Kept::default());
        let kept = Kept {
            at: Timestamp::from_unix_ms(7),
            system_at: Some(Timestamp::from_unix_ms(6)),
            closures: vec![Closure {
                from: Some([10, 0, 0, 1].into()),
                until: Timestamp::from_unix_ms(9),
            }],
        };
        kept.save(folder.path()).unwrap();
        assert_eq!(Kept::load(folder.path()), kept);
        std::fs::write(folder::kept(folder.path()), b"{\"at\":").unwrap();
        assert_eq!(Kept::load(folder.path()), Kept::default());
    }
}
