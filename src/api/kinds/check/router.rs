//! The check of the Router: it may be empty.

use super::super::place::Place;
use super::super::router::RouterSpec;
use super::super::spec::KindSpec;

impl KindSpec for RouterSpec {
    fn check(&self, _at: &Place<'_>) {}

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}
