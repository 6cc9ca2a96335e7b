//! django-celery-beat's tables, as `manage.py dumpdata` writes them: a list of rows with model, key and fields.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Item, crontab};

const PREFIX: &str = "django_celery_beat.";
/// The fields of a task that name its schedule, with the table that it is in.
const SCHEDULES: [(&str, &str); 4] = [
    ("crontab", "crontabschedule"),
    ("interval", "intervalschedule"),
    ("clocked", "clockedschedule"),
    ("solar", "solarschedule"),
];
/// Periods, with their seconds.
const PERIODS: [(&str, f64); 5] = [
    ("days", 86_400.0),
    ("hours", 3600.0),
    ("minutes", 60.0),
    ("seconds", 1.0),
    ("microseconds", 1e-6),
];
const OPTIONS: [&str; 5] = ["queue", "exchange", "routing_key", "headers", "priority"];

/// The tasks of a dump with their schedules.
pub(super) fn items(rows: &[Value]) -> Vec<Item> {
    let mut tables: HashMap<(&str, String), &Map<String, Value>> = HashMap::new();
    let mut tasks = Vec::new();
    for row in rows {
        let Some(fields) = row["fields"].as_object() else { continue };
        match row["model"].as_str().and_then(|model| model.strip_prefix(PREFIX)) {
            Some("periodictask") => tasks.push(fields),
            Some(table) => {
                tables.insert((table, row["pk"].to_string()), fields);
            }
            None => {}
        }
    }
    tasks.into_iter().map(|task| item(task, &tables)).collect()
}

fn item(task: &Map<String, Value>, tables: &HashMap<(&str, String), &Map<String, Value>>) -> Item {
    let text = |field: &str| task.get(field).and_then(Value::as_str).map(str::to_owned);
    let mut fields = Map::new();
    let mut error = None;
    match schedule(task, tables) {
        Ok(schedule) => {
            fields.insert("schedule".to_owned(), schedule);
        }
        Err(reason) => error = Some(reason),
    }
    fields.insert("task".to_owned(), json!(text("task")));
    for field in ["args", "kwargs"] {
        // They are JSON within text.
        let value = text(field).unwrap_or_default();
        match serde_json::from_str::<Value>(&value) {
            Ok(value) => {
                fields.insert(field.to_owned(), value);
            }
            Err(_) if value.is_empty() => {}
            Err(_) => error = error.or_else(|| Some(format!("its {field} are not JSON"))),
        }
    }
    if task.get("one_off") == Some(&Value::Bool(true))
        && task.get("clocked").is_none_or(Value::is_null)
    {
        error = error.or_else(|| {
            Some("it is one-off: it runs once at its next time, which the file doesn't say; write it with `at`".to_owned())
        });
    }
    let mut options = Map::new();
    for option in OPTIONS {
        if let Some(value) =
            task.get(option).filter(|value| !value.is_null() && **value != "" && **value != "{}")
        {
            options.insert(option.to_owned(), value.clone());
        }
    }
    if let Some(seconds) = task.get("expire_seconds").filter(|seconds| !seconds.is_null()) {
        options.insert("expires".to_owned(), seconds.clone());
    }
    fields.insert("options".to_owned(), Value::Object(options));
    fields.insert("is_enabled".to_owned(), task.get("enabled").cloned().unwrap_or(json!(true)));
    if let Some(start) = text("start_time") {
        fields.insert("start".to_owned(), json!(start));
    }
    if let Some(end) = text("expires") {
        // After this time, the task is not sent any more.
        fields.insert("end".to_owned(), json!(end));
    }
    Item { name: text("name").unwrap_or_default(), fields, error }
}

fn schedule(
    task: &Map<String, Value>,
    tables: &HashMap<(&str, String), &Map<String, Value>>,
) -> Result<Value, String> {
    let named = SCHEDULES.iter().find_map(|(field, table)| {
        let key = task.get(*field).filter(|key| !key.is_null())?;
        Some((*field, *table, key))
    });
    let (field, table, key) = named.ok_or("it has no schedule")?;
    if field == "solar" {
        return Ok(json!({"type": "solar"}));
    }
    // A key is a number, or natural: a list.
    let row = tables.get(&(table, key.to_string()));
    let row = row.ok_or_else(|| {
        format!("its {field} {key} is not in the file: dump all of django_celery_beat")
    })?;
    match field {
        "crontab" => Ok(crontab::of_row(row)),
        "interval" => {
            let every =
                row.get("every").and_then(Value::as_f64).ok_or("its interval has no `every`")?;
            let period = row.get("period").and_then(Value::as_str).unwrap_or_default();
            let unit = PERIODS.iter().find(|(name, _)| *name == period);
            let (_, seconds) =
                unit.ok_or_else(|| format!("its interval's period is `{period}`"))?;
            Ok(json!({"type": "interval", "seconds": every * seconds}))
        }
        _ => Ok(
            json!({"type": "clocked", "at": row.get("clocked_time").cloned().unwrap_or_default()}),
        ),
    }
}
