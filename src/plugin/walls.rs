//! What a process is kept from. Pure values; `sandbox` puts the walls up.

use crate::api::kinds::plugin::{Sandbox, SandboxNetwork};
use std::fmt;

/// How far a process is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Confinement {
    /// A hook of the operator's: it has the daemon's own privileges and limits, and may run
    /// setuid programs such as `sudo`.
    Hook,
    /// A plugin: `no_new_privs` and the default limits always, and these walls beside.
    #[default]
    Plugin,
    /// A plugin that asked for walls. Without any one of them it is not run.
    Walled(Walls),
}

impl Confinement {
    /// That of a plugin with this `spec.sandbox`.
    pub fn of_plugin(sandbox: Option<&Sandbox>) -> Self {
        match sandbox.map(Walls::from) {
            Some(walls) if walls != Walls::default() => Self::Walled(walls),
            _ => Self::Plugin,
        }
    }

    pub(super) fn walls(&self) -> Option<&Walls> {
        match self {
            Self::Walled(walls) => Some(walls),
            Self::Hook | Self::Plugin => None,
        }
    }
}

/// The walls that a `spec.sandbox` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walls {
    /// Run as this user, by name or number.
    pub user: Option<String>,
    /// A read-only system and a writable working directory, nothing else.
    pub landlock: bool,
    /// No sockets.
    pub no_network: bool,
    /// Address space of each process at most, in bytes.
    pub memory: Option<u64>,
    /// Processes and threads of the user at most.
    pub processes: Option<u32>,
}

impl From<&Sandbox> for Walls {
    fn from(sandbox: &Sandbox) -> Self {
        Self {
            user: sandbox.user.clone(),
            landlock: sandbox.landlock,
            no_network: sandbox.network == Some(SandboxNetwork::None),
            // Checked when the manifest was accepted.
            memory: sandbox.memory_bytes(),
            processes: sandbox.processes,
        }
    }
}

impl Walls {
    /// Those that the spawning thread has to put up around itself.
    pub(super) fn need_a_thread(&self) -> bool {
        self.user.is_some() || self.landlock || self.no_network
    }

    /// Those that are asked for, in the order in which people read them.
    pub fn asked(&self) -> impl Iterator<Item = Wall> {
        [
            (self.user.is_some(), Wall::User),
            (self.landlock, Wall::Landlock),
            (self.no_network, Wall::Network),
            (self.memory.is_some(), Wall::Memory),
            (self.processes.is_some(), Wall::Processes),
        ]
        .into_iter()
        .filter_map(|(asked, wall)| asked.then_some(wall))
    }
}

/// One wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wall {
    /// Another user.
    User,
    /// The file system.
    Landlock,
    /// Sockets.
    Network,
    /// Address space.
    Memory,
    /// Processes.
    Processes,
}

impl fmt::Display for Wall {
    /// As the field of `spec.sandbox` is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Landlock => "landlock",
            Self::Network => "network",
            Self::Memory => "memory",
            Self::Processes => "processes",
        })
    }
}

/// Whether this host can put up a wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WallState {
    /// Which.
    pub wall: Wall,
    /// What came of the question.
    pub state: Availability,
}

/// What came of the question whether a wall can be put up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It is enforced in every run.
    Enforced,
    /// It is enforced in every run, but for a gap that this kernel leaves.
    EnforcedBut(String),
    /// It cannot be, for this reason; the plugin is not run.
    NotAvailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_asks_for_nothing_is_none() {
        assert_eq!(Confinement::of_plugin(None), Confinement::Plugin);
        let nothing = Sandbox { network: Some(SandboxNetwork::Host), ..Sandbox::default() };
        assert_eq!(Confinement::of_plugin(Some(&nothing)), Confinement::Plugin);
    }

    #[test]
    fn what_is_asked_for_is_listed_by_the_name_of_its_field() {
        let sandbox = Sandbox {
            user: Some("nobody".into()),
            landlock: true,
            network: Some(SandboxNetwork::None),
            memory: Some("1Mi".into()),
            processes: Some(4),
        };
        let walls = Walls::from(&sandbox);
        assert_eq!(walls.memory, Some(1 << 20));
        let names: Vec<_> = walls.asked().map(|wall| wall.to_string()).collect();
        assert_eq!(names, ["user", "landlock", "network", "memory", "processes"]);
        assert!(walls.need_a_thread());
        let limits = Walls { memory: Some(1), processes: Some(1), ..Walls::default() };
        assert!(!limits.need_a_thread());
    }
}
