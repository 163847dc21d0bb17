//! What is owed to a peer: the rule of the outbox, decided from values alone.
//!
//! Owed are the current events that originate here and pass the peer's filter, minus what its
//! present store took or refused. Nothing else decides it: not what was queued, not who was told.

use serde::{Deserialize, Serialize};

use super::Time;
use super::kinds::federation::{Direction, EventPeerSpec};
use super::stored_time;

impl EventPeerSpec {
    /// Whether events go from here to the peer.
    pub fn is_pushed_to(&self) -> bool {
        self.direction != Direction::Receive && self.endpoint.is_some()
    }

    /// Whether events of this type and subject travel between here and the peer, either way.
    pub fn passes(&self, r#type: &str, subject: &str) -> bool {
        let listed = self.types.is_empty() || self.types.iter().any(|t| t == r#type);
        let begins = |prefix: &String| subject.starts_with(prefix.as_str());
        listed && (self.subject_prefixes.is_empty() || self.subject_prefixes.iter().any(begins))
    }
}

/// How sending an event to a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// The peer has it on its disk.
    Delivered,
    /// The peer refused it for good.
    Dead,
    /// It expired before the peer took it.
    Expired,
}

/// A current event, as far as sending it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its place in the order of receipt; an event that was pruned and comes back has another.
    pub seq: u64,
    /// When it was observed.
    pub observed_at: Time,
    /// Its own expiry.
    pub expires_at: Option<Time>,
    /// When this node received it first.
    pub received_at: Time,
    /// When its fact ends.
    pub end: Time,
    /// Whether this node has it on record that it ended, whatever the clock says now.
    pub ended: bool,
}

/// What is on record of an event and a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Which of the peer's stores it was, in the order in which they were met.
    pub epoch: u32,
    /// Which event.
    pub seq: u64,
    /// Its time when it was sent: a refreshed event is another offer.
    #[serde(with = "stored_time")]
    pub observed_at: Time,
    /// Its expiry when it was sent.
    #[serde(default, with = "stored_time::optional")]
    pub expires_at: Option<Time>,
    /// How it ended.
    pub verdict: Verdict,
}

/// The peer, as far as owing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Which of the peer's stores is the present one.
    pub epoch: u32,
    /// Since when the peer, as it is configured now, with this store, is owed anything.
    pub since: Time,
}

/// How an event stands with a peer whose filter it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// To be sent.
    Owed,
    /// On record, with this end.
    Settled(Verdict),
    /// Expired while it was owed, which is not on record yet.
    Lapsed,
    /// Was over before anything was owed.
    Over,
}

impl Offer {
    /// Whether its fact has ended by `now`.
    pub fn is_over(&self, now: Time) -> bool {
        self.ended || self.end <= now
    }
}

impl Ack {
    /// Whether it speaks of this very offer, to this very store. Times only grow, so a record that
    /// is ahead of what is known here covers it as well.
    pub fn covers(&self, offer: &Offer, epoch: u32) -> bool {
        self.epoch == epoch
            && self.seq == offer.seq
            && self.observed_at >= offer.observed_at
            && self.expires_at >= offer.expires_at
    }
}

/// How a current event stands with a peer whose filter it passes.
pub fn standing(offer: &Offer, ack: Option<&Ack>, account: Account, now: Time) -> Standing {
    match ack {
        Some(ack) if ack.covers(offer, account.epoch) => Standing::Settled(ack.verdict),
        _ if !offer.is_over(now) => Standing::Owed,
        _ if offer.end > account.since.max(offer.received_at) => Standing::Lapsed,
        _ => Standing::Over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_second(second).unwrap()
    }

    /// Received and observed at 10, ends at 100.
    fn offer() -> Offer {
        Offer {
            seq: 7,
            observed_at: at(10),
            expires_at: Some(at(100)),
            received_at: at(10),
            end: at(100),
            ended: false,
        }
    }

    fn ack(verdict: Verdict) -> Ack {
        Ack { epoch: 1, seq: 7, observed_at: at(10), expires_at: Some(at(100)), verdict }
    }

    const ACCOUNT: Account = Account { epoch: 1, since: Time::UNIX_EPOCH };

    #[test]
    fn what_is_not_on_record_is_owed_until_it_is_over() {
        for (now, expected) in [(10, Standing::Owed), (99, Standing::Owed), (100, Standing::Lapsed)]
        {
            assert_eq!(standing(&offer(), None, ACCOUNT, at(now)), expected, "at {now}");
        }
        let ended = Offer { ended: true, ..offer() };
        assert_eq!(standing(&ended, None, ACCOUNT, at(50)), Standing::Lapsed, "set-back clock");
    }

    #[test]
    fn what_was_over_before_anything_was_owed_is_not_given_up() {
        let history = Offer { received_at: at(100), ..offer() };
        assert_eq!(standing(&history, None, ACCOUNT, at(101)), Standing::Over);
        let new_peer = Account { epoch: 1, since: at(100) };
        assert_eq!(standing(&offer(), None, new_peer, at(101)), Standing::Over);
    }

    #[test]
    fn a_record_settles_this_offer_to_this_store_and_no_other() {
        for verdict in [Verdict::Delivered, Verdict::Dead, Verdict::Expired] {
            let settled = standing(&offer(), Some(&ack(verdict)), ACCOUNT, at(50));
            assert_eq!(settled, Standing::Settled(verdict));
        }
        let known = ack(Verdict::Delivered);
        let another_store = Account { epoch: 2, ..ACCOUNT };
        assert_eq!(standing(&offer(), Some(&known), another_store, at(50)), Standing::Owed);
        for changed in [
            Offer { seq: 8, ..offer() },
            Offer { observed_at: at(11), ..offer() },
            Offer { expires_at: Some(at(101)), end: at(101), ..offer() },
        ] {
            assert_eq!(standing(&changed, Some(&known), ACCOUNT, at(50)), Standing::Owed);
        }
        let behind = Offer { observed_at: at(9), ..offer() };
        let settled = standing(&behind, Some(&known), ACCOUNT, at(50));
        assert_eq!(settled, Standing::Settled(Verdict::Delivered), "the record is ahead of us");
        let dated = Offer { expires_at: None, ..offer() };
        let undated = Ack { expires_at: None, ..known };
        assert!(known.covers(&dated, 1) && !undated.covers(&offer(), 1), "an expiry is later");
    }

    #[test]
    fn the_filter_takes_all_where_it_is_empty_and_both_conditions_where_it_is_not() {
        let peer = |types: &[&str], prefixes: &[&str]| -> EventPeerSpec {
            serde_json::from_value(serde_json::json!({
                "groupRef": "g", "nodeName": "b", "endpoint": "http://b:1",
                "types": types, "subjectPrefixes": prefixes,
            }))
            .unwrap()
        };
        for (types, prefixes, r#type, subject, passes) in [
            (&[][..], &[][..], "seen", "", true),
            (&["seen"], &[], "seen", "10.0.0.1/32", true),
            (&["seen"], &[], "seen2", "10.0.0.1/32", false),
            (&["gone", "seen"], &["10.0."], "seen", "10.0.0.1/32", true),
            (&["gone"], &["10.0."], "seen", "10.0.0.1/32", false),
            (&[], &["10.1.", "10.0.0"], "seen", "10.0.0.1/32", true),
            (&[], &["10.1."], "seen", "", false),
        ] {
            assert_eq!(peer(types, prefixes).passes(r#type, subject), passes, "{types:?}");
        }
        let mut own = peer(&[], &[]);
        assert!(own.is_pushed_to());
        own.direction = Direction::Both;
        assert!(own.is_pushed_to());
        own.direction = Direction::Receive;
        assert!(!own.is_pushed_to());
    }
}
