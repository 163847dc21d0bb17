//! The words that checks are written in: one complaint each, made at the place given.

use std::fmt::Display;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::super::place::Place;
use crate::api::duration::GoDuration;

/// The longest duration anywhere, 87600h: times that far ahead can still be computed with.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A text that must say something.
pub(super) fn filled(at: &Place<'_>, text: &str) {
    if text.trim().is_empty() {
        at.refuse("must not be empty");
    }
}

/// Texts none of which may be blank.
pub(super) fn all_filled(at: &Place<'_>, texts: &[String]) {
    for (index, text) in texts.iter().enumerate() {
        filled(&at.item(index), text);
    }
}

/// A number within bounds.
pub(super) fn between<N: PartialOrd + Display + Copy>(
    at: &Place<'_>,
    number: N,
    least: N,
    most: N,
) {
    if number < least || number > most {
        at.refuse(format!("expected {least} to {most}, found {number}"));
    }
}

/// A number with a lower bound.
pub(super) fn at_least<N: PartialOrd + Display + Copy>(at: &Place<'_>, number: N, least: N) {
    if number < least {
        at.refuse(format!("expected {least} or more, found {number}"));
    }
}

/// A duration within bounds.
pub(super) fn lasting(at: &Place<'_>, found: GoDuration, least: GoDuration, most: GoDuration) {
    if found < least || found > most {
        at.refuse(format!("expected {least} to {most}, found {found}"));
    }
}

/// A duration that any computation can bear.
pub(super) fn bearable(at: &Place<'_>, found: GoDuration) {
    lasting(at, found, GoDuration::default(), GoDuration(LONGEST));
}

/// A duration above zero.
pub(super) fn positive(at: &Place<'_>, found: GoDuration) {
    if found.is_zero() {
        at.refuse("expected more than 0s, found 0s");
    } else {
        bearable(at, found);
    }
}

/// An absolute path of a file.
pub(super) fn file_path(at: &Place<'_>, path: &str) {
    if no_nul(at, path) {
        if !path.starts_with('/') {
            at.refuse_with(format!("{path:?} is not absolute"), "a path begins with /");
        } else if path.ends_with('/') {
            at.refuse(format!("{path:?} is a directory, not a file"));
        }
    }
}

/// A text that can be handed to the system.
pub(super) fn no_nul(at: &Place<'_>, text: &str) -> bool {
    if text.contains('\0') {
        at.refuse("holds a NUL character");
    }
    !text.contains('\0')
}

/// A network without host bits.
pub(super) fn network(at: &Place<'_>, text: &str) {
    if let Ok(net) = text.parse::<IpNet>() {
        no_host_bits(at, text, net);
    } else {
        at.refuse_with(format!("{text:?} is not a network"), network_hint(text, "10.0.0.0/24"));
    }
}

/// An IPv4 network without host bits.
pub(super) fn ipv4_network(at: &Place<'_>, text: &str) {
    if let Ok(net) = text.parse::<Ipv4Net>() {
        no_host_bits(at, text, net.into());
    } else {
        let message = format!("{text:?} is not an IPv4 network");
        at.refuse_with(message, network_hint(text, "10.0.0.0/24"));
    }
}

fn no_host_bits(at: &Place<'_>, text: &str, net: IpNet) {
    if net.addr() != net.network() {
        let message = format!("{text:?} has bits set behind the prefix");
        at.refuse_with(message, format!("the network is {}", net.trunc()));
    }
}

/// One IPv4 address, written as a /32.
pub(super) fn ipv4_host(at: &Place<'_>, text: &str) {
    let message = format!("{text:?} is not an IPv4 host");
    match text.parse::<Ipv4Net>() {
        Ok(net) if net.prefix_len() == 32 => {}
        Ok(net) => at.refuse_with(message, format!("one address is {}/32", net.addr())),
        Err(_) => at.refuse_with(message, network_hint(text, "10.0.0.1/32")),
    }
}

fn network_hint(text: &str, example: &str) -> String {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => format!("one address is {}", IpNet::from(address)),
        Err(_) => format!("write it like {example}"),
    }
}
