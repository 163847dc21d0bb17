//! The plugins and observers that are built beside the tests.

use std::path::{Path, PathBuf};

/// `cargo test` builds the examples; with `--test` it does not.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "no {}: cargo build --examples", program.display());
    program
}

/// The product's own plugin: one claim for each observed address.
pub fn claim_plugin() -> PathBuf {
    example("event-to-remote-claim")
}

/// The plugin that goes wrong on request.
pub fn badplugin() -> PathBuf {
    example("badplugin")
}

/// The observer of the neighbour table.
pub fn neighbours() -> PathBuf {
    example("neighbours")
}
