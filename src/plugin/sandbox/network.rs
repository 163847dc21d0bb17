//! `sandbox.network: none`: no sockets of any family.
//!
//! `socket` answers "permission denied"; so does io_uring, which opens sockets of its own. A pair of
//! connected sockets may be made: it leads nowhere. Not even unix sockets are left, because behind
//! them wait programs that have a network.

use super::super::walls::Availability;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
mod filter {
    use seccompiler::{BpfProgram, Error, SeccompAction, SeccompFilter, TargetArch};
    use std::sync::OnceLock;

    const REFUSED: [i64; 4] = [
        libc::SYS_socket,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ];

    /// The second set of numbers that an x86-64 kernel may understand.
    #[cfg(target_arch = "x86_64")]
    const X32: Option<i64> = Some(0x4000_0000);
    #[cfg(not(target_arch = "x86_64"))]
    const X32: Option<i64> = None;

    /// Restricts the calling thread. Other sets of system calls (32 bit programs on a 64 bit
    /// machine) end the program: the filter cannot tell theirs apart.
    pub(in super::super) fn restrict() -> Result<(), String> {
        static PROGRAM: OnceLock<Result<BpfProgram, String>> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| compile().map_err(|error| error.to_string()));
        let program = program.as_ref().map_err(Clone::clone)?;
        seccompiler::apply_filter(program).map_err(|error| error.to_string())
    }

    fn compile() -> Result<BpfProgram, Error> {
        let second = REFUSED.iter().filter_map(|number| Some(number | X32?));
        let rules = REFUSED.iter().copied().chain(second).map(|number| (number, Vec::new()));
        let denied = SeccompAction::Errno(libc::EACCES as u32);
        let machine = TargetArch::try_from(std::env::consts::ARCH)?;
        let filter = SeccompFilter::new(rules.collect(), SeccompAction::Allow, denied, machine)?;
        Ok(filter.try_into()?)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod filter {
    pub(in super::super) fn restrict() -> Result<(), String> {
        Err(format!("there is no filter for {}", std::env::consts::ARCH))
    }
}

pub(super) use filter::restrict;

/// Whether the kernel takes the filter. Tried once, on a thread that ends.
pub(super) fn availability() -> Availability {
    static KERNEL: std::sync::OnceLock<Availability> = std::sync::OnceLock::new();
    let probe = || match std::thread::spawn(restrict).join() {
        Ok(Ok(())) => Availability::Enforced,
        Ok(Err(why)) => Availability::NotAvailable(why),
        Err(_) => Availability::NotAvailable("the filter could not be tried".to_owned()),
    };
    KERNEL.get_or_init(probe).clone()
}
