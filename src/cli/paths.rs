//! Where things are: flags first, then the environment, then the defaults that scripts rely on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::args::Global;

/// The config file that is used if it is there.
pub const DEFAULT_ROUTER: &str = "/usr/local/etc/routerd/router.yaml";
/// The config directory that is used beside it.
pub const DEFAULT_MANIFESTS: &str = "/usr/local/etc/routerd/manifests";
/// The state directory.
pub const DEFAULT_STATE: &str = "/var/lib/routerd/routerd.db";

/// The socket's name in the state directory.
const SOCKET: &str = "control.sock";

/// The resolved paths of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    /// The config paths.
    pub config: Vec<PathBuf>,
    /// Whether somebody named them, as against the defaults.
    pub config_given: bool,
    /// The state directory.
    pub state: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
}

impl Paths {
    pub(super) fn resolve(flags: &Global, env: fn(&str) -> Option<OsString>) -> Self {
        let env = |name| env(name).filter(|value: &OsString| !value.is_empty());
        let mut config = flags.config.clone();
        if config.is_empty()
            && let Some(paths) = env("ROUTERD_CONFIG")
        {
            config = std::env::split_paths(&paths).collect();
        }
        let config_given = !config.is_empty();
        if !config_given {
            config = default_config();
        }
        let state = flags.state.clone().or_else(|| env("ROUTERD_STATE").map(PathBuf::from));
        let state = state.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE));
        let socket = flags.socket.clone().or_else(|| env("ROUTERD_SOCKET").map(PathBuf::from));
        let socket = socket.unwrap_or_else(|| state.join(SOCKET));
        Self { config, config_given, state, socket }
    }
}

/// The default file if it is there, and the default directory.
pub fn default_config() -> Vec<PathBuf> {
    let router = Path::new(DEFAULT_ROUTER);
    let router = router.exists().then(|| router.to_owned());
    router.into_iter().chain([PathBuf::from(DEFAULT_MANIFESTS)]).collect()
}
