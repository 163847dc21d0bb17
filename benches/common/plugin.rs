//! The example plugin, built as the README says: `cargo bench` builds no examples.

use std::path::PathBuf;
use std::process::Command;

/// What cargo sets for what it runs. A build script that looks at one of these would be run anew,
/// and half the dependencies compiled again.
const SET_BY_CARGO: &[&str] = &["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// Builds the plugin beside the binaries of this bench; returns where it is.
pub fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--quiet", "--example", "event-to-remote-claim"]);
    for (name, _) in std::env::vars() {
        if SET_BY_CARGO.iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    assert!(cargo.status().expect("cargo runs").success(), "the example plugin does not build");
    let routerd = PathBuf::from(env!("CARGO_BIN_EXE_routerd"));
    let built = routerd.with_file_name("examples").join("event-to-remote-claim");
    assert!(built.exists(), "{} is not there", built.display());
    built
}
