//! `sandbox.user`: another user for one thread and what it spawns.
//!
//! libc's `setuid` changes every thread of the process; the system call changes the calling one
//! only, and that is what is used. A side effect cannot be had without: the kernel marks the whole
//! daemon as not dumpable, so it leaves no core file and cannot be traced by that user.

use super::super::walls::Availability;
use super::lacks;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

const PASSWD: &str = "/etc/passwd";

/// Who a program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct User {
    pub(in super::super) uid: u32,
    pub(in super::super) gid: u32,
}

impl User {
    /// Looks a name or number up in `/etc/passwd`; says what is wrong with it.
    pub(in super::super) fn find(user: &str) -> Result<Self, String> {
        let passwd = std::fs::read_to_string(PASSWD)
            .map_err(|error| format!("{PASSWD} cannot be read: {error}"))?;
        Self::find_in(&passwd, user)
    }

    fn find_in(passwd: &str, user: &str) -> Result<Self, String> {
        let found = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            let (uid, gid) = (fields.next()?, fields.next()?);
            (name == user || uid == user)
                .then(|| Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? }))?
        });
        match found {
            None => Err(format!("there is no user {user:?} in {PASSWD}; create it")),
            Some(Self { uid: 0, .. }) => {
                Err(format!("{user:?} is root, which is no wall; name another user"))
            }
            Some(user) => Ok(user),
        }
    }

    /// Makes the calling thread this user's: no other group, no way back.
    pub(super) fn become_it(self) -> rustix::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    }
}

/// What it takes to become somebody else, to give away the working directory, to remove it, and to
/// end a process that is no longer ours.
pub(super) fn can_change() -> Availability {
    const NEEDED: [(CapabilitySet, &str); 5] = [
        (CapabilitySet::SETUID, "CAP_SETUID"),
        (CapabilitySet::SETGID, "CAP_SETGID"),
        (CapabilitySet::CHOWN, "CAP_CHOWN"),
        (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
        (CapabilitySet::KILL, "CAP_KILL"),
    ];
    match lacks(&NEEDED) {
        None => Availability::Enforced,
        Some(capability) => Availability::NotAvailable(format!(
            "the daemon lacks {capability}; run it as root, or give it the capability"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nplugin:x:990:991::/:/bin/false\n";

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let plugin = Ok(User { uid: 990, gid: 991 });
        assert_eq!(User::find_in(FILE, "plugin"), plugin);
        assert_eq!(User::find_in(FILE, "990"), plugin);
    }

    #[test]
    fn root_and_strangers_are_refused() {
        for (user, why) in [("root", "no wall"), ("0", "no wall"), ("nobdy", "no user \"nobdy\"")] {
            let error = User::find_in(FILE, user).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
