//! Tables as kubectl prints them: columns, no lines, short ages.

use comfy_table::{Cell, ContentArrangement, Table as Columns, presets};

use super::escape;
use crate::api::Time;

/// A table. Cells are escaped as they come in.
pub(super) struct Table(Columns);

impl Table {
    pub(super) fn new(headers: &[&str]) -> Self {
        let mut columns = Columns::new();
        columns.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        columns.set_header(headers.iter().map(Cell::new));
        for column in columns.column_iter_mut() {
            column.set_padding((0, 3));
        }
        Self(columns)
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells.into_iter().map(|cell| match cell.as_str() {
            "" => Cell::new("-"),
            text => Cell::new(escape::text(text)),
        }));
    }
}

impl std::fmt::Display for Table {
    /// Each line ends where its text does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

/// How long ago `then` was, in at most two units.
pub(super) fn age(then: Time, now: Time) -> String {
    short(now.as_second().saturating_sub(then.as_second()))
}

/// How long it is until `then`; `passed` if it is not in the future.
pub(super) fn until(then: Time, now: Time) -> String {
    match then.as_second().saturating_sub(now.as_second()) {
        seconds if seconds > 0 => short(seconds),
        _ => "passed".to_owned(),
    }
}

fn short(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let two = |large: i64, one: &str, small: i64, other: &str| match (seconds % large) / small {
        0 => format!("{}{one}", seconds / large),
        rest => format!("{}{one}{rest}{other}", seconds / large),
    };
    match seconds.max(0) {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(DAY, "d", HOUR, "h"),
        s => format!("{}d", s / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, printed) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3_600, "60m"),
            (11_100, "3h5m"),
            (86_400, "24h"),
            (200_000, "2d7h"),
            (864_000, "10d"),
        ] {
            assert_eq!(short(seconds), printed);
        }
    }

    #[test]
    fn cells_are_escaped_and_lines_end_with_their_text() {
        let mut table = Table::new(&["NAME", "STATUS"]);
        table.row(["a\u{1b}[31m".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "NAME          STATUS\na\\u{1b}[31m   -\n");
    }
}
