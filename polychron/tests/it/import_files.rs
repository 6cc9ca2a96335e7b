//! Imports files as people write them. They follow files and applications of public repositories, rewritten
//! without their people and machines. `sdk/python/tests/test_exporter.py` exports the applications.

use std::path::Path;

use serde_json::{Value, json};

use crate::console::{BOTH, Backend, Console};

/// Files, the command that imports them, and how many entries are carried over, and how many are left.
const FILES: [(&str, &[&str], (u64, u64)); 17] = [
    ("01-system.crontab", &["crontab"], (4, 0)),
    ("02-nightly-dump.crontab", &["crontab"], (1, 0)),
    ("03-blog.crontab", &["crontab", "--timezone", "Europe/Vienna"], (3, 0)),
    ("04-monitor.crontab", &["crontab"], (2, 0)),
    ("05-laravel.crontab", &["crontab"], (3, 1)),
    ("06-office.crontab", &["crontab", "--cron", "debian"], (4, 0)),
    ("07-craft.crontab", &["crontab"], (1, 0)),
    ("08-container.crontab", &["crontab", "--cron", "busybox"], (3, 0)),
    ("09-player.crontab", &["crontab"], (2, 1)),
    ("10-scraper.crontab", &["crontab", "--cron", "cronie"], (4, 0)),
    ("newsroom.json", &["apscheduler"], (4, 0)),
    ("homes.json", &["apscheduler"], (5, 1)),
    ("market.json", &["apscheduler"], (5, 1)),
    ("archive.timer archive.service", &["systemd", "--timezone", "Europe/Vienna"], (1, 0)),
    ("cron-jobs.json", &["kubernetes"], (1, 1)),
    ("cron-jobs.json", &["kubernetes", "--type", "pod"], (2, 0)),
    ("beat.json", &["celery"], (2, 1)),
];

fn import(console: &Console, files: &str, source: &[&str]) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import");
    let [kind, options @ ..] = source else { panic!("{source:?}") };
    let paths: Vec<String> =
        files.split(' ').map(|file| folder.join(file).to_str().unwrap().to_owned()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let fixed = ["--tenant", "acme", "--apply", "-o", "json"];
    let import = [&["schedule", "import", kind], &paths[..], options, &fixed].concat();
    serde_json::from_str(&console.run(&import).stdout).unwrap()
}

fn jobs(console: &Console) -> Value {
    console.run(&["job", "list", "acme", "-o", "json"]).succeeded().json()
}

async fn import_twice(backend: Backend, file: &str, source: &[&str], (carried, left): (u64, u64)) {
    let console = Console::with_tenant(backend).await;
    let first = import(&console, file, source);
    let counts = json!({"carried": carried, "existing": 0, "differing": 0, "left": left});
    assert_eq!(first["counts"], counts, "{file}: {first:#}");
    let made = jobs(&console);
    assert_eq!(made.as_array().unwrap().len() as u64, carried);
    let second = import(&console, file, source);
    let counts = json!({"carried": 0, "existing": carried, "differing": 0, "left": left});
    assert_eq!(second["counts"], counts, "{file}: {second:#}");
    assert_eq!(second["other_jobs"]["count"], 0);
    assert_eq!(jobs(&console), made, "{file}");
    let entries = second["entries"].as_array().unwrap();
    assert!(
        entries.iter().all(|entry| entry["outcome"] == "exists" || entry["reason"].is_string())
    );
}

#[tokio::test]
async fn a_second_import_of_a_real_file_changes_nothing() {
    for (file, source, counts) in FILES {
        import_twice(BOTH[0], file, source, counts).await;
    }
}

#[tokio::test]
async fn jsonb_changes_no_job_in_the_eyes_of_an_import() {
    for (file, source, counts) in [FILES[9], FILES[11], FILES[12], FILES[15], FILES[16]] {
        import_twice(BOTH[1], file, source, counts).await;
    }
}

#[tokio::test]
async fn names_say_what_runs_and_no_secret() {
    let console = Console::with_tenant(BOTH[0]).await;
    for (file, names) in [
        (
            "05-laravel.crontab",
            &["artisan-orders-sync-token", "artisan-model-prune-days-30", "artisan-schedule-run"][..],
        ),
        ("10-scraper.crontab", &["renew-certificates-every-other-month", "mail"]),
        ("01-system.crontab", &["run-parts-report-cron-hourly", "run-parts-report-cron-monthly"]),
    ] {
        let report = import(&console, file, &["crontab"]);
        let made: Vec<&str> = report["entries"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["job"]["name"].as_str())
            .collect();
        assert!(names.iter().all(|name| made.contains(name)), "{made:?}");
        assert!(
            !made.iter().any(|name| name.contains("hunter2") || name.contains("abcdef")),
            "{made:?}"
        );
    }
}

#[tokio::test]
async fn the_exporter_is_printed() {
    let console = Console::bare(BOTH[0]).await;
    let printed = console.run(&["schedule", "exporter"]).succeeded().stdout;
    assert_eq!(printed, operations::import::EXPORTER);
}
