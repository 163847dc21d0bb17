//! Power cuts.
//!
//! Three file systems, one in the other:
//!
//! - `outer` can be frozen: that is the moment of the cut. Nothing that is written later arrives.
//! - `drive` is the disk with a volatile cache: what was written to it is in its image only once a
//!   flush reached it.
//! - `disk`, on an image in `drive`, holds the state directory.
//!
//! At a random moment `outer` is frozen, the writer is killed (whatever it says from then on would
//! be too late, so it says nothing), and the image of `drive` is copied. The copy is mounted, which
//! replays both journals, and the store in it is opened.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::load::{Ledger, Load};
use super::mounts::{self, Mounted};
use super::node::Node;
use super::random::Random;
use super::writer::{self, Noted, Promises, Says, Verdict};

/// The argument that makes this program the writer: `--writer STATE SAYS`.
pub const WRITER: &str = "--writer";

/// Cuts under a store that lies, at most, until one of them shows it.
const MOST_CONTROL: u64 = 20;

/// Fields are dropped from the top: the innermost is unmounted first.
struct Disk {
    inner: Mounted,
    _drive: Mounted,
    outer: Mounted,
    images: tempfile::TempDir,
}

/// What a cut left behind.
struct AfterCut {
    inner: Mounted,
    _drive: Mounted,
    _image: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let images = mounts::directory();
        let at = |name: &str| images.path().join(name);
        let outer = Mounted::create(&at("outer.img"), 1600, &at("outer"));
        let drive = Mounted::create(&outer.path().join("drive.img"), 1300, &at("drive"));
        let inner = Mounted::create(&drive.path().join("disk.img"), 1000, &at("disk"));
        Self { inner, _drive: drive, outer, images }
    }

    fn state(&self) -> PathBuf {
        self.inner.path().join("state")
    }

    /// Cuts the power; `kill` ends whoever writes.
    fn cut(&self, kill: impl FnOnce()) -> AfterCut {
        let image = tempfile::tempdir_in(self.images.path()).expect("a directory");
        let copy = image.path().join("copy.img");
        let frozen = self.outer.freeze();
        kill();
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .args([&self.outer.path().join("drive.img"), &copy])
            .status();
        assert!(copied.expect("cp runs").success());
        drop(frozen);
        let drive = Mounted::open(&copy, &image.path().join("drive"));
        let inner = Mounted::open(&drive.path().join("disk.img"), &image.path().join("disk"));
        AfterCut { inner, _drive: drive, _image: image }
    }
}

impl AfterCut {
    fn state(&self) -> PathBuf {
        self.inner.path().join("state")
    }
}

/// What many cuts came to.
#[derive(Debug, Default)]
struct Total {
    acknowledged: u64,
    lost: u64,
    cuts_that_lost: u64,
    unsound: u64,
}

impl Total {
    fn take_in(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.cuts_that_lost += other.cuts_that_lost;
        self.unsound += other.unsound;
    }

    fn add(&mut self, acknowledged: u64, verdict: &Verdict) {
        self.acknowledged += acknowledged;
        self.lost += verdict.lost.len() as u64;
        self.cuts_that_lost += u64::from(!verdict.lost.is_empty());
        self.unsound += u64::from(verdict.unsound.is_some());
    }
}

/// Cuts the power under the bare store; and then under one that lies, to show that it is noticed.
pub fn of_the_store(cuts: u64, random: &mut Random) {
    let total = cut_often(cuts, Says::Acknowledged, random);
    println!(
        "power cuts: {cuts}, acknowledged: {}, lost: {}, failures to open: {}",
        total.acknowledged, total.lost, total.unsound,
    );
    let mut control = cuts.div_ceil(3);
    let mut lying = cut_often(control, Says::TooEarly, random);
    // A cut that comes when all is on disk by chance loses nothing, also of one that lies.
    while lying.lost == 0 && control < MOST_CONTROL {
        lying.take_in(&cut_often(1, Says::TooEarly, random));
        control += 1;
    }
    println!(
        "power cuts, control (acknowledged before the sync): {control}, acknowledged: {}, lost: {} in {} cuts",
        lying.acknowledged, lying.lost, lying.cuts_that_lost,
    );
    assert_eq!((total.lost, total.unsound), (0, 0));
    assert!(total.acknowledged > cuts, "hardly anything was written");
    assert!(lying.lost > 0, "the harness does not notice a loss");
}

fn cut_often(cuts: u64, says: Says, random: &mut Random) -> Total {
    let mut total = Total::default();
    for cut in 1..=cuts {
        // Every fifth cut comes while the store is being made.
        let early = says == Says::Acknowledged && cut % 5 == 0;
        let (acknowledged, verdict) = cut_once(says, early, random);
        if says == Says::Acknowledged && (verdict.unsound.is_some() || !verdict.lost.is_empty()) {
            println!("cut {cut}: {verdict:?}");
        }
        total.add(acknowledged, &verdict);
    }
    total
}

fn cut_once(says: Says, early: bool, random: &mut Random) -> (u64, Verdict) {
    let disk = Disk::new();
    let program = std::env::current_exe().expect("this test has a path");
    let mut writer = Command::new(program)
        .arg(WRITER)
        .arg(disk.state())
        .arg(if says == Says::TooEarly { "early" } else { "acknowledged" })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer is spawned");
    let promises: Noted = Arc::default();
    let lines = BufReader::new(writer.stdout.take().expect("stdout"));
    let (first, is_first) = std::sync::mpsc::channel();
    let noted = Arc::clone(&promises);
    let listener = std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            noted.lock().expect("the promises").note(&line);
            // Nobody waits for any but the first.
            _ = first.send(());
        }
    });
    if early {
        random.pause(Duration::from_millis(120));
    } else {
        is_first.recv_timeout(Duration::from_secs(60)).expect("the writer writes");
        random.pause(Duration::from_millis(900));
    }
    let after = disk.cut(|| writer.kill().expect("killed"));
    writer.wait().expect("it ends");
    listener.join().expect("the listener");
    let promises: Promises = std::mem::take(&mut promises.lock().expect("the promises"));
    let verdict = writer::check(&after.state(), &promises);
    (promises.count, verdict)
}

/// Cuts the power under the real daemon with several senders and a plugin at work.
pub fn of_the_daemon(cuts: u64, random: &mut Random) {
    let mut total = Total::default();
    for cut in 1..=cuts {
        let disk = Disk::new();
        let mut node = Node::on(&disk.state());
        node.start();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let load = Load::start(&node, 3, &ledger, random);
        random.pause(Duration::from_millis(400));
        let after = disk.cut(|| node.signal_kill());
        node.kill();
        load.finish();
        let mut again = Node::on(&after.state());
        again.start_busy();
        let ledger = ledger.lock().expect("the ledger");
        assert!(ledger.refused.is_empty(), "refused: {:?}", ledger.refused.first());
        let (parts, kept) = (again.parts(), again.event_ids());
        let orphans = parts.iter().filter(|part| {
            !part["status"]["eventId"].as_str().is_some_and(|event| kept.contains(event))
        });
        let unsound = match (again.has_quarantine(), orphans.count()) {
            (true, _) => Some(again.log()),
            (false, 0) => None,
            (false, orphans) => Some(format!("{orphans} parts without their event")),
        };
        let verdict = Verdict { lost: ledger.missing(&kept), unsound };
        if verdict.unsound.is_some() || !verdict.lost.is_empty() {
            println!("daemon, cut {cut}: {verdict:?}");
        }
        again.converge();
        total.add(ledger.acknowledged.len() as u64, &verdict);
    }
    println!(
        "power cuts of the daemon: {cuts}, acknowledged: {}, lost: {}, failures to open: {}",
        total.acknowledged, total.lost, total.unsound,
    );
    assert_eq!((total.lost, total.unsound), (0, 0));
    assert!(total.acknowledged > 0, "nothing was emitted");
}
