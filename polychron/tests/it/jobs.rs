//! `polychron job …`.

use serde_json::{Value, json};

use crate::console::{BOTH, Console};

fn job(console: &Console, name: &str) -> Value {
    console.run(&["job", "show", "acme", name, "-o", "json"]).succeeded().json()
}

#[tokio::test]
async fn a_notification_target_is_stored_and_the_audit_does_not_contain_it() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let add = ["job", "add", "acme", "a", "--type", "noop", "--every", "1h", "--notify"];
        console.run(&[&add[..], &["https://hooks.example/t0ken"]].concat()).succeeded();
        assert_eq!(job(&console, "a")["notify"], json!({"url": "https://hooks.example/t0ken"}));
        for (given, written) in [
            ("off", json!({})),
            ("default", Value::Null),
            (
                r#"{"url": {"$secret": "HOOK"}, "on": ["late"]}"#,
                json!({"url": {"$secret": "HOOK"}, "on": ["late"]}),
            ),
        ] {
            console.run(&["job", "edit", "acme", "a", "--notify", given]).succeeded();
            assert_eq!(job(&console, "a")["notify"], written);
        }
        let refused = console.run(&["job", "edit", "acme", "a", "--notify", "ftp://x/"]);
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("notify.url is not an http"), "{}", refused.stderr);
        for target in ["https://hooks.example/t0ken", "off"] {
            console.run(&["tenant", "notify", "acme", target]).succeeded();
        }
        let notifier = job(&console, "polychron-notifications");
        assert_eq!((&notifier["payload"], &notifier["is_enabled"]), (&json!({}), &json!(false)));
        let connections = shared::store::Connections::new(shared::clock::Clock::System, 2);
        let control = shared::store::Control::new(&console.control, &connections).unwrap();
        let audit = control.list_audit(&Default::default(), 99).await.unwrap();
        let audit = serde_json::to_string(&audit).unwrap();
        assert!(audit.contains("notify") && !audit.contains("t0ken"), "{audit}");
    }
}

/// Jobs by the flags that add them, and what is shown of each; `file` is a payload's `@path`.
#[expect(clippy::too_many_lines, reason = "a table, one entry a job")]
fn jobs_by_flags(file: &str) -> [(&'static str, Vec<&str>, Value); 9] {
    [
        (
            "cron",
            vec!["--cron", "0 2 * * *", "--timezone", "Europe/London"],
            json!({"schedule": {"cron": "0 2 * * *", "timezone": "Europe/London"}, "version": 1,
                   "is_enabled": true, "queue": "default", "timeout_seconds": null, "payload": {}}),
        ),
        (
            "every",
            vec!["--every", "15m", "--payload", "-", "--queue", "slow", "--timeout", "1h 30m"],
            json!({"schedule": {"every": "15m"}, "payload": {"from": "input"}, "queue": "slow",
                   "timeout_seconds": 5400}),
        ),
        (
            "fortnightly",
            vec!["--every", "2w", "--timezone", "Europe/London", "--from", "2026-01-02T09:00:00"],
            json!({"schedule": {"every": "2w", "timezone": "Europe/London",
                                "from": "2026-01-02T09:00:00"}}),
        ),
        (
            "several",
            vec!["--cron", "30 8 * * *", "--cron", "0 12 * * 1-5", "--timezone", "Europe/London"],
            json!({"schedule": {"any": [{"cron": "30 8 * * *"}, {"cron": "0 12 * * 1-5"}],
                                "timezone": "Europe/London"}}),
        ),
        (
            "workdays",
            vec![
                "--cron",
                "0 9 W#1 * *",
                "--except",
                "12-24/01-01",
                "--except",
                "2026-05-01",
                "--years",
                "2026-2099",
            ],
            json!({"schedule": {"cron": "0 9 W#1 * *", "except": ["12-24/01-01", "2026-05-01"],
                                "years": "2026-2099"}}),
        ),
        (
            "rule",
            vec![
                "--rrule",
                "FREQ=MONTHLY;BYDAY=-1FR",
                "--start",
                "2026-01-02T09:00:00",
                "--timezone",
                "Europe/London",
            ],
            json!({"schedule": {"rrule": "FREQ=MONTHLY;BYDAY=-1FR", "start": "2026-01-02T09:00:00",
                                "timezone": "Europe/London"}}),
        ),
        (
            "at",
            vec!["--at", "2026-12-01T09:00:00Z", "--payload", file, "--disabled"],
            json!({"schedule": {"at": "2026-12-01T09:00:00Z"}, "payload": {"from": "file"},
                   "is_enabled": false}),
        ),
        (
            "text",
            vec!["--schedule", "*/5 * * * *", "--max-attempts", "5", "--retry-base", "2s"],
            json!({"schedule": {"cron": "*/5 * * * *"}, "max_attempts": 5, "retry_base_seconds": 2}),
        ),
        (
            "json",
            vec![
                "--schedule",
                r#"{"every": "1h", "jitter": "5m"}"#,
                "--misfire",
                "run_all",
                "--misfire-grace",
                "120",
                "--overlap",
                "queue",
                "--orphan",
                "fail",
            ],
            json!({"schedule": {"every": "1h", "jitter": "5m"}, "misfire_policy": "run_all",
                   "misfire_grace_seconds": 120, "overlap_policy": "queue", "orphan_policy": "fail"}),
        ),
    ]
}

#[tokio::test]
async fn a_job_is_added_as_its_flags_say() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let payload = console.folder.path("payload.json");
        std::fs::write(&payload, r#"{"from": "file"}"#).unwrap();
        let file = format!("@{}", payload.display());
        for (name, flags, expected) in jobs_by_flags(&file) {
            let arguments = [&["job", "add", "acme", name, "--type", "noop"], &flags[..]].concat();
            console.run_with_input(&arguments, r#"{"from": "input"}"#).succeeded();
            let shown = job(&console, name);
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(&shown[field], value, "{backend:?} {name} {field}");
            }
        }
        let listed = console.run(&["job", "list", "acme", "-o", "jsonl"]).succeeded();
        let names: Vec<Value> = listed
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone())
            .collect();
        assert_eq!(
            names,
            ["at", "cron", "every", "fortnightly", "json", "rule", "several", "text", "workdays"]
        );
    }
}

#[tokio::test]
async fn an_error_in_a_job_names_the_field() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let add = ["job", "add", "acme", "a", "--type", "noop"];
        console.run(&[&add[..], &["--every", "1h"]].concat()).succeeded();
        let long = format!("\"{}\"", "x".repeat(65_536));
        for (flags, code, says) in [
            (&["--every", "1h"][..], 1, "has a job `a` already"),
            (&[], 2, "say when the job runs"),
            (&["--every", "soon"], 2, "every"),
            (&["--cron", "61 * * * *"], 2, "cron"),
            (
                &["--cron", "0 9 * * *", "--except", "Christmas"],
                2,
                "except: `Christmas` isn't a time",
            ),
            (
                &["--cron", "0 9 * * *", "--except", "01-01/12-31"],
                2,
                "except: leaves no occurrence",
            ),
            (&["--cron", "0 2 * * *", "--timezone", "Europe/Lodnon"], 2, "Europe/London"),
            (&["--every", "1h", "--cron", "0 2 * * *"], 2, "cannot be used with"),
            (&["--every", "1h", "--payload", "{"], 2, "--payload"),
            (&["--every", "1h", "--payload", &long], 2, "65536"),
            (&["--every", "1h", "--timeout", "0s"], 2, "--timeout"),
            (&["--every", "1h", "--max-attempts", "101"], 2, "--max-attempts"),
            (&["--every", "1h", "--overlap", "maybe"], 2, "skip, queue, allow"),
            (&["--schedule", r#"{"evry": "1h"}"#], 2, "every"),
        ] {
            console.run(&[&add[..], flags].concat()).ended(code).says(&[says]);
        }
        let never = ["job", "add", "acme", "never", "--type", "noop", "--cron", "0 9 * * *"];
        let always = ["--except", "2026-01-01/2100-12-31"];
        console.run(&[&never[..], &always].concat()).ended(2).says(&["has no time after"]);
        // Errors that only the tables detect have the text of the constraint.
        let queue = ["job", "edit", "acme", "a", "--queue", "No Such"];
        console.run(&queue).ended(1).says(&["queue is 1 to 64 of a-z"]);
        for verb in ["show", "pause", "next", "run"] {
            console.run(&["job", verb, "acme", "none"]).ended(3).says(&["job list acme"]);
            console.run(&["job", verb, "nobody", "a"]).ended(3).says(&["tenant list"]);
        }
        console.run(&["job", "delete", "acme", "none", "-y"]).ended(3);
        console.run(&["job", "edit", "acme", "none", "--every", "1h"]).ended(3);
        console.run(&["job", "edit", "acme", "a"]).ended(2).says(&["nothing to change"]);
    }
}

#[tokio::test]
async fn every_edit_counts_once_and_only_a_new_schedule_is_armed_again() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let store = console.store("acme").await;
        let now = store.now().await.unwrap();
        let armed = store.find_job("a").await.unwrap().unwrap();
        let arm = shared::store::Arm { job: armed.id, version: 1, next_run_at: now.time() };
        store.arm(&[arm], now).await.unwrap();
        for (flags, version, is_armed) in [
            (&["edit", "acme", "a", "--timeout", "1m"][..], 2, true),
            (&["edit", "acme", "a", "--payload", "[1]", "--if-version", "2"], 3, true),
            (&["edit", "acme", "a", "--every", "2h", "--timeout", "default"], 4, false),
            (&["pause", "acme", "a"], 5, false),
            (&["pause", "acme", "a"], 5, false),
            (&["resume", "acme", "a"], 6, false),
        ] {
            console.run(&[&["job"], flags].concat()).succeeded();
            let job = job(&console, "a");
            let state = (job["version"].as_i64(), job["next_run_at"].is_string());
            assert_eq!(state, (Some(version), is_armed), "{backend:?} {flags:?}");
        }
        let stale = ["job", "edit", "acme", "a", "--timeout", "2m", "--if-version", "3"];
        console.run(&stale).ended(1).says(&["--if-version", "version 6"]);
        let job = job(&console, "a");
        assert_eq!((&job["timeout_seconds"], &job["payload"]), (&Value::Null, &json!([1])));
    }
}

#[tokio::test]
async fn an_edit_of_a_schedule_keeps_what_it_does_not_name() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let add = ["job", "add", "acme", "a", "--type", "noop", "--schedule"];
        let schedule = json!({"cron": "0 9 * * *", "timezone": "Europe/London", "fold": "both",
                              "jitter": "5m", "end": "2090-01-01T00:00:00Z"});
        let schedule = schedule.to_string();
        console.run(&[&add[..], &[schedule.as_str()]].concat()).succeeded();
        let edit = ["job", "edit", "acme", "a"];
        for (flags, says, expected) in [
            (
                &["--cron", "30 9 * * *"][..],
                &["before: at 09:00", "after:  at 09:30", "London time", "; next ", "kept:"][..],
                json!({"cron": "30 9 * * *", "timezone": "Europe/London", "fold": "both",
                       "jitter": "5m", "end": "2090-01-01T00:00:00Z"}),
            ),
            (
                &["--timezone", "Asia/Tokyo"],
                &["before: at 09:30 every day, London", "after:  at 09:30 every day, Tokyo"],
                json!({"cron": "30 9 * * *", "timezone": "Asia/Tokyo", "fold": "both",
                       "jitter": "5m", "end": "2090-01-01T00:00:00Z"}),
            ),
            (
                &["--schedule", r#"{"jitter": null, "fold": "first"}"#],
                &["kept: end"],
                json!({"cron": "30 9 * * *", "timezone": "Asia/Tokyo", "fold": "first",
                       "end": "2090-01-01T00:00:00Z"}),
            ),
            (
                &["--every", "1h"],
                &["dropped: fold \"first\", timezone \"Asia/Tokyo\"", "kept: end"],
                json!({"every": "1h", "end": "2090-01-01T00:00:00Z"}),
            ),
        ] {
            let edited = console.run(&[&edit[..], flags].concat()).succeeded();
            edited.says(says);
            assert_eq!(job(&console, "a")["schedule"], expected, "{backend:?} {flags:?}");
        }
        console
            .run(&[&edit[..], &["--timezone", "Asia/Tokyo"]].concat())
            .ended(2)
            .says(&["timezone", "can't be used with `every` of `1h`"]);
        let dry = [&edit[..], &["--every", "2h", "--dry-run", "-o", "json"]].concat();
        let dry = console.run(&dry).succeeded().json();
        for side in ["before", "after"] {
            let means = &dry[side]["schedule_means"];
            assert!(means["words"].is_string() && means["next"].is_string(), "{dry:#}");
        }
        let made = [&edit[..], &["--every", "2h", "-o", "json"]].concat();
        let made = console.run(&made).succeeded().json();
        assert_eq!(made["schedule"]["end"], json!("2090-01-01T00:00:00Z"), "{made:#}");
        assert!(made["schedule_change"]["before"]["next"].is_string(), "{made:#}");
        console.run(&[&edit[..], &["--schedule", r#"{"jitter": "30m"}"#]].concat()).succeeded();
        console
            .run(&[&edit[..], &["--every", "10m"]].concat())
            .ended(2)
            .says(&["jitter", r#"`{"jitter": null}` removes it"#]);
    }
}

#[tokio::test]
async fn a_quarantined_job_shows_its_reason_until_its_schedule_is_edited() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let store = console.store("acme").await;
        let job = store.find_job("a").await.unwrap().unwrap();
        assert!(
            store
                .quarantine(job.id, job.version, "cron: no such \u{1b}[2Jday")
                .await
                .unwrap()
                .is_applied()
        );
        let list = console.run(&["job", "list", "acme"]).succeeded();
        assert!(list.stdout.contains("quarantined") && list.stdout.contains("cron: no such"));
        assert!(!list.stdout.contains(['\u{1b}', '\t']), "{list:#?}");
        console.run(&["job", "edit", "acme", "a", "--every", "2h"]).succeeded();
        let list = console.run(&["job", "list", "acme"]).succeeded();
        assert!(!list.stdout.contains("quarantined"), "{list:#?}");
    }
}

#[tokio::test]
async fn a_job_is_explained_by_what_keeps_it_from_running() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let explained = |level: &str| -> Vec<String> {
            let explain = ["job", "explain", "acme", "a", "-o", "json"];
            let findings = console.run(&explain).succeeded().json();
            let findings = findings.as_array().unwrap().iter();
            findings
                .filter(|finding| finding["level"] == level)
                .map(|finding| finding["finding"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(explained("problem"), ["none is alive"]);
        console.run(&["job", "pause", "acme", "a"]).succeeded();
        console.run(&["tenant", "suspend", "acme"]).succeeded();
        let problems = explained("problem").join("\n");
        assert!(problems.contains("suspended") && problems.contains("not enabled"), "{problems}");
        let run = console.run(&["job", "run", "acme", "a", "-o", "json"]).succeeded();
        let run = run.says(&["acme is suspended"]).json();
        assert!(explained("ok").iter().any(|finding| finding.contains("waits until")));
        console.run(&["execution", "cancel", "acme", run["id"].as_str().unwrap()]).succeeded();
        let cancelled = explained("warning").join("\n");
        assert!(cancelled.contains("cancelled on request"), "{cancelled}");
    }
}
