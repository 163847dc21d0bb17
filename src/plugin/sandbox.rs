//! Walls around a process: whether this host can put them up, and how.
//!
//! [`raise`] puts them up around the calling **thread**, which then spawns the program and ends:
//! credentials, `no_new_privs`, Landlock domain and seccomp filter belong to a thread, and a child
//! inherits those of the thread that spawned it. So `posix_spawn` stays as quick as it is, nothing
//! is forked, and no code runs between fork and exec. The thread must do nothing else afterwards.
//!
//! A wall that was asked for and cannot be put up is an error, and the program is not run: see
//! `docs/adr/0007-sandbox-fails-closed.md`.

mod filesystem;
mod network;
mod user;

pub(super) use user::User;

use super::contract::HostError;
use super::walls::{Availability, Wall, WallState, Walls};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::fmt;
use std::path::Path;

/// Looks whether this host can put up each wall that is asked for.
pub(super) fn look(walls: &Walls) -> Vec<WallState> {
    walls.asked().map(|wall| WallState { wall, state: look_at(wall, walls) }).collect()
}

fn look_at(wall: Wall, walls: &Walls) -> Availability {
    match wall {
        Wall::User => match User::find(walls.user.as_deref().unwrap_or_default()) {
            Ok(_) => user::can_change(),
            Err(why) => Availability::NotAvailable(why),
        },
        Wall::Landlock => filesystem::availability(),
        Wall::Network => network::availability(),
        // The kernel counts by user, and never refuses root.
        Wall::Processes if walls.user.is_none() => Availability::NotAvailable(
            "processes are counted by user; give the plugin one of its own with sandbox.user"
                .to_owned(),
        ),
        Wall::Memory | Wall::Processes => Availability::Enforced,
    }
}

/// The first wall that cannot be put up, as the reason not to run `executable`; else the user that
/// was asked for.
pub(super) fn check(executable: &Path, walls: &Walls) -> Result<Option<User>, HostError> {
    for WallState { wall, state } in look(walls) {
        if let Availability::NotAvailable(why) = state {
            return Err(HostError::Sandbox { path: executable.to_owned(), wall, why });
        }
    }
    let refused = |why| HostError::Sandbox { path: executable.to_owned(), wall: Wall::User, why };
    walls.user.as_deref().map(User::find).transpose().map_err(refused)
}

/// Puts up the walls around the calling thread, for good. `program` stays readable and executable,
/// `scratch` writable.
pub(super) fn raise(
    walls: &Walls,
    user: Option<User>,
    program: &Path,
    scratch: &Path,
) -> Result<(), (Wall, String)> {
    let failed = |wall| move |error: &dyn fmt::Display| (wall, error.to_string());
    rustix::thread::set_no_new_privs(true).map_err(|e| failed(Wall::User)(&e))?;
    // Opened while everything can be: another user might not reach the paths.
    let files = walls
        .landlock
        .then(|| filesystem::rules(program, scratch))
        .transpose()
        .map_err(|e| failed(Wall::Landlock)(&e))?;
    if let Some(user) = user {
        user.become_it().map_err(|e| failed(Wall::User)(&e))?;
    }
    // With capabilities root walks around the other walls: it loads modules and traces processes.
    drop_capabilities().map_err(|e| failed(Wall::User)(&e))?;
    if let Some(files) = files {
        filesystem::restrict(files).map_err(|e| failed(Wall::Landlock)(&e))?;
    }
    if walls.no_network {
        network::restrict().map_err(|e| failed(Wall::Network)(&e))?;
    }
    Ok(())
}

/// Under `no_new_privs` an execution gives none of them back, not even to root.
fn drop_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    rustix::thread::clear_ambient_capability_set()?;
    let cleared = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, cleared)
}

/// The first of these that the calling thread lacks.
fn lacks(needed: &[(CapabilitySet, &'static str)]) -> Option<&'static str> {
    let has = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    needed.iter().find(|(one, _)| !has.contains(*one)).map(|(_, name)| *name)
}
