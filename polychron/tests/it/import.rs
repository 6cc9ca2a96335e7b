//! `polychron schedule import`.

use serde_json::{Value, json};

use crate::console::{BOTH, Console};

const CRONTAB: &str = "CRON_TZ=Europe/London\n# Nightly report\n0 2 * * 1-5 /opt/report --all\n\
                       @reboot /opt/warm-up\n*/10 * * * * cd /srv && ./poll\n";

fn outcomes(answer: &Value) -> Vec<&str> {
    let entries = answer["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn without_apply_nothing_is_changed_and_no_database_is_needed() {
    let console = Console::bare(BOTH[0]).await;
    let import = ["schedule", "import", "crontab", "-", "-o", "json"];
    let answer = console.run_with_input(&import, CRONTAB).ended(1);
    let answer = answer.says(&[
        "3 entries: 2 carried over, 0 existing, 0 differing, 1 left",
        "nothing was changed",
    ]);
    assert_eq!(outcomes(&answer.json()), ["would_add", "refused", "would_add"]);
    let report = answer.json();
    assert_eq!(report["counts"], json!({"carried": 2, "existing": 0, "differing": 0, "left": 1}));
    assert!(report["remarks"][0].as_str().unwrap().contains("`command`"), "{report}");
    let first = &report["entries"][0];
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
        assert_eq!(outcomes(&import(&["--apply", "--replace"])), ["exists", "refused", "exists"]);
        assert_eq!(names(), made);
        console.run(&["job", "pause", "acme", "poll"]).succeeded();
        let edit =
            ["job", "edit", "acme", "nightly-report", "--every", "1h", "--max-attempts", "5"];
        console.run(&edit).succeeded();
        let kept = import(&["--apply"]);
        assert_eq!(outcomes(&kept), ["differs", "refused", "exists"]);
        assert_eq!(kept["entries"][0]["differences"], json!(["schedule"]));
        assert_eq!(outcomes(&import(&["--replace"])), ["would_replace", "refused", "exists"]);
        assert_eq!(outcomes(&import(&["--apply", "--replace"])), ["replaced", "refused", "exists"]);
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
            {"id": "c", "func": "f", "trigger": "cron", "week": "*/2", "day_of_week": "mon"},
            {"id": "d", "func": "f", "trigger": "date", "run_date": "2096-01-01 09:00:00 UTC"},
        ]);
        let import =
            ["schedule", "import", "apscheduler", "-", "--tenant", "acme", "--apply", "-o", "json"];
        let queue = console
            .run_with_input(&[&import[..], &["--queue", "No Such"]].concat(), &list.to_string());
        let answer = queue.ended(1).json();
        assert_eq!(outcomes(&answer), ["failed", "failed", "refused", "failed"]);
        assert!(
            answer["entries"][0]["reason"].as_str().unwrap().contains("queue is 1 to 64"),
            "{answer}"
        );
        let answer = console.run_with_input(&import, &list.to_string()).ended(1).json();
        let second = if backend == BOTH[0] { "added" } else { "failed" };
        assert_eq!(outcomes(&answer), ["added", second, "refused", "added"], "{answer}");
        let disabled = [&import[..], &["--disabled", "--queue", "slow"]].concat();
        let more = json!([{"id": "e", "func": "g", "trigger": "interval[1:00:00]"}]).to_string();
        let made = &console.run_with_input(&disabled, &more).succeeded().json()["entries"][0];
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
        (&["crontab", "-", "--system", "--user"], 2, "--user"),
        (&["crontab", "-", "--tenant", "acme", "--replace", "--beside"], 2, "--beside"),
    ] {
        console.run(&[&["schedule", "import"], arguments].concat()).ended(code).says(&[says]);
    }
    let long = "#".repeat(1024 * 1024 + 1);
    let import = ["schedule", "import", "crontab", "-"];
    console.run_with_input(&import, &long).ended(2).says(&["more than 1048576 bytes"]);
}

/// Imports a crontab and applies it.
fn import_lines(console: &Console, lines: &str, more: &[&str]) -> Value {
    let import =
        ["schedule", "import", "crontab", "-", "--tenant", "acme", "--apply", "-o", "json"];
    let answer = console.run_with_input(&[&import[..], more].concat(), lines);
    serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{}", answer.stderr))
}

/// The names and schedules of the jobs.
fn jobs(console: &Console) -> Vec<(String, String)> {
    let list = console.run(&["job", "list", "acme", "-o", "json"]).succeeded().json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let jobs = list.as_array().unwrap().iter();
    jobs.map(|job| (text(&job["name"]), text(&job["schedule"]["cron"]))).collect()
}

#[tokio::test]
async fn an_entry_is_found_again_by_what_it_does() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let three =
            "0 1 * * * php /srv/a.php\n0 2 * * * php /srv/b.php\n0 3 * * * php /srv/b.php\n";
        assert_eq!(outcomes(&import_lines(&console, three, &[])), ["added"; 3]);
        let names = [("a", "0 1 * * *"), ("b", "0 2 * * *"), ("b-2", "0 3 * * *")];
        let named = |names: &[(&str, &str)]| -> Vec<(String, String)> {
            names.iter().map(|(name, cron)| ((*name).to_owned(), (*cron).to_owned())).collect()
        };
        assert_eq!(jobs(&console), named(&names));
        // An inserted line is new, and the others are still found, in any order.
        let four = "0 3 * * * php /srv/b.php\n0 0 * * * php /srv/b.php\n0 2 * * * php /srv/b.php\n0 1 * * * php /srv/a.php\n";
        let answer = import_lines(&console, four, &[]);
        assert_eq!(outcomes(&answer), ["exists", "added", "exists", "exists"]);
        assert_eq!(answer["entries"][1]["job"]["name"], "b-2-2");
        assert_eq!(outcomes(&import_lines(&console, four, &[])), ["exists"; 4]);
        // Equal lines are one job.
        let twice = format!("{four}0 1 * * * php /srv/a.php\n");
        assert_eq!(outcomes(&import_lines(&console, &twice, &[]))[4], "repeated");
        // An edited time, an edited argument, and a new name.
        let edited = four.replace("0 1 * * *", "30 1 * * *");
        let answer = import_lines(&console, &edited, &[]);
        assert_eq!(outcomes(&answer), ["exists", "exists", "exists", "differs"]);
        assert!(
            answer["entries"][3]["reason"]
                .as_str()
                .unwrap()
                .contains("`0 1 * * * UTC`, and `30 1 * * * UTC`")
        );
        let edited = four.replace("a.php", "a.php --all");
        let answer = import_lines(&console, &edited, &[]);
        assert_eq!(outcomes(&answer), ["exists", "exists", "exists", "differs"]);
        assert_eq!(answer["entries"][3]["differences"], json!(["payload"]));
        let renamed = four.replace("0 1 * * *", "# Nightly\n0 1 * * *");
        let answer = import_lines(&console, &renamed, &[]);
        assert_eq!(outcomes(&answer), ["exists"; 4]);
        assert_eq!(answer["entries"][3]["existing"], "a");
        assert_eq!(jobs(&console).len(), 4);
        // A removed line leaves its job, which is named.
        let removed = "0 1 * * * php /srv/a.php\n";
        let answer = import_lines(&console, removed, &[]);
        assert_eq!(answer["other_jobs"], json!({"count": 3, "names": ["b", "b-2", "b-2-2"]}));
        // Both are wanted.
        let answer =
            import_lines(&console, &four.replace("0 1 * * *", "30 1 * * *"), &["--beside"]);
        assert_eq!(outcomes(&answer)[3], "added");
        assert_eq!(answer["entries"][3]["job"]["name"], "a-2");
        let answer =
            import_lines(&console, &four.replace("0 1 * * *", "45 1 * * *"), &["--replace"]);
        assert_eq!(outcomes(&answer)[3], "replaced");
        assert_eq!(jobs(&console).len(), 5);
    }
}

#[tokio::test]
async fn a_job_of_another_kind_keeps_its_name() {
    let console = Console::with_tenant(BOTH[0]).await;
    let add = ["job", "add", "acme", "poll", "--type", "http", "--every", "1h", "--payload"];
    console.run(&[&add[..], &[r#"{"url": "https://example.org/"}"#]].concat()).succeeded();
    let answer = import_lines(&console, "0 1 * * * /opt/poll\n", &[]);
    assert_eq!(outcomes(&answer), ["differs"]);
    assert_eq!(answer["entries"][0]["differences"], json!(["job_type", "schedule"]));
    assert_eq!(
        outcomes(&import_lines(&console, "0 1 * * * /opt/poll\n", &["--beside"])),
        ["added"]
    );
    assert_eq!(outcomes(&import_lines(&console, "0 1 * * * /opt/poll\n", &[])), ["exists"]);
}
