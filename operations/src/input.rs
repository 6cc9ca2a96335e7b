//! Reads what people write, with a remedy for what cannot be read.

use serde_json::{Value, json};
use shared::clock::Time;
use shared::notification;

/// Reads a time, such as `2026-12-01T09:00:00Z`.
pub fn time(text: &str) -> Result<Time, String> {
    let remedy = "is no time; write one like 2026-12-01T09:00:00Z, or with an offset like +01:00";
    text.parse().map_err(|_| format!("`{text}` {remedy}"))
}

/// Reads whom to notify of a job's trouble: `off`, a URL, or JSON with headers, events and more.
pub fn target(text: &str) -> Result<Value, String> {
    let target = match text {
        "off" => json!({}),
        text if text.starts_with('{') => {
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?
        }
        url => json!({"url": url}),
    };
    notification::check(&target).map(|()| target)
}
