//! Reads what people write, with a remedy for what cannot be read.

use serde_json::{Value, json};
use shared::clock::Time;
use shared::date_fault::date_fault;
use shared::notification;

/// Reads a time, such as `2026-12-01T09:00:00Z`.
pub fn time(text: &str) -> Result<Time, String> {
    let remedy = "write one like 2026-12-01T09:00:00Z, or with an offset like +01:00";
    text.parse().map_err(|_| format!("`{text}` is not a time{}; {remedy}", fault(text)))
}

/// ` (month 13 does not exist)`, for the message about a time that cannot be read.
pub fn fault(text: &str) -> String {
    date_fault(text).map(|fault| format!(" ({fault})")).unwrap_or_default()
}

/// Reads a tenant's slug, by the rule of the control database.
pub fn slug(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match fits {
        true => Ok(text.to_owned()),
        false => {
            Err("it must be 1 to 63 of a-z, 0-9 and -, and begin with a letter or digit".to_owned())
        }
    }
}

/// Reads the name of a PostgreSQL schema, by the rule of PostgreSQL.
pub fn schema(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && !text.starts_with("pg_")
        && !text.chars().any(char::is_control);
    match fits {
        true => Ok(text.to_owned()),
        false => Err("it must have 1 to 63 bytes and not begin with pg_".to_owned()),
    }
}

/// Reads whom to notify about a job: `off`, a URL, or JSON with headers, events and more.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_does_not_exist_is_refused_with_the_reason() {
        let refused = time("2026-02-30T09:00:00Z").unwrap_err();
        assert!(
            refused.contains("is not a time (February 2026 has no day 30); write"),
            "{refused}"
        );
        assert!(time("soon").unwrap_err().contains("`soon` is not a time; write"));
        assert!(time("2026-12-01T09:00:00+01:00").is_ok());
    }

    #[test]
    fn a_slug_is_checked_before_anything_is_done() {
        for (text, fits) in [
            ("acme", true),
            ("0-day", true),
            (&"x".repeat(63), true),
            (&"x".repeat(64), false),
            ("-acme", false),
            ("Acme", false),
            ("a_b", false),
            ("", false),
        ] {
            assert_eq!(slug(text).is_ok(), fits, "{text}");
        }
    }
}
