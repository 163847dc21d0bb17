//! Conditions, as the Kubernetes API conventions have them: what is true of an object, since when.

use serde::{Deserialize, Serialize};

use super::Time;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told now.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One observation about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is observed: `Accepted`, `PluginReady`, `Retiring` …
    pub r#type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One CamelCase word for programs.
    pub reason: String,
    /// A sentence for people; names file, line, field and value where there are any.
    pub message: String,
    /// When `status` last changed; not moved by a new reason or message.
    pub last_transition_time: Time,
    /// The object's generation that this was observed at.
    #[serde(default)]
    pub observed_generation: u64,
}

impl Condition {
    /// A condition that turned to `status` at `now`.
    pub fn new(
        r#type: &str,
        status: impl Into<ConditionStatus>,
        reason: &str,
        message: impl Into<String>,
        now: Time,
    ) -> Self {
        Self {
            r#type: r#type.to_owned(),
            status: status.into(),
            reason: reason.to_owned(),
            message: message.into(),
            last_transition_time: now,
            observed_generation: 0,
        }
    }

    /// The same, observed at a generation of the object.
    #[must_use]
    pub fn at_generation(mut self, generation: u64) -> Self {
        self.observed_generation = generation;
        self
    }
}

/// Puts `new` among `conditions`, keeping the transition time where the status did not flip.
/// Returns whether anything changed: an unchanged condition must cost no write.
pub fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) -> bool {
    match conditions.iter_mut().find(|c| c.r#type == new.r#type) {
        None => {
            conditions.push(new);
            conditions.sort_by(|a, b| a.r#type.cmp(&b.r#type));
            true
        }
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time;
            }
            let changed = *old != new;
            *old = new;
            changed
        }
    }
}

/// Takes a condition away. Returns whether it was there.
pub fn remove_condition(conditions: &mut Vec<Condition>, r#type: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|c| c.r#type != r#type);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_on_a_flip_only() {
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, Condition::new("Ready", true, "A", "a", at(1))));
        assert!(!set_condition(&mut conditions, Condition::new("Ready", true, "A", "a", at(2))));
        assert!(set_condition(&mut conditions, Condition::new("Ready", true, "B", "b", at(3))));
        assert_eq!(conditions[0].last_transition_time, at(1));
        assert!(set_condition(&mut conditions, Condition::new("Ready", false, "C", "c", at(4))));
        assert_eq!(conditions[0].last_transition_time, at(4));
        assert!(remove_condition(&mut conditions, "Ready"));
        assert!(!remove_condition(&mut conditions, "Ready"));
    }
}
