//! The load: several `routerctl emit -f -` at the same time, and a ledger of what was promised.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::node::{Node, event_line};
use super::random::Random;

/// Subjects that the events are about: each is observed again and again.
const SUBJECTS: u64 = 400;
/// Lines that a stream sends at most.
const LINES: u64 = 40;

/// What was sent and what was acknowledged, over all rounds.
#[derive(Default)]
pub struct Ledger {
    /// Every line ever sent, by its id.
    pub sent: HashMap<String, String>,
    /// Ids that were answered with `accepted`.
    pub acknowledged: HashSet<String>,
    /// Answers that were neither: what the daemon said.
    pub refused: Vec<Value>,
    next: u64,
}

impl Ledger {
    /// A new observation, noted before anybody hears of it.
    fn observe(&mut self, random: &mut Random) -> String {
        // Now and then something is said twice, as senders do who do not know.
        if random.below(20) == 0
            && let Some(line) = self.sent.values().next()
        {
            return line.clone();
        }
        self.next += 1;
        let subject = u32::try_from(1 + random.below(SUBJECTS)).expect("small");
        let id = format!("event-{}", self.next);
        let line = event_line(&id, subject, self.next);
        self.sent.insert(id, line.clone());
        line
    }

    fn note(&mut self, answer: Value) {
        match (&answer["accepted"], &answer["id"]) {
            (Value::Bool(true), Value::String(id)) => {
                self.acknowledged.insert(id.clone());
            }
            _ => self.refused.push(answer),
        }
    }

    /// What was sent and not acknowledged: it may or may not be stored.
    pub fn unknown(&self) -> Vec<String> {
        let known = &self.acknowledged;
        self.sent.iter().filter(|(id, _)| !known.contains(*id)).map(|(_, l)| l.clone()).collect()
    }

    /// Acknowledged ids that are not among these.
    pub fn missing(&self, kept: &HashSet<String>) -> Vec<String> {
        self.acknowledged.difference(kept).cloned().collect()
    }
}

/// Streams under way.
pub struct Load {
    streams: Vec<(Child, JoinHandle<()>, JoinHandle<()>)>,
}

impl Load {
    /// Starts `streams` of them on a node.
    pub fn start(
        node: &Node,
        streams: u64,
        ledger: &Arc<Mutex<Ledger>>,
        random: &mut Random,
    ) -> Self {
        let streams = (0..streams).map(|_| stream(node, ledger, Random::new(random.next())));
        Self { streams: streams.collect() }
    }

    /// Waits for all streams: at the end of their lines or of the daemon.
    pub fn finish(self) {
        for (mut child, writer, reader) in self.streams {
            writer.join().expect("the sender of lines");
            reader.join().expect("the reader of answers");
            _ = child.wait();
        }
    }
}

fn stream(
    node: &Node,
    ledger: &Arc<Mutex<Ledger>>,
    mut random: Random,
) -> (Child, JoinHandle<()>, JoinHandle<()>) {
    // What is not taken by the daemon must not go to the store behind its back.
    let mut command = node.routerctl_online(&["emit", "-f", "-"]);
    command.stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("routerctl is spawned");
    let (input, output) =
        (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
    let noted = Arc::clone(ledger);
    let writer = std::thread::spawn(move || send(input, &noted, &mut random));
    let noted = Arc::clone(ledger);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Ok(answer) = serde_json::from_str(&line) {
                noted.lock().expect("the ledger").note(answer);
            }
        }
    });
    (child, writer, reader)
}

fn send(mut input: ChildStdin, ledger: &Mutex<Ledger>, random: &mut Random) {
    for _ in 0..LINES {
        let line = ledger.lock().expect("the ledger").observe(random);
        if writeln!(input, "{line}").is_err() {
            return;
        }
        // In bursts and with gaps, so that groups of all sizes are cut.
        if random.below(3) > 0 {
            random.pause(Duration::from_millis(4));
        }
    }
}
