//! The lease file of dnsmasq: read whole whenever its directory changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::Path;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use routerd::api::Time;
use tokio::sync::watch;

/// Bytes of a lease file that are read.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Leases by address, and when each ends; `None` never does.
pub type Leases = BTreeMap<Ipv4Addr, Option<Time>>;

/// The IPv4 leases of a file's text. Each line is `EXPIRY MAC ADDRESS NAME CLIENT-ID`, the expiry
/// in seconds of the epoch or 0; what follows `duid` is IPv6. A line that is none of that is
/// passed over: dnsmasq may be in the middle of writing it.
pub fn parse(text: &str) -> Leases {
    text.lines()
        .take_while(|line| !line.starts_with("duid"))
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let expiry: i64 = words.next()?.parse().ok()?;
            let address = words.nth(1)?.parse().ok()?;
            let end = if expiry == 0 { None } else { Some(Time::from_second(expiry).ok()?) };
            Some((address, end))
        })
        .collect()
}

/// Reads the file. One that is not there holds no leases.
pub fn read(path: &Path) -> io::Result<Leases> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leases::new()),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(parse(&text))
}

/// Raises the number whenever something happens in the file's directory. The watch lasts as long
/// as the watcher is kept.
pub fn watch(path: &Path) -> notify::Result<(RecommendedWatcher, watch::Receiver<u64>)> {
    let (sender, changes) = watch::channel(0);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_err() || event.is_ok_and(|event| !event.kind.is_access()) {
            sender.send_modify(|changes| *changes += 1);
        }
    })?;
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    watcher.watch(directory.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)?;
    Ok((watcher, changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_read_as_dnsmasq_writes_them() {
        let text = "1800000000 52:54:00:12:34:56 10.88.60.9 laptop 01:52:54:00:12:34:56\n\
            0 52:54:00:12:34:57 10.88.60.10 * *\n\
            half a li\n\
            1800000000 52:54:00:12:34:58 not-an-address x *\n\
            duid 00:01:00:01:2c:aa\n\
            1800000000 12345678 10.88.60.11 six *\n";
        let end = Time::from_second(1_800_000_000).expect("in range");
        let expected =
            [(Ipv4Addr::new(10, 88, 60, 9), Some(end)), (Ipv4Addr::new(10, 88, 60, 10), None)];
        assert_eq!(parse(text), expected.into());
    }
}
