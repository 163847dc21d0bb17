//! Go-style durations (`300ms`, `1h30m`), the notation of every duration in a manifest.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A non-negative duration that reads and prints in Go's notation. A literal `0` is accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub Duration);

/// Why a text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not in the notation.
    #[error("{0:?} is not a duration (write it like 300ms, 10s or 1h30m)")]
    Syntax(String),
    /// Below zero.
    #[error("{0:?} is negative; a duration here is at least 0s")]
    Negative(String),
}

impl GoDuration {
    /// Whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The value as the standard library's duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let trimmed = text.trim();
        if trimmed == "0" {
            return Ok(Self(Duration::ZERO));
        }
        // The friendly format of the parser also takes spaces, commas, ISO 8601 and calendar
        // units; Go's takes none of them.
        let go = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
        let syntax = || DurationError::Syntax(text.to_owned());
        if !go.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            || !go.chars().all(|c| c.is_ascii_digit() || ".hmsnuµμ".contains(c))
        {
            return Err(syntax());
        }
        let parsed: jiff::SignedDuration = trimmed.parse().map_err(|_| syntax())?;
        Duration::try_from(parsed).map(Self).map_err(|_| DurationError::Negative(text.to_owned()))
    }
}

impl fmt::Display for GoDuration {
    /// Prints as Go does: the largest unit that is not zero first, fractions on the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        let total = self.0.as_secs();
        if total == 0 {
            return match nanos {
                0 => f.write_str("0s"),
                n if n < 1_000 => write!(f, "{n}ns"),
                n if n < 1_000_000 => write_fraction(f, n / 1_000, n % 1_000, 3, "µs"),
                n => write_fraction(f, n / 1_000_000, n % 1_000_000, 6, "ms"),
            };
        }
        let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write_fraction(f, u32::try_from(seconds).unwrap_or(0), nanos, 9, "s")
    }
}

fn write_fraction(
    f: &mut fmt::Formatter<'_>,
    whole: u32,
    fraction: u32,
    digits: usize,
    unit: &str,
) -> fmt::Result {
    if fraction == 0 {
        return write!(f, "{whole}{unit}");
    }
    let text = format!("{fraction:0digits$}");
    write!(f, "{whole}.{}{unit}", text.trim_end_matches('0'))
}

impl fmt::Debug for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for GoDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "description": "a Go-style duration such as 300ms, 10s or 1h30m",
            "pattern": "^(0|([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_notation_round_trips() {
        for (text, nanos, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("1ns", 1, "1ns"),
            ("1.5us", 1_500, "1.5µs"),
            ("300ms", 300_000_000, "300ms"),
            ("10s", 10_000_000_000, "10s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("24h", 86_400_000_000_000, "24h0m0s"),
        ] {
            let parsed: GoDuration = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(parsed.0.as_nanos(), nanos, "{text}");
            assert_eq!(parsed.to_string(), printed);
            assert_eq!(parsed.to_string().parse::<GoDuration>().unwrap(), parsed);
        }
    }

    #[test]
    fn what_go_would_refuse_is_refused() {
        for text in ["", "10", "-", "ten seconds", "1d", "P1D", "1 h", "1h, 2m", "1h ago", "5y"] {
            let parsed = text.parse::<GoDuration>();
            assert!(matches!(parsed, Err(DurationError::Syntax(_))), "{text}: {parsed:?}");
        }
        assert_eq!("-1s".parse::<GoDuration>(), Err(DurationError::Negative("-1s".to_owned())));
    }
}
