use super::*;

fn read(document: &Value) -> Vec<Entry> {
    Reader::default().read(&Text::plain(&document.to_string())).unwrap().entries
}

/// The schedule of an entry of `beat_schedule`.
fn schedule(schedule: Value) -> Result<Value, String> {
    let entry = json!({"id": "a", "task": "shop.a", "schedule": schedule});
    let document = json!({"celery": {"timezone": "Europe/Berlin", "beat_schedule": [entry]}});
    read(&document).remove(0).job.map(|job| job.schedule)
}

fn crontab(fields: Value) -> Result<Value, String> {
    let mut fields = fields;
    fields["type"] = json!("crontab");
    schedule(fields)
}

#[test]
fn schedules_are_translated() {
    let cron = |expression: &str| Ok(json!({"cron": expression, "timezone": "Europe/Berlin"}));
    assert_eq!(
        crontab(json!({"minute": "*/10", "hour": "5", "day_of_week": "mon-fri"})),
        cron("*/10 5 * * MON,TUE,WED,THU,FRI")
    );
    assert_eq!(
        crontab(json!({"minute": 0, "hour": "{8, 12}", "day_of_week": "*"})),
        cron("0 8,12 * * *")
    );
    assert_eq!(
        crontab(json!({"minute": "0", "day_of_week": "fri-mon"})),
        cron("0 * * * SUN,MON,FRI,SAT")
    );
    assert_eq!(crontab(json!({"minute": "0", "day_of_week": "0,7"})), cron("0 * * * SUN"));
    assert_eq!(
        crontab(json!({"minute": "0", "day_of_week": "*/2"})),
        cron("0 * * * SUN,TUE,THU,SAT")
    );
    // Both must match there.
    assert_eq!(
        crontab(json!({"minute": "0", "day_of_month": "*/2", "day_of_week": "mon"})),
        cron("0 * */2 * MON")
    );
    assert_eq!(
        crontab(json!({"minute": "0", "day_of_month": "1-7", "day_of_week": "sunday"})),
        cron("0 * * * SUN#1")
    );
    assert_eq!(
        crontab(json!({"minute": "0", "hour": "9", "day_of_month": "13", "day_of_week": "0,fri"})),
        Ok(json!({
            "rrule": "FREQ=DAILY;BYMONTHDAY=13;BYDAY=SU,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
            "start": "2000-01-01T00:00:00", "timezone": "Europe/Berlin"
        }))
    );
    assert_eq!(schedule(json!({"type": "interval", "seconds": 90.0})), Ok(json!({"every": "90s"})));
    for (fields, says) in [
        (
            json!({"type": "crontab", "day_of_month": "1,15", "day_of_week": "mon"}),
            "must both match",
        ),
        (
            json!({"type": "crontab", "minute": "0", "day_of_month": "1,first", "day_of_week": "mon"}),
            "must both match",
        ),
        (json!({"type": "crontab", "day_of_week": "noday"}), "not understood"),
        (json!({"type": "crontab", "hour": "a b; c"}), "not understood"),
        (json!({"type": "crontab", "hour": "25"}), "25"),
        (json!({"type": "interval", "seconds": 0.5}), "whole seconds"),
        (json!({"type": "solar"}), "sun"),
        (json!({"type": "other"}), "no counterpart"),
    ] {
        let reason = schedule(fields.clone()).unwrap_err();
        assert!(reason.contains(says), "{fields}: {reason}");
    }
}

#[test]
fn an_entry_becomes_a_job() {
    let document = json!({"celery": {"timezone": "UTC", "beat_schedule": [
        {"id": "nightly", "task": "shop.report", "schedule": {"type": "interval", "seconds": 3600},
         "args": [1], "kwargs": {}, "options": {"queue": "slow", "expires": 30.0}, "notes": ["args[0]: a set became a list"]},
        {"id": "session", "error": "args[0] is an object"},
        {"id": "clean", "task": "celery.backend_cleanup", "schedule": {"type": "interval", "seconds": 3600}},
    ]}});
    let mut entries = read(&document);
    let entry = entries.remove(0);
    let job = entry.job.unwrap();
    assert_eq!((job.name.as_str(), job.job_type.as_str()), ("nightly", "shop.report"));
    assert_eq!(job.payload, json!({"args": [1]}));
    assert_eq!((job.misfire_policy, job.misfire_grace_seconds), (MisfirePolicy::Skip, 30));
    let notes = entry.notes.join("\n");
    assert!(notes.contains("left out: queue") && notes.contains("became a list"), "{notes}");
    assert!(entries[0].job.as_ref().unwrap_err().contains("an object"));
    assert!(entries[1].job.as_ref().unwrap_err().contains("housekeeping"));
}

#[test]
fn the_tables_of_django_celery_beat_are_read() {
    let row = |model: &str, pk: u32, fields: Value| json!({"model": format!("django_celery_beat.{model}"), "pk": pk, "fields": fields});
    let task = |name: &str, more: Value| {
        let mut fields = json!({
            "name": name, "task": "shop.a", "interval": null, "crontab": null, "solar": null, "clocked": null,
            "args": "[1]", "kwargs": "{}", "queue": null, "headers": "{}", "expires": null, "expire_seconds": null,
            "one_off": false, "start_time": null, "enabled": true
        });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row("periodictask", 1, fields)
    };
    let document = json!([
        row("intervalschedule", 1, json!({"every": 10, "period": "minutes"})),
        row(
            "crontabschedule",
            1,
            json!({
                "minute": "30", "hour": "5", "day_of_month": "*", "month_of_year": "*", "day_of_week": "1", "timezone": "Asia/Tokyo"
            })
        ),
        row("clockedschedule", 1, json!({"clocked_time": "2096-01-01T09:00:00Z"})),
        row("solarschedule", 1, json!({"event": "sunset"})),
        row("periodictasks", 1, json!({"last_update": null})),
        task(
            "by interval",
            json!({"interval": 1, "enabled": false, "start_time": "2026-01-01T00:00:00Z"})
        ),
        task("by crontab", json!({"crontab": 1, "expire_seconds": 60, "priority": 3})),
        task("by clock", json!({"clocked": 1, "one_off": true})),
        task("by the sun", json!({"solar": 1})),
        task("once", json!({"crontab": 1, "one_off": true})),
        task("lost", json!({"crontab": 2})),
        task("broken", json!({"interval": 1, "args": "[1"})),
        task("never", json!({})),
    ]);
    let entries = read(&document);
    let job = |at: usize| entries[at].job.as_ref().unwrap();
    assert_eq!(job(0).schedule, json!({"every": "600s", "start": "2026-01-01T00:00:00Z"}));
    assert_eq!((job(0).is_enabled, &job(0).payload), (false, &json!({"args": [1]})));
    assert_eq!(job(1).schedule, json!({"cron": "30 5 * * MON", "timezone": "Asia/Tokyo"}));
    assert_eq!(job(1).misfire_grace_seconds, 60);
    assert!(
        entries[1].notes.iter().any(|note| note.contains("left out: priority")),
        "{:?}",
        entries[1].notes
    );
    assert_eq!(job(2).schedule, json!({"at": "2096-01-01T09:00:00Z"}));
    for (at, says) in
        [(3, "sun"), (4, "one-off"), (5, "not in the file"), (6, "not JSON"), (7, "no schedule")]
    {
        let reason = entries[at].job.as_ref().unwrap_err();
        assert!(reason.contains(says), "{reason}");
    }
    assert_eq!(entries.len(), 8);
}

#[test]
fn other_documents_are_wrong_usage() {
    for text in ["{", "1", "{}", "{\"celery\": {}}"] {
        assert!(
            matches!(Reader::default().read(&Text::plain(text)), Err(Failure::Usage(_))),
            "{text}"
        );
    }
}

#[test]
fn an_empty_file_is_called_empty() {
    for (text, says) in [("", "FILE is empty"), (" \n", "FILE is empty"), ("{", "isn't JSON (EOF")]
    {
        let failure = Reader::default().read(&Text::plain(text)).err().unwrap().to_string();
        assert!(failure.contains(says), "{failure}");
    }
}
