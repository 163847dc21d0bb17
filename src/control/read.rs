//! Reads the store for the views: objects, parts, figures. Never writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::backend::{GroupFigures, WorkFigures};
use super::error::{ApiError, Reason};
use super::kinds;
use super::views::{self, FailureView, ObjectView, PartView, RunView};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::clock::Clock;
use crate::api::condition::Condition;
use crate::api::decode::{decode_value, nearest};
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::run::{RunRecord, Work};
use crate::api::value::Value;
use crate::store::tables::{EventRow, FactRow, StatusRow};
use crate::store::{Health, Scan, Store, StoreError, facts, order};

/// A character that no Kind holds, after all that it may hold.
const AFTER_ANY: &str = "\u{10ffff}";

/// A reader of the store.
#[derive(Clone)]
pub(super) struct Reader {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Reader {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(super) fn health(&self) -> Health {
        self.store.health().borrow().clone()
    }

    /// The objects of the Kind that `typed` means; `all` means every Kind.
    pub(super) fn objects(
        &self,
        typed: &str,
        name: Option<&str>,
    ) -> Result<Vec<ObjectView>, ApiError> {
        let stored = self.stored_kinds()?;
        let every = typed.eq_ignore_ascii_case("all");
        let mut views = Vec::new();
        for kind in stored.iter().filter(|kind| every || kinds::means(typed, kind)) {
            for row in self.store.scan::<Accepted>(&Scan::prefix(kind)) {
                let row = row?;
                if name.is_none_or(|name| row.resource.key.name == name) {
                    views.push(self.object(row)?);
                }
            }
        }
        if views.is_empty() {
            self.explain_absence(typed, name, &stored)?;
        }
        Ok(views)
    }

    fn object(&self, row: Accepted) -> Result<ObjectView, ApiError> {
        let conditions = self.conditions(row.key())?;
        Ok(ObjectView::of(row, conditions))
    }

    /// A Kind without objects is an empty list; a name that is not there, or a Kind that nobody
    /// knows, is an error.
    fn explain_absence(
        &self,
        typed: &str,
        name: Option<&str>,
        stored: &BTreeSet<String>,
    ) -> Result<(), ApiError> {
        let all = || kinds::known().chain(stored.iter().map(String::as_str));
        let kind = all().find(|kind| kinds::means(typed, kind));
        match (kind, name) {
            (None, _) if typed.eq_ignore_ascii_case("all") => Ok(()),
            (None, _) => {
                let error = ApiError::new(Reason::NotFound, format!("no kind {typed:?}"));
                Err(match nearest(typed, all()) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint("routerctl get all lists what there is"),
                })
            }
            (Some(kind), Some(name)) => {
                let error = ApiError::new(Reason::NotFound, format!("no {kind} {name:?}"));
                let names = self.names(kind)?;
                Err(match nearest(name, names.iter().map(String::as_str)) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint(format!("routerctl get {kind} lists what there is")),
                })
            }
            (Some(_), None) => Ok(()),
        }
    }

    fn names(&self, kind: &str) -> Result<Vec<String>, ApiError> {
        let rows = self.store.scan::<Accepted>(&Scan::prefix(&kind.to_owned()));
        rows.map(|row| Ok(row?.resource.key.name)).collect()
    }

    /// The Kinds of the accepted objects: one seek for each, whatever the number of objects.
    fn stored_kinds(&self) -> Result<BTreeSet<String>, ApiError> {
        let mut found = BTreeSet::new();
        let mut scan = Scan::all();
        while let Some(row) = self.store.scan::<Accepted>(&scan).next() {
            let kind = row?.resource.key.kind;
            scan = Scan::after(&ObjectKey::new(AFTER_ANY, &kind, AFTER_ANY));
            if !found.insert(kind) {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn count_objects(&self) -> Result<u64, ApiError> {
        Ok(self.store.count::<Accepted>(&Scan::all())?)
    }

    /// The stored conditions of an object, sorted by type.
    pub(super) fn conditions(&self, key: &ObjectKey) -> Result<Vec<Condition>, ApiError> {
        Ok(self.store.get::<StatusRow>(key)?.map(|row| row.conditions).unwrap_or_default())
    }

    /// Names and specs of the accepted objects of a known Kind. What does not decode was accepted
    /// by another version of the program; its condition says so, and it is passed over here.
    pub(super) fn typed<T: DeserializeOwned>(
        &self,
        kind: &str,
    ) -> Result<Vec<(String, T)>, ApiError> {
        let mut specs = Vec::new();
        for row in self.store.scan::<Accepted>(&Scan::prefix(&kind.to_owned())) {
            let row = row?;
            if let Some(spec) = spec_of(&row) {
                specs.push((row.resource.key.name, spec));
            }
        }
        Ok(specs)
    }

    /// The parts, by subscription and fact.
    pub(super) fn parts(&self) -> Result<Vec<PartView>, ApiError> {
        let now = self.now();
        self.store.scan::<Part>(&Scan::all()).map(|part| self.part_view(part?, now)).collect()
    }

    /// The part of this name.
    pub(super) fn part(&self, name: &str) -> Result<PartView, ApiError> {
        let absent = || {
            ApiError::new(Reason::NotFound, format!("no part {name:?}"))
                .hint("routerctl dynamic list lists what there is")
        };
        let (subscription, short) = views::parse_name(name).ok_or_else(absent)?;
        let scan = Scan::prefix(&subscription.to_owned());
        for part in self.store.scan::<Part>(&scan) {
            let part = part?;
            if views::is_fact(part.fact, short) {
                return self.part_view(part, self.now());
            }
        }
        Err(absent())
    }

    fn part_view(&self, part: Part, now: Time) -> Result<PartView, ApiError> {
        let conditions = self.conditions(&PartView::key(part.name()))?;
        Ok(PartView::of(part, conditions, now))
    }

    /// The stored parts themselves, for rendering.
    pub(super) fn stored_parts(&self) -> Result<Vec<Part>, ApiError> {
        Ok(self.store.scan::<Part>(&Scan::all()).collect::<Result<_, _>>()?)
    }

    /// The accepted resources, for rendering.
    pub(super) fn accepted(&self) -> Result<Vec<Arc<Accepted>>, ApiError> {
        let rows = self.store.scan::<Accepted>(&Scan::all());
        Ok(rows.map(|row| row.map(Arc::new)).collect::<Result<_, _>>()?)
    }

    /// The newest finished runs, of one plugin or of all, newest first.
    pub(super) fn runs(
        &self,
        plugin: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RunView>, ApiError> {
        let rows = self.store.scan::<RunRecord>(&Scan::all().reverse());
        let meant = |run: &Result<RunRecord, StoreError>| {
            plugin.is_none_or(|name| run.as_ref().map_or(true, |run| run.plugin == name))
        };
        rows.filter(meant).take(limit).map(|run| Ok(run?.into())).collect()
    }

    /// The run of this number.
    pub(super) fn run(&self, number: u64) -> Result<RunView, ApiError> {
        let run = self.store.get::<RunRecord>(&number)?;
        run.map(RunView::from).ok_or_else(|| {
            ApiError::new(Reason::NotFound, format!("no run {number}"))
                .hint("routerctl get runs lists those that are kept")
        })
    }

    /// What fails and what was given up, by subscription and fact.
    pub(super) fn failures(&self, limit: usize) -> Result<Vec<FailureView>, ApiError> {
        let mut views = Vec::new();
        for work in self.store.scan::<Work>(&Scan::all()) {
            let mut work = work?;
            let Some(failing) = work.failing.take() else { continue };
            if views.len() == limit {
                break;
            }
            let fact = facts::find(&self.store, &work.fact)?;
            let event = match fact {
                Some(fact) => self.store.get::<EventRow>(&(fact.group, fact.event_id))?,
                None => None,
            };
            views.push(FailureView::of(&work, failing, event.map(|row| row.event)));
        }
        Ok(views)
    }

    pub(super) fn work_figures(&self) -> Result<WorkFigures, ApiError> {
        let mut figures = WorkFigures::default();
        let now = self.now();
        for part in self.store.scan::<Part>(&Scan::all()) {
            figures.count_part(&part?, now);
        }
        for work in self.store.scan::<Work>(&Scan::all()) {
            figures.count_work(&work?);
        }
        Ok(figures)
    }

    /// Counts a group's facts, row by row: for when nobody keeps count.
    pub(super) fn count_group(
        &self,
        group: &str,
        max_age: Duration,
    ) -> Result<GroupFigures, ApiError> {
        let now = self.now();
        let mut figures = GroupFigures::default();
        for fact in self.store.scan::<FactRow>(&Scan::all()) {
            let fact = fact?;
            figures.live_facts += u64::from(fact.group == group && !fact.is_over(max_age, now));
        }
        figures.stored_events = order::count(&self.store, group)?;
        Ok(figures)
    }
}

/// The spec of an accepted resource of a known Kind.
pub(super) fn spec_of<T: DeserializeOwned>(row: &Accepted) -> Option<T> {
    let null = Value::null();
    decode_value(row.resource.body.get("spec").unwrap_or(&null), "spec").ok()
}
