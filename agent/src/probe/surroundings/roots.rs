//! Where the machine's surroundings are looked at: the real places, or a folder that stands in for them.

use std::path::PathBuf;

/// Names a folder that stands in for `/sys`, `/proc`, `/dev` and `/run`, for tests.
const ROOT_VARIABLE: &str = "COMPUTE_SHARE_SURROUNDINGS";
/// Where the system bus listens, as every program of D-Bus reads it.
const BUS_VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    root: PathBuf,
    /// `None` is the system's usual place.
    system_bus: Option<String>,
}

impl Default for Roots {
    /// Returns what the environment says, or else the real places.
    fn default() -> Self {
        let root = std::env::var_os(ROOT_VARIABLE).map(PathBuf::from);
        Self {
            root: root.unwrap_or_else(|| PathBuf::from("/")),
            system_bus: std::env::var(BUS_VARIABLE).ok(),
        }
    }
}

impl Roots {
    /// Returns a folder that stands in for the machine, with a bus of its own.
    pub fn standing_in(root: impl Into<PathBuf>, system_bus: impl Into<String>) -> Self {
        Self {
            root: root.into(),
            system_bus: Some(system_bus.into()),
        }
    }

    /// Returns where a file of the machine is looked for; `path` has no slash in front.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn system_bus(&self) -> Option<&str> {
        self.system_bus.as_deref()
    }
}
