//! The effective config of given manifests and parts, by the renderer.

use super::backend::Effective;
use super::error::{ApiError, Reason};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::part::Part;

/// The effective config at `now`.
pub fn effective(
    _accepted: Vec<Accepted>,
    _parts: Vec<Part>,
    _now: Time,
) -> Result<Effective, ApiError> {
    Err(ApiError::new(Reason::NeedsDaemon, "only a running daemon renders"))
}
