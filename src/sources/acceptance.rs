//! The rules of acceptance: what was accepted and what a scan saw in, what to write and to report
//! out.
//!
//! Pure: no files, no clock, no store. The rules, each of which has a test of its own:
//!
//! * The resource is the unit. A broken version keeps the last good one in force.
//! * One identity claimed twice: the first by file path and position is in force, the others are
//!   shadowed; when the first goes, the next takes over and the uid stays.
//! * A generation tells of content: moving, reordering or reformatting is none.
//! * What cannot be seen is not gone. While any part of a file cannot be read, nothing last
//!   accepted from it is deleted, and a claim elsewhere does not outrank it by its absence.
//! * What is gone waits: 2 s in a file that still exists (a half-copied file is often valid YAML),
//!   a moment for a file that vanished (editors rename), for ever for a directory that vanished or
//!   came back empty as another one, and for a second look when it is more than half of all.
//!
//! What was accepted is durable and carries its source, so a restart in any of these states goes
//! on as before; only the waiting begins anew.

mod contest;
mod loss;
mod roots;
mod sight;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::object::ObjectKey;
use crate::sources::report::{ConfigProblem, FileCounts, Findings};
use crate::sources::scan::{Claim, Fit, Outcome, Scan};

use self::contest::{Contest, Ranked, Verdict};
use self::loss::Losses;
use self::roots::Roots;
use self::sight::Sights;

/// How long what is gone waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// For an object that left a file which still exists, since that file last changed: 2 s.
    pub in_file: Duration,
    /// For the objects of a file that is gone: 400 ms, for an editor's rename.
    pub vanished_file: Duration,
    /// For a second scan to agree, when more than half of at least ten objects are gone: 30 s.
    pub mass: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            in_file: Duration::from_secs(2),
            vanished_file: Duration::from_millis(400),
            mass: Duration::from_secs(30),
        }
    }
}

/// What is durable: the accepted objects, and which directories they came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AcceptedSet {
    /// By identity.
    pub objects: BTreeMap<ObjectKey, Accepted>,
    /// Per configured path, which directory it was when it was last trusted; see
    /// [`DirectoryId`](crate::sources::scan::DirectoryId).
    pub roots: BTreeMap<String, String>,
}

/// What is carried from one decision to the next and may be lost: a restart only waits again.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: HashMap<String, sight::Unchanged>,
    vanished: HashMap<String, Duration>,
    mass: BTreeMap<ObjectKey, Duration>,
    since: HashMap<String, Time>,
}

/// When a scan is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Node time, for what is shown and stored.
    pub now: Time,
    /// Monotonic time, for what waits.
    pub mono: Duration,
}

/// What follows from a scan.
#[derive(Debug)]
pub struct Decision {
    /// Objects to write, new, changed or moved.
    pub upserts: Vec<Accepted>,
    /// Objects to delete.
    pub deletes: Vec<ObjectKey>,
    /// The directories to remember, if they are others than before.
    pub roots: Option<BTreeMap<String, String>>,
    /// What there is to say.
    pub findings: Findings,
    /// For the next decision.
    pub memory: Memory,
    /// After how long another scan is due, even if nothing seems to change.
    pub wake_after: Option<Duration>,
}

impl Decision {
    /// Whether there is nothing to write.
    pub fn is_fixed_point(&self) -> bool {
        self.upserts.is_empty() && self.deletes.is_empty() && self.roots.is_none()
    }
}

impl AcceptedSet {
    /// Takes over what was written.
    pub fn apply(&mut self, upserts: Vec<Accepted>, deletes: &[ObjectKey]) {
        for object in upserts {
            self.objects.insert(object.key().clone(), object);
        }
        for key in deletes {
            self.objects.remove(key);
        }
    }
}

/// Judges a scan. `new_uid` makes the uid of an object accepted for the first time.
pub fn decide(
    previous: &AcceptedSet,
    memory: Memory,
    scan: &Scan,
    at: Moment,
    waits: &Waits,
    new_uid: &mut dyn FnMut() -> String,
) -> Decision {
    let roots = Roots::judge(previous, scan);
    let sights = Sights::of(scan, &roots, memory.files, memory.vanished, at.mono);
    let mut pass = Pass {
        previous,
        sights,
        losses: Losses::default(),
        upserts: Vec::new(),
        problems: Vec::new(),
        at,
        waits,
        new_uid,
    };
    pass.report_what_cannot_be_seen(scan, &roots);
    pass.contests(scan);
    pass.absences(scan);
    let Pass { sights, losses, upserts, problems, .. } = pass;
    let settled = losses.settle(previous.objects.len(), &memory.mass, at, waits);
    let mut findings = Findings {
        roots: roots.statuses(),
        files: FileCounts::of(scan),
        accepted: (previous.objects.len() + upserts.iter().filter(|u| is_new(previous, u)).count()
            - settled.deletes.len()) as u64,
        settling: settled.settling,
        held: roots.held(previous),
        ..Findings::default()
    };
    findings.held.extend(settled.held);
    findings.set_problems(problems);
    let since = findings.date(&memory.since, at.now);
    Decision {
        upserts,
        deletes: settled.deletes,
        roots: roots.to_write(previous),
        findings,
        memory: Memory {
            files: sights.files,
            vanished: sights.vanished,
            mass: settled.mass,
            since,
        },
        wake_after: settled.wake_after,
    }
}

fn is_new(previous: &AcceptedSet, object: &Accepted) -> bool {
    !previous.objects.contains_key(object.key())
}

/// One run of [`decide`].
struct Pass<'a> {
    previous: &'a AcceptedSet,
    sights: Sights<'a>,
    losses: Losses,
    upserts: Vec<Accepted>,
    problems: Vec<ConfigProblem>,
    at: Moment,
    waits: &'a Waits,
    new_uid: &'a mut dyn FnMut() -> String,
}

impl<'a> Pass<'a> {
    fn report_what_cannot_be_seen(&mut self, scan: &'a Scan, roots: &Roots<'_>) {
        self.problems.extend(roots.problems());
        for gap in &scan.gaps {
            self.problems.push(ConfigProblem::unreadable(&gap.path, &gap.message));
        }
        for file in &scan.files {
            match &file.outcome {
                Outcome::Unreadable(message) => {
                    self.problems.push(ConfigProblem::unreadable(&file.path, message));
                }
                Outcome::Read(parsed) => {
                    let error = parsed.error.as_ref();
                    self.problems.extend(error.map(|e| ConfigProblem::not_yaml(&file.path, e)));
                    let nameless = parsed.claims.iter().filter(|claim| claim.key().is_none());
                    for claim in nameless {
                        self.problems.extend(ConfigProblem::broken(&file.path, claim, false));
                    }
                }
            }
        }
    }

    /// Every identity that is claimed somewhere.
    fn contests(&mut self, scan: &'a Scan) {
        let mut claims: BTreeMap<&'a ObjectKey, Vec<Ranked<'a>>> = BTreeMap::new();
        for file in &scan.files {
            let Outcome::Read(parsed) = &file.outcome else { continue };
            for claim in &parsed.claims {
                let Some(key) = claim.key() else { continue };
                claims.entry(key).or_default().push(Ranked { file: &file.path, claim });
            }
        }
        for (key, claims) in claims {
            self.contest(key, &claims);
        }
    }

    fn contest(&mut self, key: &ObjectKey, claims: &[Ranked<'a>]) {
        let previous = self.previous.objects.get(key);
        let contest = Contest { previous, claims };
        let absent_but_standing = previous.is_some_and(|previous| {
            self.sights.stands_unseen(previous, claims, self.at.mono, self.waits)
        });
        if let Some(previous) = previous.filter(|_| absent_but_standing)
            && let Some(due) = self.sights.due(&previous.source.file, self.at.mono, self.waits)
        {
            // Nothing will happen in the files when a vanished one has waited enough.
            if claims.is_empty() {
                self.losses.look_again(due);
            } else {
                self.losses.take_over(due);
            }
        }
        let verdict = contest.verdict(absent_but_standing);
        let in_force = match verdict {
            Verdict::Claim(winner) => {
                self.accept(previous, winner);
                Some(source_of(winner))
            }
            Verdict::LastGood(previous) => Some(previous.source.clone()),
            Verdict::Nothing => None,
        };
        for ranked in claims {
            let claim = ranked.claim;
            match (&claim.outcome, &verdict, &in_force) {
                (Err(_), ..) => {
                    let blocks = matches!(verdict, Verdict::LastGood(_));
                    let problems = ConfigProblem::broken(ranked.file, claim, in_force.is_some());
                    self.problems.extend(problems.into_iter().map(|mut problem| {
                        problem.blocks = blocks;
                        problem
                    }));
                }
                (Ok(fit), Verdict::Claim(winner), _) if std::ptr::eq(winner.claim, claim) => {
                    self.problems.extend(ConfigProblem::notes(ranked.file, claim, fit));
                }
                (Ok(_), _, Some(winner)) => {
                    self.problems.push(ConfigProblem::shadowed(ranked.file, claim, winner));
                }
                (Ok(_), _, None) => {}
            }
        }
    }

    fn accept(&mut self, previous: Option<&Accepted>, winner: Ranked<'a>) {
        let Ok(fit) = &winner.claim.outcome else { return };
        let source = source_of(winner);
        let object = match previous {
            Some(previous) => succeed(previous, fit, source, self.at.now),
            None => Some(Accepted {
                resource: fit.resource.clone(),
                uid: (self.new_uid)(),
                generation: 1,
                source,
                created_at: self.at.now,
                accepted_at: self.at.now,
                digest: fit.digest.clone(),
                typed: fit.typed,
            }),
        };
        self.upserts.extend(object);
    }

    /// Every object that nothing claims any more.
    fn absences(&mut self, scan: &'a Scan) {
        let claimed: std::collections::HashSet<&ObjectKey> = scan
            .files
            .iter()
            .filter_map(|file| match &file.outcome {
                Outcome::Read(parsed) => Some(&parsed.claims),
                Outcome::Unreadable(_) => None,
            })
            .flatten()
            .filter_map(Claim::key)
            .collect();
        let mut kept: HashMap<&str, Vec<ObjectKey>> = HashMap::new();
        for (key, object) in &self.previous.objects {
            if claimed.contains(key) {
                continue;
            }
            let file = object.source.file.as_str();
            match self.sights.due(file, self.at.mono, self.waits) {
                Some(due) => self.losses.add(key, due),
                None => kept.entry(file).or_default().push(key.clone()),
            }
        }
        for problem in &mut self.problems {
            problem.keep(&kept);
        }
    }
}

/// The next version of an object, or `None` if nothing of it is new.
fn succeed(previous: &Accepted, fit: &Fit, source: SourceRef, now: Time) -> Option<Accepted> {
    let changed = previous.digest != fit.digest;
    // The same content in another order renders differently, and both nodes that read this file
    // must render the same: the text is taken over, the generation stays.
    let same = !changed
        && previous.source == source
        && previous.typed == fit.typed
        && previous.resource == fit.resource;
    (!same).then(|| Accepted {
        resource: fit.resource.clone(),
        uid: previous.uid.clone(),
        generation: previous.generation + u64::from(changed),
        source,
        created_at: previous.created_at,
        accepted_at: if changed { now } else { previous.accepted_at },
        digest: fit.digest.clone(),
        typed: fit.typed,
    })
}

fn source_of(ranked: Ranked<'_>) -> SourceRef {
    SourceRef {
        file: ranked.file.to_owned(),
        document: ranked.claim.document,
        index: ranked.claim.index,
        line: ranked.claim.pos.line,
        column: ranked.claim.pos.column,
    }
}

#[cfg(test)]
mod tests;
