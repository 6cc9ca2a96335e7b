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
