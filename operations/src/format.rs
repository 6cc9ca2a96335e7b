//! How values are written where a person reads them: in findings, tables and pages.

use shared::clock::Time;

/// A time, in UTC and to the second; nothing if there is none.
pub fn time(time: Option<Time>) -> String {
    time.map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

/// A value, or nothing if there is none.
pub fn maybe(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// `1 entry`, `2 entries`.
pub fn counted(count: usize, one: &str) -> String {
    match (count, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        for (count, one, expected) in [
            (0, "job", "0 jobs"),
            (1, "job", "1 job"),
            (1, "entry", "1 entry"),
            (2, "entry", "2 entries"),
        ] {
            assert_eq!(counted(count, one), expected);
        }
    }
}
