//! What really ran, as the handlers recorded it.

use std::path::Path;

pub use occurrences::log::{Record, most_at_once};

/// Reads every complete line; the last one may be incomplete.
pub fn read(file: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
