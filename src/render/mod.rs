//! The effective config: what the accepted manifests and the served parts come to.
//!
//! Pure and total: values in, values out, no I/O, no clock, no panic on any input. [`effective`]
//! computes everything from scratch and is the definition. [`Index`] keeps the same answer at a
//! cost in proportion to each change; a property test holds the two equal, byte for byte.
//!
//! The rules are evaluated in the order of the design (§7): masks, startup before dynamic,
//! references and domains, one identity, one address. What they need of a resource's fields is in
//! `refs`, how two proposals are weighed in `proposal`, what is said about the losers in `report`.
//!
//! References make the rules depend on each other's outcome: a proposed domain may lean on a
//! proposed peer, a proposed claim on that domain. Hard references only ever lead to a Kind of
//! lower `rank`, so every rank is settled before those that look at it, and the outcome is the
//! only one there is: no iteration, no choice of fixpoint.

mod body;
mod diff;
mod digest;
mod document;
mod effective;
mod explain;
mod index;
mod proposal;
mod refs;
mod report;
mod rules;

pub use diff::{Diff, FieldChange, ResourceChange, diff, differences};
pub use document::{Document, Header};
pub use effective::{Effective, Input, effective};
pub use explain::{Cause, Explanation, explain};
pub use index::{Change, Index, PartKey, PartOutcome, Touched};
pub use proposal::{Origin, Proposal};
pub use report::{LeftOut, Masked, MaskedBy, Reason, Report, StartupProblem};

#[cfg(test)]
mod tests;
