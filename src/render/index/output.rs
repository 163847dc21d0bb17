//! The resources that are in, in the order of output, with a digest that each change moves in
//! logarithmic time.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::super::digest::{self, Content, Sum};
use super::super::proposal::Origin;
use crate::api::object::ObjectKey;

/// An origin by its place in the output.
#[derive(Debug, Clone)]
struct Place(Origin);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.output_order(&other.0)
    }
}

/// The ordered list and its digest.
#[derive(Debug, Default)]
pub(super) struct Output {
    entries: BTreeMap<Place, Content>,
    sum: Sum,
}

impl Output {
    /// Puts a resource in, or the new content of one in its place.
    pub(super) fn show(&mut self, origin: &Origin) {
        self.hide(origin);
        let content = digest::content(origin);
        let place = Place(origin.clone());
        let (before, after) = self.neighbours(&place);
        if let Some(next) = &after {
            self.sum.remove(&digest::link(before.as_ref(), next));
            self.sum.add(&digest::link(Some(origin.key()), next));
        }
        self.sum.add(&digest::link(before.as_ref(), &content));
        self.entries.insert(place, content);
    }

    /// Takes a resource out, if it is in.
    pub(super) fn hide(&mut self, origin: &Origin) {
        let place = Place(origin.clone());
        let Some(content) = self.entries.remove(&place) else { return };
        let (before, after) = self.neighbours(&place);
        self.sum.remove(&digest::link(before.as_ref(), &content));
        if let Some(next) = &after {
            self.sum.remove(&digest::link(Some(origin.key()), next));
            self.sum.add(&digest::link(before.as_ref(), next));
        }
    }

    /// The identity before `place` and the content after it.
    fn neighbours(&self, place: &Place) -> (Option<ObjectKey>, Option<Content>) {
        let before = self.entries.range(..place).next_back();
        let after = self.entries.range((Bound::Excluded(place), Bound::Unbounded)).next();
        (before.map(|(place, _)| place.0.key().clone()), after.map(|(_, content)| *content))
    }

    /// The resources in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.entries.keys().map(|place| &place.0)
    }

    /// The digest of the list under a header.
    pub(super) fn digest(&self, header: &Content) -> String {
        self.sum.finish(header)
    }
}
