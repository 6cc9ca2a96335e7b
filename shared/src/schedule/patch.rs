//! An edit of a schedule, which keeps the fields that it does not name.

use serde_json::{Map, Value};

use super::error::ScheduleError;
use super::json::{self, FORMS, Fields};

/// The fields of a schedule that an edit names: a JSON merge patch (RFC 7396), in which null
/// removes a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch(Map<String, Value>);

/// A schedule after an edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// The whole schedule. It has not been validated.
    pub schedule: Value,
    /// The options that the edit did not name and that stay, such as `timezone`.
    pub kept: Vec<String>,
    /// The options that were removed because the new form cannot have them.
    pub dropped: Vec<String>,
}

impl Patch {
    /// Parses the JSON text of a patch.
    ///
    /// # Errors
    ///
    /// If it is not an object, names an unknown field or one field twice, is too long, or names
    /// nothing.
    pub fn read(text: &str) -> Result<Patch, ScheduleError> {
        let patch = Patch(Fields::parse(text)?.into_iter().collect());
        if patch.0.is_empty() {
            let error = ScheduleError::new("schedule", "names no field to change");
            return Err(error.remedy(r#"write an object such as {"timezone":"Europe/London"}"#));
        }
        Ok(patch)
    }

    /// A patch that also removes the fields of `current` that it does not name, for text that contains a
    /// whole schedule.
    pub fn replacing(mut self, current: &Value) -> Patch {
        for name in current.as_object().into_iter().flat_map(Map::keys) {
            self.0.entry(name.clone()).or_insert(Value::Null);
        }
        self
    }

    /// Whether it names the field.
    pub fn names(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// The schedule that results if `current` is edited. A patch that names another form than the
    /// schedule's (such as `every` for one with `cron`) replaces the form, and drops the options
    /// that the new form cannot have.
    pub fn apply(&self, current: &Value) -> Patched {
        let empty = Map::new();
        let current = current.as_object().unwrap_or(&empty);
        let given = |form: &&str| self.0.get(*form).is_some_and(|value| !value.is_null());
        let form = FORMS.iter().find(|form| given(form));
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        let mut schedule = Map::new();
        for (name, value) in current {
            if self.names(name) {
                continue;
            }
            match form {
                // The patch names another form.
                Some(form) if FORMS.contains(&name.as_str()) && name != form => {}
                Some(form) if !json::is_valid_with(name, form) => dropped.push(name.clone()),
                // With `every`, a time zone would turn a period into a calendar interval.
                Some(&"every") if name == "timezone" && !current.contains_key("every") => {
                    dropped.push(name.clone());
                }
                _ => {
                    if !FORMS.contains(&name.as_str()) {
                        kept.push(name.clone());
                    }
                    schedule.insert(name.clone(), value.clone());
                }
            }
        }
        let named = self.0.iter().filter(|(_, value)| !value.is_null());
        schedule.extend(named.map(|(name, value)| (name.clone(), value.clone())));
        Patched { schedule: Value::Object(schedule), kept, dropped }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_keeps_what_it_does_not_name() {
        let daily = json!({"cron": "0 9 * * *", "timezone": "Europe/London", "gap": "skip",
                           "jitter": "5m", "end": "2027-01-01T00:00:00Z"});
        for (current, patch, expected, kept, dropped) in [
            (
                daily.clone(),
                json!({"cron": "30 9 * * *"}),
                json!({"cron": "30 9 * * *", "timezone": "Europe/London", "gap": "skip",
                       "jitter": "5m", "end": "2027-01-01T00:00:00Z"}),
                &["end", "gap", "jitter", "timezone"][..],
                &[][..],
            ),
            (
                daily.clone(),
                json!({"timezone": "Asia/Tokyo", "gap": null, "jitter": null}),
                json!({"cron": "0 9 * * *", "timezone": "Asia/Tokyo",
                       "end": "2027-01-01T00:00:00Z"}),
                &["end"],
                &[],
            ),
            (
                daily.clone(),
                json!({"every": "1h"}),
                json!({"every": "1h", "jitter": "5m", "end": "2027-01-01T00:00:00Z"}),
                &["end", "jitter"],
                &["gap", "timezone"],
            ),
            (
                daily,
                json!({"at": "2026-12-01T09:00:00Z"}),
                json!({"at": "2026-12-01T09:00:00Z", "timezone": "Europe/London",
                       "end": "2027-01-01T00:00:00Z"}),
                &["end", "timezone"],
                &["gap", "jitter"],
            ),
            (
                json!({"every": "1h", "from": "2026-01-01T00:20:00Z"}),
                json!({"every": "2h"}),
                json!({"every": "2h", "from": "2026-01-01T00:20:00Z"}),
                &["from"],
                &[],
            ),
            // A row that was written by plain SQL.
            (json!("0 9 * * *"), json!({"every": "2h"}), json!({"every": "2h"}), &[], &[]),
        ] {
            let patched = Patch::read(&patch.to_string()).unwrap().apply(&current);
            assert_eq!(patched.schedule, expected, "{current} with {patch}");
            assert_eq!(patched.kept, kept, "{current} with {patch}");
            assert_eq!(patched.dropped, dropped, "{current} with {patch}");
        }
    }

    #[test]
    fn a_replacing_patch_keeps_nothing() {
        let current = json!({"cron": "0 9 * * *", "timezone": "Europe/London", "gap": "skip"});
        let whole = json!({"cron": "0 9 * * *", "gap": "first"});
        let patch = Patch::read(&whole.to_string()).unwrap().replacing(&current);
        let patched = patch.apply(&current);
        assert_eq!(patched, Patched { schedule: whole, kept: vec![], dropped: vec![] });
    }

    #[test]
    fn an_invalid_patch_is_refused() {
        for (text, says) in [
            ("{}", "names no field"),
            ("[]", "cannot be parsed"),
            (r#"{"cron":"@daily","cron":"@hourly"}"#, "given twice"),
            (r#"{"timezon":"UTC"}"#, "did you mean `timezone`?"),
        ] {
            let refused = Patch::read(text).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
