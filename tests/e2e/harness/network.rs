//! Two routers and a client in network namespaces of their own, joined by veth pairs:
//!
//! ```text
//! cloud 169.254.110.2 ── wg-hybrid ── 169.254.110.1 onprem 10.88.60.1 ── lan ── 10.88.60.9 client
//! ```

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The namespaces; they go when it goes out of scope.
pub struct Network {
    prefix: String,
}

static NETWORKS: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// Lays the network, or says why that is not allowed here.
    pub fn lay() -> Result<Self, String> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self { prefix: format!("routerd-{}-{number}", std::process::id()) };
        for name in ["cloud", "onprem", "client"] {
            ip(&format!("netns add {}", network.namespace(name)))?;
            network.ip(name, "link set lo up")?;
        }
        network.join(("cloud", "169.254.110.2/30"), ("onprem", "169.254.110.1/30"), "wg-hybrid")?;
        network.join(("onprem", "10.88.60.1/24"), ("client", "10.88.60.9/24"), "lan")?;
        Ok(network)
    }

    fn join(&self, left: (&str, &str), right: (&str, &str), link: &str) -> Result<(), String> {
        let of = |(end, _): (&str, &str)| self.namespace(end);
        let (one, other) = (of(left), of(right));
        ip(&format!("link add {link} netns {one} type veth peer name {link} netns {other}"))?;
        for (end, address) in [left, right] {
            self.ip(end, &format!("address add {address} dev {link}"))?;
            self.ip(end, &format!("link set {link} up"))?;
        }
        Ok(())
    }

    /// The name of the namespace of `cloud`, `onprem` or `client`.
    pub fn namespace(&self, of: &str) -> String {
        format!("{}-{of}", self.prefix)
    }

    /// `ip`, in one of the namespaces.
    pub fn ip(&self, of: &str, args: &str) -> Result<(), String> {
        ip(&format!("-n {} {args}", self.namespace(of)))
    }

    /// A program in one of the namespaces.
    pub fn command(&self, of: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(of), program]);
        command
    }

    /// Sends a datagram from one of the namespaces, so that its kernel asks who has the address.
    pub fn talk(&self, from: &str, to: &str) {
        let send = format!("echo > /dev/udp/{to}/9");
        let sent = self.command(from, "bash").args(["-c", &send]).status();
        assert!(sent.expect("bash runs").success(), "a datagram to {to}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in ["cloud", "onprem", "client"] {
            // Not all of them need be there if laying it failed.
            _ = ip(&format!("netns delete {}", self.namespace(name)));
        }
    }
}

fn ip(args: &str) -> Result<(), String> {
    let done = Command::new("ip").args(args.split_whitespace()).output();
    let done = done.map_err(|error| format!("ip: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("ip {args}: {}", String::from_utf8_lossy(&done.stderr).trim()))
}
