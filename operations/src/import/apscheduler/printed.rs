//! What APScheduler prints of a job: `NAME (trigger: cron[hour='5'], next run at: …)`, or the
//! trigger alone.

use serde_json::{Map, Value, json};

/// Lines of `print_jobs()` that are no jobs.
const HEADINGS: [&str; 4] = ["Jobstore ", "Pending jobs", "No scheduled jobs", "No pending jobs"];

/// Whether a line is about a job.
pub(super) fn is_job(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty()
        && !line.starts_with('#')
        && !HEADINGS.iter().any(|heading| line.starts_with(heading))
}

/// The line's job in the form of the JSON list.
pub(super) fn read(line: &str) -> Result<Map<String, Value>, String> {
    let line = line.trim();
    let (name, text) = match line.split_once(" (trigger: ") {
        Some((name, rest)) => (Some(name), rest.strip_suffix(')').unwrap_or(rest)),
        None => (None, line),
    };
    let not_understood = || "it isn't like `NAME (trigger: cron[hour='5'], …)`".to_owned();
    let end = end_of_trigger(text);
    let (text, state) = text.split_at(end);
    let mut fields = trigger(text).ok_or_else(not_understood)??;
    if let Some(name) = name {
        fields.insert("id".to_owned(), json!(name));
    }
    match (name, state.trim_start_matches([',', ' '])) {
        (Some(_), "paused") => {
            fields.insert("next_run_time".to_owned(), Value::Null);
        }
        (Some(_), state) if state == "pending" || state.starts_with("next run at") => {}
        (None, "") => {}
        _ => return Err(not_understood()),
    }
    Ok(fields)
}

/// The fields of a printed trigger; none if it isn't one.
pub(super) fn trigger(text: &str) -> Option<Result<Map<String, Value>, String>> {
    let (kind, inner) = text.strip_suffix(']')?.split_once('[')?;
    let fields = match kind {
        "cron" => cron(inner),
        "interval" => interval(inner).ok_or_else(|| {
            format!("`{inner}` isn't an interval of whole seconds such as 1 day, 2:00:00")
        }),
        "date" => Ok(Map::from_iter([("run_date".to_owned(), json!(inner))])),
        "or" | "and" => combined(inner),
        other => Err(format!(
            "a printed trigger `{other}` has no counterpart; `polychron schedule exporter` writes more of it"
        )),
    };
    Some(fields.map(|mut fields| {
        fields.insert("trigger".to_owned(), json!(kind));
        fields
    }))
}

/// Where the trigger at the beginning of a text ends: at the bracket that closes its first one.
fn end_of_trigger(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in text.char_indices() {
        match char {
            '[' => depth += 1,
            ']' if depth <= 1 => return at + 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// `cron[hour='5'], cron[hour='6', minute='30']`.
fn combined(inner: &str) -> Result<Map<String, Value>, String> {
    let mut triggers = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (first, after) = rest.split_at(end_of_trigger(rest));
        triggers.push(json!({ "trigger": first }));
        rest = after.trim_start_matches([',', ' ']);
    }
    Ok(Map::from_iter([("triggers".to_owned(), Value::Array(triggers))]))
}

/// `day_of_week='mon-fri', hour='5'`.
fn cron(inner: &str) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let field = rest.split_once("='").and_then(|(name, rest)| {
            let (value, rest) = rest.split_once('\'')?;
            Some((name, value, rest))
        });
        let Some((name, value, after)) = field else {
            return Err(format!("`{rest}` isn't like hour='5'"));
        };
        fields.insert(name.to_owned(), json!(value));
        rest = after.trim_start_matches([',', ' ']);
    }
    Ok(fields)
}

/// `1 day, 2:00:00`.
fn interval(inner: &str) -> Option<Map<String, Value>> {
    let (days, time) = match inner.split_once(", ") {
        Some((days, time)) => (days.strip_suffix(" days").or(days.strip_suffix(" day"))?, time),
        None => ("0", inner),
    };
    let mut parts = time.split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let numbers = [("days", days.parse().ok()?), ("hours", hours), ("minutes", minutes)];
    let numbers = numbers.into_iter().chain([("seconds", seconds)]);
    Some(numbers.map(|(name, number)| (name.to_owned(), json!(number))).collect())
}
