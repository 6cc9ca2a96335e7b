//! Against the real APScheduler 3.11: `tests/oracles/apscheduler_answers.py` wrote its answers down.

use super::*;
use serde::Deserialize;
use shared::clock::Time;
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};
use uuid::Uuid;

const ANSWERS: &str = include_str!("../../../tests/oracles/apscheduler.jsonl");

#[derive(Deserialize)]
struct Answer {
    item: Map<String, Value>,
    printed: String,
    fields: Map<String, Value>,
    from: Time,
    times: Vec<Time>,
}

fn import(text: &str, timezone: Option<&str>) -> Vec<Entry> {
    let reader = Reader { timezone: timezone.map(str::to_owned), job_type: None };
    reader.read(&Text::plain(text)).unwrap().entries
}

/// The only job of a text.
#[track_caller]
fn one(text: &str, timezone: Option<&str>) -> NewJob {
    let entry = import(text, timezone).pop().unwrap();
    entry.job.unwrap()
}

#[track_caller]
fn refusal(item: Value) -> String {
    let entry = import(&json!([item]).to_string(), None).pop().unwrap();
    entry.job.clone().unwrap_err()
}

#[test]
fn translated_triggers_fire_when_apscheduler_does() {
    let mut compared = 0;
    for line in ANSWERS.lines() {
        let Answer { item, printed, fields, from, times } = serde_json::from_str(line).unwrap();
        let zone = item["timezone"].as_str().unwrap().to_owned();
        let list = one(&Value::from(vec![item.clone()]).to_string(), None).schedule;
        let mut forms = vec![list.clone()];
        if item["trigger"] == "cron" {
            let mut full = item.clone();
            full.extend(fields);
            forms.push(one(&Value::from(vec![full]).to_string(), None).schedule);
            let mut beside = item.clone();
            beside.retain(|field, _| field.ends_with("_date") || field == "timezone");
            beside.insert("trigger".into(), json!(printed));
            forms.push(one(&Value::from(vec![beside]).to_string(), None).schedule);
            let mut bare = one(&printed, Some(&zone)).schedule;
            for bound in ["start", "end"] {
                // Printed triggers do not contain them.
                list.get(bound).into_iter().for_each(|time| bare[bound] = time.clone());
            }
            forms.push(bare);
        } else {
            let mut bare = one(&printed, Some(&zone)).schedule;
            bare["from"] = list["from"].clone();
            forms.push(bare);
        }
        for form in forms {
            assert_eq!(form, list, "{line}");
        }
        let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
        let schedule = Schedule::read(&list.to_string(), spread).unwrap();
        // APScheduler fires at once if the time is now.
        let mut after = from - chrono::TimeDelta::microseconds(1);
        for expected in &times {
            let next = schedule.next_after(after);
            assert_eq!(next, Some(*expected), "{list} after {after}: {line}");
            after = *expected;
            compared += 1;
        }
        if times.len() < 8 {
            assert_eq!(schedule.next_after(after), None, "{line}");
        }
    }
    assert!(compared > 2500, "{compared}");
}

#[test]
fn what_has_no_counterpart_is_refused_with_the_reason() {
    for (item, says) in [
        (
            json!({"trigger": "cron", "day": "1,15", "day_of_week": "mon-fri", "second": "*", "minute": "*"}),
            "must both match",
        ),
        (
            json!({"trigger": "cron", "day": "last", "day_of_week": "mon", "second": "*", "minute": "*"}),
            "day='last'",
        ),
        (json!({"trigger": "cron", "day": "1st mon", "day_of_week": "mon"}), "must both match"),
        (json!({"trigger": "cron", "year": "2096,2098"}), "neither one year"),
        (json!({"trigger": "cron", "year": 2027, "end_date": "2026-01-01"}), "before `start`"),
        (
            json!({"trigger": "calendarinterval", "months": 1, "days": 1, "start_date": "2026-01-01"}),
            "both months and days",
        ),
        (json!({"trigger": "calendarinterval", "start_date": "2026-01-01"}), "needs a length"),
        (json!({"trigger": "calendarinterval", "days": 1}), "start_date"),
        (json!({"trigger": "or", "triggers": []}), "empty"),
        (
            json!({"trigger": "or", "triggers": [{"trigger": "date", "run_date": "2020-01-01"}]}),
            "trigger 1: its only time",
        ),
        (
            json!({"trigger": "or", "triggers": [{"trigger": "and", "triggers": []}]}),
            "no counterpart",
        ),
        (json!({"id": "a", "error": "args[0] is an object of shop.Session"}), "shop.Session"),
        (json!({"trigger": "cron", "week": "*/2"}), "no week"),
        (json!({"trigger": "cron", "hour": "5", "day_of_week": "monday"}), "day_of_week='monday'"),
        (json!({"trigger": "cron", "day_of_week": "mon-fri/2"}), "mon-fri/2"),
        (json!({"trigger": "cron", "day_of_week": "7"}), "0 to 6"),
        (json!({"trigger": "cron", "hour": "H"}), "hour='h'"),
        (json!({"trigger": "cron", "hour": "25"}), "hour 25"),
        (json!({"trigger": "cron", "hour": "5,"}), "empty entry"),
        (json!({"trigger": "cron", "hour": [5]}), "neither a text nor a number"),
        (json!({"trigger": "cron", "minute": "*", "jitter": 90}), "jitter"),
        (json!({"trigger": "cron", "hour": "5", "timezone": "Europe/Lodnon"}), "Europe/London"),
        (json!({"trigger": "interval", "seconds": 0.5}), "whole"),
        (json!({"trigger": "interval[0:00:00.500000]"}), "whole seconds"),
        (json!({"trigger": "date"}), "run_date"),
        (json!({"trigger": "date", "run_date": "2020-01-01"}), "past"),
        (json!({"trigger": "date", "run_date": "soon"}), "isn't a time"),
        (json!({"trigger": "date", "run_date": "2026-04-31 09:00"}), "April 2026 has no day 31"),
        (json!({"trigger": "and"}), "no counterpart"),
        (json!({"trigger": "and[cron[hour='5'], cron[minute='6']]"}), "no counterpart"),
        (json!({}), "no trigger"),
    ] {
        let reason = refusal(item.clone());
        assert!(reason.contains(says), "{item}: {reason}");
    }
}

#[test]
fn printed_jobs_are_read_and_headings_are_skipped() {
    let entries = import(
        "Jobstore default:\n    \
             nightly report (trigger: cron[day_of_week='mon-fri', hour='5'], next run at: 2026-12-01 05:00:00 GMT)\n    \
             poll (trigger: interval[1 day, 2:00:00], paused)\nPending jobs:\n    \
             once (trigger: date[2096-07-01 09:00:00 BST], pending)\n\
         cron[second='5']\nnonsense\n",
        Some("Europe/London"),
    );
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| match &entry.job {
            Ok(job) => {
                (entry.place.as_str(), job.name.as_str(), job.is_enabled, job.schedule.clone())
            }
            Err(_) => (entry.place.as_str(), "", false, Value::Null),
        })
        .collect();
    let zone = "Europe/London";
    assert_eq!(
        shown,
        [
            (
                "line 2",
                "nightly report",
                true,
                json!({"cron": "0 5 * * MON-FRI", "timezone": zone})
            ),
            ("line 3", "poll", false, json!({"every": "26h"})),
            ("line 5", "once", true, json!({"at": "2096-07-01T08:00:00Z"})),
            ("line 6", "job", true, json!({"cron": "5 * * * * *", "timezone": zone})),
            ("line 7", "", false, Value::Null),
        ]
    );
}

#[test]
fn policies_are_translated_and_untranslated_fields_are_noted() {
    let item = json!({
        "id": "0123456789abcdef0123456789abcdef", "name": "send", "func": "mail:send", "args": [1], "kwargs": {"to": "x"},
        "trigger": "interval", "hours": 1, "start_date": "2026-01-01T00:00:00+01:00", "jitter": 30,
        "coalesce": false, "misfire_grace_time": 300, "max_instances": 3, "next_run_time": null, "colour": "red"
    });
    let entry = import(&json!([item]).to_string(), None).pop().unwrap();
    let job = entry.job.unwrap();
    assert_eq!((job.name.as_str(), job.job_type.as_str()), ("send", "mail:send"));
    assert_eq!(job.payload, json!({"args": [1], "kwargs": {"to": "x"}}));
    assert_eq!(
        job.schedule,
        json!({"every": "1h", "from": "2025-12-31T23:00:00Z", "jitter": "30s"})
    );
    assert_eq!((job.misfire_policy, job.misfire_grace_seconds), (MisfirePolicy::RunAll, 300));
    assert_eq!((job.overlap_policy, job.is_enabled), (OverlapPolicy::Allow, false));
    assert_eq!(job.max_attempts, 1);
    let notes = entry.notes.join("\n");
    for says in [
        "drawn anew",
        "coalesce=false",
        "dropped",
        "without that bound",
        "paused",
        "left out: colour",
        "UTC",
    ] {
        assert!(notes.contains(says), "{says}: {notes}");
    }
    let plain = one(
        r#"[{"id": "a", "trigger": "interval", "days": 14, "coalesce": true, "misfire_grace_time": null, "max_instances": 1}]"#,
        None,
    );
    assert_eq!(
        (plain.misfire_policy, plain.overlap_policy),
        (MisfirePolicy::RunOnce, OverlapPolicy::Skip)
    );
    assert_eq!((plain.job_type.as_str(), &plain.schedule), ("a", &json!({"every": "2w"})));
}

#[test]
fn fields_beside_a_printed_trigger_are_more_precise() {
    let once = r#"[{"id": "a", "trigger": "date[2096-07-01 09:00:00 BST]", "run_date": "2096-07-01T09:00:00.5+01:00"}]"#;
    assert_eq!(one(once, None).schedule, json!({"at": "2096-07-01T08:00:00.500Z"}));
    for (text, zone, expected) in [
        ("date[2096-07-01 09:00:00 BST]", "Europe/Paris", None),
        ("date[2096-07-01 09:00:00 UTC]", "Europe/Paris", Some("2096-07-01T09:00:00Z")),
        // 01:30 comes twice on that day, and 02:30 doesn't on the other.
        ("date[2096-10-28 01:30:00 BST]", "Europe/London", Some("2096-10-28T00:30:00Z")),
        ("date[2096-10-28 01:30:00 GMT]", "Europe/London", Some("2096-10-28T01:30:00Z")),
        ("date[2096-03-25 02:30:00 CET]", "Europe/Paris", None),
    ] {
        let job = import(text, Some(zone)).pop().unwrap().job.ok();
        let expected = expected.map(|at| json!({"at": at}));
        assert_eq!(job.map(|job| job.schedule), expected, "{text} {zone}");
    }
}

#[test]
fn a_text_that_is_no_list_of_jobs_is_wrong_usage() {
    let reader = Reader { timezone: None, job_type: None };
    for text in ["[1]", "{", "[{}"] {
        assert!(matches!(reader.read(&Text::plain(text)).err(), Some(Failure::Usage(_))), "{text}");
    }
}

#[test]
fn combined_triggers_and_calendar_intervals_are_translated() {
    let zone = "Europe/Berlin";
    let eight = json!({"trigger": "cron", "hour": 8, "minute": 30, "timezone": zone});
    let noon = json!({"trigger": "cron", "hour": 12, "timezone": zone});
    let item =
        json!([{"id": "a", "trigger": "or", "triggers": [eight.clone(), noon], "jitter": 60}]);
    let cron = |expression: &str| json!({"cron": expression, "timezone": zone});
    let any = json!([cron("30 8 * * *"), cron("0 12 * * *")]);
    assert_eq!(one(&item.to_string(), None).schedule, json!({"any": any, "jitter": "60s"}));
    let printed = "daily (trigger: or[cron[hour='8', minute='30'], cron[hour='12']], next run at: 2026-12-01 08:30:00 CET)";
    assert_eq!(one(printed, Some(zone)).schedule, json!({ "any": any }));
    let nested = json!({"trigger": "or", "triggers": [eight]});
    let item = json!([{"id": "a", "trigger": "or", "triggers": [nested]}]);
    assert_eq!(one(&item.to_string(), None).schedule, cron("30 8 * * *"));
    let mut deep = json!({"trigger": "interval", "hours": 1});
    for _ in 0..10 {
        deep = json!({"trigger": "or", "triggers": [deep]});
    }
    assert!(refusal(deep).contains("nested"));
    let item = json!([{
        "id": "a", "trigger": "calendarinterval", "years": 0, "months": 0, "weeks": 2, "days": 0, "hour": 9, "minute": 0,
        "second": 0, "start_date": "2026-01-02", "end_date": "2096-01-01", "timezone": zone, "jitter": 60,
        "notes": ["args[0]: a set became a list"]
    }]);
    let entry = import(&item.to_string(), None).pop().unwrap();
    assert!(entry.notes.contains(&"args[0]: a set became a list".to_owned()), "{:?}", entry.notes);
    assert_eq!(
        entry.job.unwrap().schedule,
        json!({"every": "2w", "timezone": zone, "from": "2026-01-02T09:00:00", "end": "2096-01-01T22:59:59Z", "jitter": "60s"})
    );
    let years = json!([{"id": "a", "trigger": "cron", "year": "2096-2097", "hour": 5, "start_date": "2096-06-01", "timezone": zone}]);
    let schedule = one(&years.to_string(), None).schedule;
    assert_eq!(
        (&schedule["start"], &schedule["end"]),
        (&json!("2096-05-31T22:00:00Z"), &json!("2097-12-31T22:59:59Z"))
    );
}

#[test]
fn days_that_must_both_match_become_a_recurrence_rule() {
    let zone = "Europe/London";
    let item = json!({"trigger": "cron", "day": "1,15,last", "day_of_week": "mon-fri", "hour": "9",
                      "timezone": zone, "start_date": "2026-12-02 00:00:30"});
    let schedule = one(&json!([item]).to_string(), None).schedule;
    assert_eq!(
        schedule,
        json!({"rrule": "FREQ=DAILY;BYMONTHDAY=1,15,-1;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
               "start": "2026-12-02T00:00:30Z", "timezone": zone})
    );
    let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
    let schedule = Schedule::read(&schedule.to_string(), spread).unwrap();
    let mut at: Time = "2026-11-01T00:00:00Z".parse().unwrap();
    for expected in ["2026-12-15T09:00:00Z", "2026-12-31T09:00:00Z", "2027-01-01T09:00:00Z"] {
        at = schedule.next_after(at).unwrap();
        assert_eq!(at, expected.parse::<Time>().unwrap());
    }
}

#[test]
fn a_file_without_jobs_says_so() {
    for (text, says) in
        [("", "the file is empty"), ("\n \n", "the file is empty"), ("[]", "has no jobs")]
    {
        let reader = Reader { timezone: None, job_type: None };
        let import = reader.read(&Text::plain(text)).unwrap();
        let remarks = import.remarks.join("; ");
        assert!(import.entries.is_empty() && remarks.contains(says), "{text}: {remarks}");
    }
}
