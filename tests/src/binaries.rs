//! Where the programs under test are.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Returns the path of a program of this workspace, as built beside the tests that run now.
pub(crate) fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(built).join(name)
}

/// The test's own executable is `target/PROFILE/deps/NAME`. The programs are built here where they are
/// missing or old; cargo knows which, and does nothing otherwise.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path is known");
    let folder = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps")
        .to_owned();
    let fresh = std::env::var_os("COMPUTE_SHARE_TEST_BINARIES_ARE_FRESH").is_some();
    if !fresh {
        build(&folder);
    }
    folder
}

fn build(folder: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--bins", "-p", "compute-share"]);
    cargo.args(["-p", "compute-share-coordinator"]);
    if folder
        .file_name()
        .is_some_and(|profile| profile == "release")
    {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "the programs under test do not build");
}

/// Returns the library that plays a GPU driver, built if need be: see `tests/mock-nvml`.
pub(crate) fn mock_driver() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = binary("");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "-p", "compute-share-mock-nvml"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.status().expect("cargo can be started");
        assert!(status.success(), "the mock driver does not build");
        folder.join("libmock_nvml.so")
    };
    LIBRARY.get_or_init(build).clone()
}
