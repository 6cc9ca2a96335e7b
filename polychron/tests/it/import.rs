//! `polychron schedule import`.

use serde_json::{Value, json};

use crate::console::{BOTH, Console};

const CRONTAB: &str = "CRON_TZ=Europe/London\n# Nightly report\n0 2 * * 1-5 /opt/report --all\n\
                       @reboot /opt/warm-up\n*/10 * * * * cd /srv && ./poll\n";

fn outcomes(answer: &Value) -> Vec<&str> {
    answer.as_array().unwrap().iter().map(|line| line["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn without_apply_nothing_is_changed_and_no_database_is_needed() {
    let console = Console::bare(BOTH[0]).await;
    let import = ["schedule", "import", "crontab", "-", "-o", "json"];
    let answer = console.run_with_input(&import, CRONTAB).ended(1);
    let answer = answer.says(&["1 of 3 entries were refused", "nothing was changed", "`command`"]);
    assert_eq!(outcomes(&answer.json()), ["would_add", "refused", "would_add"]);
    let first = &answer.json()[0];
    assert_eq!(first["job"]["name"], "nightly-report");
    assert_eq!(
        first["job"]["schedule"],
        json!({"cron": "0 2 * * 1-5", "timezone": "Europe/London"})
    );
    assert_eq!(first["job"]["payload"], json!({"argv": ["/opt/report", "--all"]}));
    let table = console.run_with_input(&import[..4], CRONTAB).ended(1).stdout;
    for shown in
        ["line 4", "@reboot /opt/warm-up", "has no meaning here", "it goes through /bin/sh"]
    {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    let lines =
        console.run_with_input(&[&import[..5], &["jsonl"]].concat(), CRONTAB).ended(1).stdout;
    assert_eq!(lines.lines().count(), 3);
}

#[tokio::test]
async fn apply_adds_the_jobs_and_a_second_run_keeps_them() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let file = console.folder.path("crontab");
        std::fs::write(&file, CRONTAB).unwrap();
        let import = |more: &[&str]| {
            let import = ["schedule", "import", "crontab", file.to_str().unwrap(), "-o", "json"];
            console.run(&[&import[..], &["--tenant", "acme"], more].concat()).ended(1).json()
        };
        let names = || -> Vec<(Value, Value)> {
            let list = console.run(&["job", "list", "acme", "-o", "json"]).succeeded().json();
            let jobs = list.as_array().unwrap().iter();
            jobs.map(|job| (job["name"].clone(), job["version"].clone())).collect()
        };
        assert_eq!(outcomes(&import(&["-n"])), ["would_add", "refused", "would_add"]);
        assert!(names().is_empty());
        assert_eq!(outcomes(&import(&["--apply"])), ["added", "refused", "added"]);
        let made = [(json!("nightly-report"), json!(1)), (json!("poll"), json!(1))];
        assert_eq!(names(), made);
        assert_eq!(outcomes(&import(&["--apply"])), ["exists", "refused", "exists"]);
        assert_eq!(
            outcomes(&import(&["--replace"])),
            ["would_replace", "refused", "would_replace"]
        );
        assert_eq!(names(), made);
        console.run(&["job", "pause", "acme", "poll"]).succeeded();
        let edit =
            ["job", "edit", "acme", "nightly-report", "--every", "1h", "--max-attempts", "5"];
        console.run(&edit).succeeded();
        assert_eq!(
            outcomes(&import(&["--apply", "--replace"])),
            ["replaced", "refused", "replaced"]
        );
        let show =
            |name| console.run(&["job", "show", "acme", name, "-o", "json"]).succeeded().json();
        let report = show("nightly-report");
        assert_eq!(report["schedule"]["cron"], "0 2 * * 1-5");
        assert_eq!(
            (&report["max_attempts"], &show("poll")["is_enabled"]),
            (&json!(5), &json!(false))
        );
    }
}

#[tokio::test]
async fn a_job_that_the_table_refuses_does_not_fail_the_others() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let list = json!([
            {"id": "a", "func": "f", "trigger": "interval[1:00:00]"},
            {"id": "b", "func": "f", "trigger": "interval", "hours": 1, "kwargs": {"text": "\u{0}"}},
            {"id": "c", "func": "f", "trigger": "cron", "day": "1,15", "day_of_week": "mon"},
            {"id": "d", "func": "f", "trigger": "date", "run_date": "2096-01-01 09:00:00 UTC"},
        ]);
        let import =
            ["schedule", "import", "apscheduler", "-", "--tenant", "acme", "--apply", "-o", "json"];
        let queue = console
            .run_with_input(&[&import[..], &["--queue", "No Such"]].concat(), &list.to_string());
        let answer = queue.ended(1).json();
        assert_eq!(outcomes(&answer), ["failed", "failed", "refused", "failed"]);
        assert!(answer[0]["reason"].as_str().unwrap().contains("queue is 1 to 64"), "{answer}");
        let answer = console.run_with_input(&import, &list.to_string()).ended(1).json();
        let second = if backend == BOTH[0] { "added" } else { "failed" };
        assert_eq!(outcomes(&answer), ["added", second, "refused", "added"], "{answer}");
        let disabled = [&import[..], &["--disabled", "--queue", "slow"]].concat();
        let more = json!([{"id": "e", "func": "f", "trigger": "interval[1:00:00]"}]).to_string();
        let made = &console.run_with_input(&disabled, &more).succeeded().json()[0];
        assert_eq!(
            (&made["job"]["is_enabled"], &made["job"]["queue"]),
            (&json!(false), &json!("slow"))
        );
    }
}

#[tokio::test]
async fn invalid_imports_are_refused() {
    let console = Console::with_tenant(BOTH[0]).await;
    for (arguments, code, says) in [
        (&["crontab", "-", "--apply"][..], 2, "--tenant"),
        (&["crontab", "-", "-n", "--apply", "--tenant", "acme"], 2, "--apply"),
        (&["crontab", "/nowhere/at/all"], 2, "cannot be read"),
        (&["crontab", "-", "--tenant", "nobody"], 3, "tenant list"),
        (&["apscheduler", "-"], 0, "nothing was changed"),
        (&["crontab"], 2, "FILE"),
    ] {
        console.run(&[&["schedule", "import"], arguments].concat()).ended(code).says(&[says]);
    }
    let long = "#".repeat(1024 * 1024 + 1);
    let import = ["schedule", "import", "crontab", "-"];
    console.run_with_input(&import, &long).ended(2).says(&["more than 1048576 bytes"]);
}
