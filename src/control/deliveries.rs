//! What is owed to the peers, what they took and what was given up: figures, lists, and trying
//! again.
//!
//! All but trying again is computed from the rows by the rule of the outbox
//! ([`standing`]), so it is answered without a daemon as well; a daemon has counted already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::backend::PeerFigures;
use super::error::{ApiError, Reason};
use super::kinds;
use super::operations::Control;
use super::read::{Reader, spec_of};
use super::views::{DeliveryList, DeliveryStatus, DeliverySummary, DeliveryView, PeerView};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::condition::{Condition, ConditionStatus};
use crate::api::delivery::{Ack, Offer, Standing, Verdict, standing};
use crate::api::duration::GoDuration;
use crate::api::fact::FactId;
use crate::api::kinds::federation::{EventGroupSpec, EventPeerSpec};
use crate::store::facts;
use crate::store::tables::{DeliveryRow, EventRow, FactRow, OutboxRow, account};
use crate::store::{Scan, Store, StoreError};

/// Deliveries of one answer at most, whatever `limit` says.
pub const MAX_DELIVERIES_LISTED: usize = 100_000;
/// Deliveries of one answer where `limit` does not say.
const DEFAULT_LIMIT: usize = 1_000;
/// Dead letters revived in one transaction.
const SLICE: usize = 512;
/// Peers woken by one request, at most.
const MAX_PEERS: usize = 10_000;

/// Which deliveries to list; what is absent selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryFilter {
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The EventPeer, by its name or its `nodeName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// How the delivery stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeliveryStatus>,
    /// How many at most: 1,000 if absent, 100,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What to try again now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(expecting = "an object with group, peer, eventId")]
pub struct RetryRequest {
    /// Peers of this group only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// This EventPeer only, by its name or its `nodeName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// This event's dead letters only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

/// What is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryAnswer {
    /// The peers that are tried now, paused ones too.
    pub peers: Vec<String>,
    /// Dead letters that are owed again.
    pub revived: u64,
}

/// An accepted EventPeer.
struct Peer {
    name: String,
    accepted: Accepted,
    spec: EventPeerSpec,
    row: Option<OutboxRow>,
}

impl Peer {
    fn is_named(&self, group: Option<&String>, peer: Option<&String>) -> bool {
        group.is_none_or(|group| *group == self.spec.group_ref)
            && peer.is_none_or(|peer| *peer == self.name || *peer == self.spec.node_name)
    }
}

/// One current event and one peer.
struct Found<'a> {
    peer: &'a Peer,
    fact: FactId,
    event: &'a EventRow,
    offer: Offer,
    status: DeliveryStatus,
}

impl Reader {
    fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        let mut peers = Vec::new();
        for accepted in self.store().scan::<Accepted>(&Scan::prefix(&"EventPeer".to_owned())) {
            let accepted = accepted?;
            let Some(spec) = spec_of::<EventPeerSpec>(&accepted) else { continue };
            let name = accepted.resource.key.name.clone();
            let row = self.store().get::<OutboxRow>(&name)?;
            let row = row.filter(|row| row.uid == accepted.uid);
            peers.push(Peer { name, accepted, spec, row });
        }
        Ok(peers)
    }

    fn delivering(&self, peer: &Peer) -> Result<Option<Condition>, ApiError> {
        let conditions = self.conditions(&kinds::key("EventPeer", &peer.name))?;
        Ok(conditions.into_iter().find(|condition| condition.r#type == "Delivering"))
    }

    /// Looks at every current event that is meant for one of `peers`. Blocking: it reads each fact.
    fn walk(
        &self,
        peers: &[Peer],
        mut each: impl FnMut(Found<'_>) -> bool,
    ) -> Result<(), ApiError> {
        let now = self.now();
        let groups: HashMap<String, EventGroupSpec> =
            self.typed::<EventGroupSpec>("EventGroup")?.into_iter().collect();
        let peers: Vec<(&Peer, HashMap<FactId, Ack>)> = peers
            .iter()
            .filter(|peer| peer.spec.is_pushed_to() && groups.contains_key(&peer.spec.group_ref))
            .map(|peer| Ok((peer, acks(self.store(), &peer.name)?)))
            .collect::<Result<_, ApiError>>()?;
        if peers.is_empty() {
            return Ok(());
        }
        for row in facts::all(self.store()) {
            let row = row?;
            let Some(group) = groups.get(&row.group) else { continue };
            let Some((event, offer)) = current(self.store(), &row, group)? else { continue };
            for (peer, acks) in peers.iter().filter(|(p, _)| p.spec.group_ref == row.group) {
                let envelope = &event.event;
                if !peer.spec.passes(&envelope.r#type, &envelope.subject) {
                    continue;
                }
                let account = account(peer.row.as_ref(), &peer.accepted);
                let stands = standing(&offer, acks.get(&row.fact), account, now);
                let Some(status) = DeliveryStatus::of(stands) else { continue };
                if !each(Found { peer, fact: row.fact, event: &event, offer, status }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The figures of all peers, row by row: for when nobody keeps count.
    fn count_peers(&self, peers: &[Peer]) -> Result<BTreeMap<String, PeerFigures>, ApiError> {
        let mut figures: BTreeMap<String, PeerFigures> = BTreeMap::new();
        self.walk(peers, |found| {
            let own = figures.entry(found.peer.name.clone()).or_default();
            match found.status {
                DeliveryStatus::Pending => {
                    own.pending += 1;
                    let received = found.offer.received_at;
                    own.oldest = Some(own.oldest.map_or(received, |oldest| oldest.min(received)));
                    let end = found.offer.end;
                    own.next_end = Some(own.next_end.map_or(end, |next| next.min(end)));
                }
                DeliveryStatus::Delivered => own.delivered += 1,
                DeliveryStatus::Dead => own.dead += 1,
                DeliveryStatus::Expired => {}
            }
            true
        })?;
        Ok(figures)
    }
}

/// What is on record of a peer.
fn acks(store: &Store, peer: &str) -> Result<HashMap<FactId, Ack>, StoreError> {
    let rows = store.scan::<DeliveryRow>(&Scan::prefix(&peer.to_owned()));
    rows.map(|row| row.map(|row| (row.fact, row.ack))).collect()
}

/// The current event of a fact, if it originates here.
fn current(
    store: &Store,
    row: &FactRow,
    group: &EventGroupSpec,
) -> Result<Option<(EventRow, Offer)>, StoreError> {
    let event = store.get::<EventRow>(&(row.group.clone(), row.event_id.clone()))?;
    let ours =
        |event: &EventRow| event.seq == row.seq && event.event.source_node == group.node_name;
    let Some(event) = event.filter(ours) else {
        return Ok(None);
    };
    let max_age = group.retention.max_age.get();
    let offer = Offer {
        seq: row.seq,
        observed_at: row.observed_at,
        expires_at: row.expires_at,
        received_at: event.received_at,
        end: row.end(max_age),
        ended: row.is_ended(max_age),
    };
    Ok(Some((event, offer)))
}

impl DeliveryStatus {
    fn of(standing: Standing) -> Option<Self> {
        match standing {
            Standing::Owed => Some(Self::Pending),
            Standing::Settled(Verdict::Delivered) => Some(Self::Delivered),
            Standing::Settled(Verdict::Dead) => Some(Self::Dead),
            Standing::Settled(Verdict::Expired) | Standing::Lapsed => Some(Self::Expired),
            Standing::Over => None,
        }
    }
}

impl Control {
    fn peer_figures(&self, peers: &[Peer]) -> Result<BTreeMap<String, PeerFigures>, ApiError> {
        match self.live().and_then(|live| live.peers()) {
            Some(figures) => Ok(figures),
            None => self.reader().count_peers(peers),
        }
    }

    /// The EventPeers and how they fare, by name.
    pub fn peers(&self) -> Result<Vec<PeerView>, ApiError> {
        let peers = self.reader().peers()?;
        let figures = self.peer_figures(&peers)?;
        peers
            .into_iter()
            .map(|peer| {
                let own = figures.get(&peer.name).cloned().unwrap_or_default();
                let condition = self.reader().delivering(&peer)?;
                Ok(peer_view(peer, &own, condition))
            })
            .collect()
    }

    /// How the current events stand with the peers, by fact and peer. Blocking: it reads each fact.
    pub fn deliveries(&self, filter: &DeliveryFilter) -> Result<DeliveryList, ApiError> {
        let limit = filter.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_DELIVERIES_LISTED);
        let mut peers = self.named(filter.group.as_ref(), filter.peer.as_ref())?;
        peers.retain(|peer| peer.spec.is_pushed_to());
        let mut list = DeliveryList::default();
        let mut keys = Vec::new();
        self.reader().walk(&peers, |found| {
            let event = &found.event.event;
            let taken = filter.event_id.as_ref().is_none_or(|id| *id == event.id)
                && filter.status.is_none_or(|status| status == found.status);
            if !taken {
                return true;
            }
            if list.items.len() == limit {
                list.more = true;
                return false;
            }
            keys.push((found.peer.name.clone(), found.fact));
            list.items.push(DeliveryView {
                group: event.group.clone(),
                peer: found.peer.name.clone(),
                event_id: event.id.clone(),
                fact: found.fact.to_string(),
                r#type: event.r#type.clone(),
                subject: event.subject.clone(),
                received_at: found.offer.received_at,
                live_until: found.offer.end,
                status: found.status,
                settled_at: None,
                reason: String::new(),
            });
            true
        })?;
        for (view, key) in list.items.iter_mut().zip(keys) {
            if view.status == DeliveryStatus::Pending {
                continue;
            }
            if let Some(row) = self.reader().store().get::<DeliveryRow>(&key)? {
                view.settled_at = Some(row.at);
                view.reason = row.reason;
            }
        }
        Ok(list)
    }

    /// The deliveries of each peer in figures.
    pub fn delivery_summary(&self) -> Result<Vec<DeliverySummary>, ApiError> {
        let mut peers = self.reader().peers()?;
        peers.retain(|peer| peer.spec.is_pushed_to());
        let figures = self.peer_figures(&peers)?;
        let now = self.reader().now();
        Ok(peers.into_iter().map(|peer| summary(peer, figures_of(&figures), now)).collect())
    }

    /// Tries the peers now, paused ones too, and makes their dead letters owed again.
    pub async fn retry_deliveries(&self, request: RetryRequest) -> Result<RetryAnswer, ApiError> {
        let live = self.live().ok_or_else(|| {
            ApiError::new(Reason::NeedsDaemon, "only a running daemon delivers")
                .hint("start routerd serve")
        })?;
        let peers = self.named(request.group.as_ref(), request.peer.as_ref())?;
        let names: BTreeSet<String> = peers
            .into_iter()
            .filter(|peer| peer.spec.is_pushed_to())
            .map(|peer| peer.name)
            .take(MAX_PEERS)
            .collect();
        let mut answer = RetryAnswer::default();
        for name in &names {
            answer.revived += revive(self.reader().store(), name, request.event_id.clone()).await?;
        }
        answer.peers = names.into_iter().collect();
        live.try_peers(&answer.peers);
        Ok(answer)
    }

    /// The peers that are meant; at least one where one is named, of a group that is there.
    fn named(&self, group: Option<&String>, peer: Option<&String>) -> Result<Vec<Peer>, ApiError> {
        if let Some(name) = group
            && self.reader().store().get::<Accepted>(&kinds::key("EventGroup", name))?.is_none()
        {
            return Err(ApiError::new(Reason::NotFound, format!("no EventGroup {name:?}"))
                .hint("routerctl get eventgroups lists what there is"));
        }
        let mut peers = self.reader().peers()?;
        peers.retain(|own| own.is_named(group, peer));
        match peer {
            Some(name) if peers.is_empty() => {
                Err(ApiError::new(Reason::NotFound, format!("no EventPeer {name:?}"))
                    .hint("routerctl federation peers lists what there is"))
            }
            _ => Ok(peers),
        }
    }
}

fn figures_of(figures: &BTreeMap<String, PeerFigures>) -> impl Fn(&str) -> PeerFigures + '_ {
    |name| figures.get(name).cloned().unwrap_or_default()
}

fn summary(peer: Peer, figures: impl Fn(&str) -> PeerFigures, now: Time) -> DeliverySummary {
    let own = figures(&peer.name);
    let expired = peer.row.as_ref().map_or(0, |row| row.expired);
    let lag = own.oldest.map(|oldest| {
        let waited = std::time::Duration::try_from(now.duration_since(oldest));
        GoDuration(waited.unwrap_or_default())
    });
    DeliverySummary {
        group: peer.spec.group_ref,
        peer: peer.name,
        events: own.pending + own.delivered + own.dead,
        delivered: own.delivered,
        pending: own.pending,
        dead: own.dead,
        expired,
        lag,
        oldest_pending: own.oldest,
        nearest_expiry: own.next_end,
    }
}

fn peer_view(peer: Peer, own: &PeerFigures, condition: Option<Condition>) -> PeerView {
    let row = peer.row;
    let (delivering, reason, message, since) = match condition {
        Some(condition) => (
            match condition.status {
                ConditionStatus::True => Some(true),
                ConditionStatus::False => Some(false),
                ConditionStatus::Unknown => None,
            },
            condition.reason,
            condition.message,
            Some(condition.last_transition_time),
        ),
        None => (None, String::new(), String::new(), None),
    };
    PeerView {
        name: peer.name,
        group: peer.spec.group_ref,
        node_name: peer.spec.node_name,
        direction: peer.spec.direction,
        endpoint: peer.spec.endpoint.unwrap_or_default(),
        delivering,
        reason,
        message,
        since,
        pending: own.pending,
        delivered: own.delivered,
        dead: own.dead,
        delivered_total: row.as_ref().map_or(0, |row| row.delivered),
        dead_total: row.as_ref().map_or(0, |row| row.dead),
        expired_total: row.as_ref().map_or(0, |row| row.expired),
        last_delivered_at: row.as_ref().and_then(|row| row.delivered_at),
        last_tried_at: own.tried_at,
        failures: own.failures,
        store_id: row.map(|row| row.store).unwrap_or_default(),
    }
}

/// Forgets the refusals of a peer, slice by slice. Returns how many.
async fn revive(store: &Store, peer: &str, event_id: Option<String>) -> Result<u64, ApiError> {
    let (mut revived, mut after) = (0, None);
    loop {
        let (name, id, from) = (peer.to_owned(), event_id.clone(), after);
        let wrote = store.write(move |txn| {
            let mut scan = Scan::prefix(&name);
            if let Some(fact) = from {
                scan = scan.and_after(&(name.clone(), fact));
            }
            let rows: Vec<DeliveryRow> =
                txn.scan::<DeliveryRow>(&scan).take(SLICE).collect::<Result<_, _>>()?;
            let mut count = 0;
            for row in &rows {
                let meant = id.as_ref().is_none_or(|id| *id == row.event_id);
                if row.ack.verdict == Verdict::Dead && meant {
                    txn.delete::<DeliveryRow>(&(name.clone(), row.fact))?;
                    count += 1;
                }
            }
            let last = rows.last().filter(|_| rows.len() == SLICE).map(|row| row.fact);
            Ok::<_, ApiError>((count, last))
        });
        let (count, last) = wrote.await.map_err(ApiError::from)?.value;
        revived += count;
        match last {
            Some(fact) => after = Some(fact),
            None => return Ok(revived),
        }
    }
}
