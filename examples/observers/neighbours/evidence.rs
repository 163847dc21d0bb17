//! What the kernel and the DHCP server say of an address, and what is to be said of it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use routerd::api::Time;

/// What the kernel's neighbour table says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// It answered of late, or is being asked right now after it did.
    Answers,
    /// It answered once, and nobody has talked to it since.
    Silent,
    /// It was asked and did not answer.
    Failed,
}

/// Everything that is known of the clients of this node.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The kernel's neighbour table.
    pub neighbours: BTreeMap<Ipv4Addr, Neighbour>,
    /// Leases that hold, and until when; `None` holds for ever.
    pub leases: BTreeMap<Ipv4Addr, Option<Time>>,
    /// Leases that were there when the file was read before, and are not any more.
    pub released: BTreeSet<Ipv4Addr>,
    /// Addresses that this node captures: whoever answers for them here is this node itself.
    pub claimed: BTreeSet<Ipv4Addr>,
}

/// Whether a client is behind this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Here,
    /// Nothing says that it is, and nothing that it is not: what was said before may run out.
    Perhaps,
    /// It is not.
    Gone,
}

/// What this node has told of a client, and what still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The id of the event: saying it again refreshes the fact and runs nothing.
    pub id: String,
    /// When it stops being true unless it is said again.
    pub until: Time,
}

/// What to tell now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Nothing, before the given time if there is one.
    Nothing(Option<Duration>),
    /// That the client is there, under the id of the present stretch if there is one.
    Observed(Option<String>),
    /// That it is gone. The word must outlive what it takes back.
    Expired(Duration),
}

impl Evidence {
    /// Whether the client with this address is here.
    pub fn seen(&self, address: Ipv4Addr, now: Time) -> Seen {
        if self.claimed.contains(&address) {
            return Seen::Gone;
        }
        if self.leases.get(&address).is_some_and(|end| end.is_none_or(|end| end > now)) {
            return Seen::Here;
        }
        match self.neighbours.get(&address) {
            Some(Neighbour::Answers) => Seen::Here,
            Some(Neighbour::Failed) => Seen::Gone,
            _ if self.released.contains(&address) => Seen::Gone,
            Some(Neighbour::Silent) | None => Seen::Perhaps,
        }
    }

    /// Takes in the lease file as it is now. Returns the addresses of which it says something new.
    pub fn set_leases(&mut self, leases: BTreeMap<Ipv4Addr, Option<Time>>) -> Vec<Ipv4Addr> {
        let gone: Vec<_> =
            self.leases.keys().filter(|address| !leases.contains_key(*address)).copied().collect();
        let new: Vec<_> = leases
            .iter()
            .filter(|(address, end)| self.leases.get(*address) != Some(*end))
            .map(|(address, _)| *address)
            .collect();
        self.released.retain(|address| !leases.contains_key(address));
        self.released.extend(&gone);
        self.leases = leases;
        gone.into_iter().chain(new).collect()
    }

    /// Takes in the neighbour table as it is now. Returns the addresses of which it says something
    /// new.
    pub fn set_neighbours(&mut self, table: BTreeMap<Ipv4Addr, Neighbour>) -> Vec<Ipv4Addr> {
        let gone = self.neighbours.keys().filter(|address| !table.contains_key(*address));
        let new = table.iter().filter(|(at, state)| self.neighbours.get(*at) != Some(*state));
        let changed = gone.copied().chain(new.map(|(address, _)| *address)).collect();
        self.neighbours = table;
        changed
    }

    /// Takes in the addresses that this node captures now. Returns those that came or went.
    pub fn set_claimed(&mut self, claimed: BTreeSet<Ipv4Addr>) -> Vec<Ipv4Addr> {
        let changed = self.claimed.symmetric_difference(&claimed).copied().collect();
        self.claimed = claimed;
        changed
    }
}

/// What to tell of a client that is `seen`, where `told` still holds and each word holds for `ttl`.
///
/// A word is renewed when a third of its time is over, so that two renewals may fail.
pub fn say(seen: Seen, told: Option<&Told>, now: Time, ttl: Duration) -> Say {
    let told = told.filter(|told| told.until > now);
    let left = told.map(|told| until(now, told.until));
    match (seen, told, left) {
        (Seen::Here, Some(told), Some(left)) => match left.checked_sub(ttl * 2 / 3) {
            Some(wait) if !wait.is_zero() => Say::Nothing(Some(wait)),
            _ => Say::Observed(Some(told.id.clone())),
        },
        (Seen::Here, ..) => Say::Observed(None),
        (Seen::Gone, Some(_), Some(left)) => Say::Expired(left.max(ttl)),
        (Seen::Gone | Seen::Perhaps, ..) => Say::Nothing(None),
    }
}

/// How long it is from `now` to `end`; nothing if that is past.
pub fn until(now: Time, end: Time) -> Duration {
    Duration::try_from(end.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    fn at(second: i64) -> Time {
        Time::from_second(second).expect("in range")
    }

    fn client() -> Ipv4Addr {
        Ipv4Addr::new(10, 88, 60, 9)
    }

    fn evidence(neighbour: Option<Neighbour>, lease: Option<i64>) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.neighbours.extend(neighbour.map(|state| (client(), state)));
        evidence.leases.extend(lease.map(|end| (client(), (end != 0).then(|| at(end)))));
        evidence
    }

    #[test]
    fn the_kernel_and_the_leases_together_say_who_is_here() {
        use Neighbour::{Answers, Failed, Silent};
        for (neighbour, lease, expected) in [
            (Some(Answers), None, Seen::Here),
            (Some(Silent), None, Seen::Perhaps),
            (Some(Failed), None, Seen::Gone),
            (None, None, Seen::Perhaps),
            // A client that sleeps keeps its lease; one that holds none any more is judged by ARP.
            (None, Some(101), Seen::Here),
            (None, Some(0), Seen::Here),
            (Some(Failed), Some(101), Seen::Here),
            (Some(Failed), Some(100), Seen::Gone),
            (Some(Answers), Some(100), Seen::Here),
            (None, Some(100), Seen::Perhaps),
        ] {
            let seen = evidence(neighbour, lease).seen(client(), at(100));
            assert_eq!(seen, expected, "{neighbour:?} {lease:?}");
        }
    }

    #[test]
    fn an_address_that_this_node_captures_is_never_here() {
        let mut evidence = evidence(Some(Neighbour::Answers), Some(0));
        assert_eq!(evidence.set_claimed(BTreeSet::from([client()])), [client()]);
        assert_eq!(evidence.seen(client(), at(100)), Seen::Gone);
        assert_eq!(evidence.set_claimed(BTreeSet::new()), [client()]);
        assert_eq!(evidence.seen(client(), at(100)), Seen::Here);
    }

    #[test]
    fn a_lease_that_was_released_ends_a_client_that_is_silent_and_not_one_that_answers() {
        let mut silent = evidence(Some(Neighbour::Silent), Some(0));
        assert_eq!(silent.set_leases(BTreeMap::new()), [client()]);
        assert_eq!(silent.seen(client(), at(100)), Seen::Gone);
        let mut answering = evidence(Some(Neighbour::Answers), Some(0));
        answering.set_leases(BTreeMap::new());
        assert_eq!(answering.seen(client(), at(100)), Seen::Here);
        // Leased anew: the release is forgotten.
        silent.set_leases(BTreeMap::from([(client(), None)]));
        assert_eq!(silent.seen(client(), at(100)), Seen::Here);
        assert!(silent.released.is_empty());
    }

    #[test]
    fn what_has_not_changed_is_not_looked_at_again() {
        let mut evidence = evidence(Some(Neighbour::Answers), Some(200));
        let (table, leases) = (evidence.neighbours.clone(), evidence.leases.clone());
        assert!(evidence.set_neighbours(table).is_empty());
        assert!(evidence.set_leases(leases).is_empty());
        let silent = BTreeMap::from([(client(), Neighbour::Silent)]);
        assert_eq!(evidence.set_neighbours(silent), [client()]);
    }

    #[test]
    fn a_client_is_told_of_once_and_then_renewed_under_the_same_id() {
        let told = |until| Told { id: "e1".to_owned(), until: at(until) };
        let wait = |seconds| Say::Nothing(Some(Duration::from_secs(seconds)));
        let again = Say::Observed(Some("e1".to_owned()));
        assert_eq!(say(Seen::Here, None, at(0), TTL), Say::Observed(None));
        assert_eq!(say(Seen::Here, Some(&told(300)), at(0), TTL), wait(100));
        assert_eq!(say(Seen::Here, Some(&told(300)), at(99), TTL), wait(1));
        assert_eq!(say(Seen::Here, Some(&told(300)), at(100), TTL), again);
        // What ran out begins a new stretch, under an id of its own.
        assert_eq!(say(Seen::Here, Some(&told(300)), at(300), TTL), Say::Observed(None));
        // Somebody made the ttl shorter: the old word holds for longer than a new one would.
        assert_eq!(say(Seen::Here, Some(&told(1_000)), at(0), TTL), wait(800));
    }

    #[test]
    fn what_was_told_is_taken_back_only_if_it_holds_and_is_wrong() {
        let told = Told { id: "e1".to_owned(), until: at(1_000) };
        assert_eq!(say(Seen::Gone, None, at(0), TTL), Say::Nothing(None));
        assert_eq!(say(Seen::Perhaps, Some(&told), at(0), TTL), Say::Nothing(None));
        let long = Say::Expired(Duration::from_secs(1_000));
        assert_eq!(say(Seen::Gone, Some(&told), at(0), TTL), long);
        assert_eq!(say(Seen::Gone, Some(&told), at(990), TTL), Say::Expired(TTL));
        assert_eq!(say(Seen::Gone, Some(&told), at(1_000), TTL), Say::Nothing(None));
    }
}
