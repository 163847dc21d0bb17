//! `sandbox.landlock`: a read-only system and the run's own directory.
//!
//! Landlock knows allowances only, so what may be read is a list. It leaves out home directories,
//! `/var`, `/run`, the configuration and state of the daemon, and of `/etc` everything but what
//! programs need to start, to find hosts and to check certificates.

use super::super::walls::Availability;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    PathFdError, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};
use std::path::Path;
use std::sync::OnceLock;

/// The newest rights we know the meaning of; an older kernel enforces those that it has.
const KNOWN: ABI = ABI::V6;

/// Read and executed. Not `/usr` as a whole: `/usr/local/etc` holds the daemon's own configuration
/// and its secrets.
const PROGRAMS: [&str; 19] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/local/lib",
    "/usr/local/libexec",
    "/usr/local/share",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/lib32",
    "/opt",
    "/nix/store",
];

/// Read. What does not exist is passed over.
const FILES: [&str; 31] = [
    "/proc",
    "/sys",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld-musl-x86_64.path",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    // Certificates, never the private keys beside them.
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/locale.alias",
    "/etc/mime.types",
];

/// Read and written.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Whether the kernel has it. Asked once: it does not change while the daemon runs.
pub(super) fn availability() -> Availability {
    static KERNEL: OnceLock<Availability> = OnceLock::new();
    KERNEL.get_or_init(|| probe().map_or_else(Availability::NotAvailable, gap)).clone()
}

/// The crate tells the kernel's version only of a thread that was restricted: one is.
fn probe() -> Result<LandlockStatus, String> {
    let status = std::thread::spawn(|| {
        let all = AccessFs::from_all(KNOWN);
        let ruleset = Ruleset::default().handle_access(all)?.create()?;
        ruleset.restrict_self().map(|status| status.landlock)
    });
    match status.join() {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it could not be tried".to_owned()),
    }
}

fn gap(status: LandlockStatus) -> Availability {
    let missing = |why: &str| Availability::NotAvailable(why.to_owned());
    match status {
        LandlockStatus::NotImplemented => {
            missing("the kernel has no Landlock; it came with Linux 5.13")
        }
        LandlockStatus::NotEnabled => {
            missing("Landlock is not enabled; add landlock to the kernel's lsm= parameter")
        }
        LandlockStatus::Available { effective_abi, .. } if effective_abi < ABI::V3 => {
            Availability::EnforcedBut(
                "files may be truncated, which needs Linux 6.2 to be prevented".to_owned(),
            )
        }
        LandlockStatus::Available { .. } => Availability::Enforced,
    }
}

/// Why there are no rules for a run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRules {
    #[error(transparent)]
    Path(#[from] PathFdError),
    #[error(transparent)]
    Rule(#[from] RulesetError),
}

/// The rules for one run. Opens every path, so that no path is walked with the run's own rights.
pub(super) fn rules(program: &Path, scratch: &Path) -> Result<RulesetCreated, NoRules> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let run = read | AccessFs::Execute;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    // What a plugin writes it does not execute.
    let own = AccessFs::from_all(KNOWN) & !BitFlags::from(AccessFs::Execute);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    let optional = [(&PROGRAMS[..], run), (&FILES[..], read), (&DEVICES[..], device)];
    for (paths, access) in optional {
        for path in paths {
            if let Ok(fd) = PathFd::new(path) {
                rules = rules.add_rule(PathBeneath::new(fd, access))?;
            }
        }
    }
    for (path, access) in [(program, AccessFs::ReadFile | AccessFs::Execute), (scratch, own)] {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
    }
    Ok(rules)
}

/// Keeps the calling thread to the rules.
pub(super) fn restrict(rules: RulesetCreated) -> Result<(), String> {
    match rules.restrict_self() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err("the kernel did not enforce it".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_the_daemons_own_is_within_reach() {
        for own in [
            "/usr/local/etc/routerd/router.yaml",
            "/usr/local/etc/routerd/secrets/cloudedge.secret",
            "/var/lib/routerd/routerd.db",
            "/etc/shadow",
            "/etc/ssl/private/key.pem",
            "/etc/pki/tls/private/key.pem",
        ] {
            let open = PROGRAMS.iter().chain(&FILES).find(|open| Path::new(own).starts_with(open));
            assert_eq!(open, None, "{own}");
        }
    }
}
