//! The network between the nodes: links that break, answers that are lost, requests that come twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use routerd::federation::outbox::transport::{
    Answer, CONNECT_TIMEOUT, REQUEST_TIMEOUT, Request, Transport, TransportError,
};

use super::dice::Dice;
use super::host::Inbox;

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It carries.
    Up,
    /// Nobody is there.
    Refused,
    /// Nothing comes back.
    Silent,
}

/// What may go wrong with a request, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub lost_answers: u64,
    pub twice: u64,
    pub slow: u64,
}

/// The network.
#[derive(Clone)]
pub struct Net(Arc<Mutex<State>>);

struct State {
    dice: Dice,
    links: HashMap<(usize, usize), Link>,
    faults: Faults,
    inboxes: BTreeMap<usize, Inbox>,
    /// Requests with events in them that arrived, by sender and receiver.
    posts: HashMap<(usize, usize), u64>,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: Dice::seeded(seed),
            links: HashMap::new(),
            faults: Faults::default(),
            inboxes: BTreeMap::new(),
            posts: HashMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    pub fn set_link(&self, from: usize, to: usize, link: Link) {
        self.state().links.insert((from, to), link);
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// All links carry, and nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.links.clear();
        state.faults = Faults::default();
    }

    /// A node listens.
    pub fn listen(&self, node: usize, inbox: Inbox) {
        self.state().inboxes.insert(node, inbox);
    }

    /// A node is gone.
    pub fn close(&self, node: usize) {
        self.state().inboxes.remove(&node);
    }

    /// Requests with events that arrived so far.
    pub fn posts(&self) -> u64 {
        self.state().posts.values().sum()
    }

    /// Whether any request with events went from one to the other.
    pub fn ever(&self, from: usize, to: usize) -> bool {
        self.state().posts.contains_key(&(from, to))
    }

    /// The way of one node to the others.
    pub fn of(&self, from: usize) -> Arc<dyn Transport> {
        Arc::new(Way { net: self.clone(), from })
    }
}

struct Way {
    net: Net,
    from: usize,
}

/// What happens to one request.
struct Fate {
    link: Link,
    before: Duration,
    after: Duration,
    lost: bool,
    twice: bool,
}

impl Way {
    fn fate(&self, to: usize) -> Fate {
        let mut state = self.net.state();
        let faults = state.faults;
        let before = Duration::from_millis(1 + state.dice.below(20));
        let slow = state.dice.chance(faults.slow);
        let after = 1 + state.dice.below(if slow { 40_000 } else { 20 });
        let after = Duration::from_millis(after);
        let lost = state.dice.chance(faults.lost_answers);
        let twice = state.dice.chance(faults.twice);
        let link = state.links.get(&(self.from, to)).copied().unwrap_or(Link::Up);
        Fate { link, before, after, lost, twice }
    }

    async fn carry(&self, request: Request) -> Result<Answer, TransportError> {
        let to: usize =
            request.endpoint.url.rsplit('n').next().expect("a name").parse().expect("n");
        let fate = self.fate(to);
        match fate.link {
            Link::Up => {}
            Link::Refused => return Err(TransportError::Connect("refused".to_owned())),
            Link::Silent => {
                tokio::time::sleep(CONNECT_TIMEOUT).await;
                return Err(TransportError::Timeout(CONNECT_TIMEOUT));
            }
        }
        tokio::time::sleep(fate.before).await;
        let inbox = self.net.state().inboxes.get(&to).cloned();
        let refused = || TransportError::Connect("refused".to_owned());
        let inbox = inbox.ok_or_else(refused)?;
        let answer = inbox.receive(&request).await;
        if request.body.is_some() {
            *self.net.state().posts.entry((self.from, to)).or_default() += 1;
        }
        if fate.twice {
            inbox.receive(&request).await;
        }
        if fate.after > REQUEST_TIMEOUT {
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            return Err(TransportError::Timeout(REQUEST_TIMEOUT));
        }
        tokio::time::sleep(fate.after).await;
        if fate.lost || self.net.state().links.get(&(self.from, to)).is_some_and(|l| *l != Link::Up)
        {
            return Err(TransportError::Broken("reset".to_owned()));
        }
        Ok(answer)
    }
}

impl Transport for Way {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        self.carry(request).boxed()
    }
}
