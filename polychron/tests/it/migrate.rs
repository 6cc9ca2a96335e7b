//! `polychron migrate`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use shared::database_url::DatabaseUrl;
use shared::store::Schema;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use crate::console::{BOTH, Console};

#[tokio::test]
async fn an_empty_control_database_is_created_and_migrating_again_changes_nothing() {
    for backend in BOTH {
        let console = Console::bare(backend).await;
        let before = console.run(&["tenant", "list"]);
        assert_ne!(before.code, 0, "{before:#?}");
        let latest = Schema::Control.version();
        for (from, to) in [(0, latest), (latest, latest)] {
            let reports = console.run(&["migrate", "-o", "json"]).succeeded().json();
            assert_eq!((&reports[0]["from"], &reports[0]["to"]), (&from.into(), &to.into()));
        }
        let tenants = console.run(&["tenant", "list", "-o", "json"]).succeeded().json();
        assert_eq!(tenants, serde_json::json!([]));
    }
}

#[tokio::test]
async fn one_broken_tenant_is_reported_and_the_others_are_migrated() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        for slug in ["a", "broken", "z"] {
            let url = console.database(slug).await;
            console.add_tenant(slug, &url, &[]).succeeded();
        }
        console.run(&["tenant", "suspend", "z"]).succeeded();
        point_elsewhere(&console.control, "broken", "postgres://us3r:s3cret@127.0.0.1:1/x").await;
        let answer = console.run(&["migrate", "-o", "json"]).ended(4).keeps(&["s3cret", "us3r"]);
        let reports = answer.json();
        let outcomes: Vec<(Option<&str>, bool)> = reports
            .as_array()
            .unwrap()
            .iter()
            .map(|report| (report["tenant"].as_str(), report["problem"].is_null()))
            .collect();
        let expected =
            [(None, true), (Some("a"), true), (Some("broken"), false), (Some("z"), true)];
        assert_eq!(outcomes, expected);
        answer.says(&["1 of 3 tenants failed"]);
    }
}

#[tokio::test]
async fn a_control_database_out_of_reach_is_exit_code_5_without_its_password() {
    let mut console = Console::bare(BOTH[0]).await;
    for url in ["postgres://us3r:s3cret@127.0.0.1:1/x", "sqlite:///no/such/folder/x.db"] {
        console.control = url.parse().unwrap();
        for verb in [&["migrate"][..], &["tenant", "list"], &["check"], &["job", "list", "x"]] {
            console.run(verb).ended(5).keeps(&["s3cret", "us3r"]);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_never_shows() {
    let console = Console::new(BOTH[1]).await;
    let (_, place) = console.control.expose().rsplit_once('@').unwrap();
    let url: DatabaseUrl = format!("postgres://nobody:s3cret@{place}").parse().unwrap();
    console.add_tenant("acme", &url, &[]).ended(5).keeps(&["s3cret"]);
    let mut console = console;
    console.control = url;
    for verb in [&["migrate"][..], &["check"], &["tenant", "list"]] {
        console.run(verb).ended(5).keeps(&["s3cret"]);
    }
}

/// Before 0004, by which programs of a former version know their tables.
#[tokio::test]
async fn a_migration_waits_for_programs_that_it_would_break() {
    for backend in BOTH {
        let console = Console::bare(backend).await;
        testkit::migrate_to(&console.control, Schema::Control, 3).await;
        let mut control = console.control.clone();
        if control.is_sqlite() {
            control = format!("{}?mode=rw", control.expose()).parse().unwrap();
        }
        for (name, seen_at) in
            [("old", "2026-01-01T00:00:00+00:00"), ("live", "2126-01-01T00:00:00+00:00")]
        {
            testkit::execute(
                &control,
                &format!(
                    "INSERT INTO producer (name, host, pid, version, watched, poll_seconds, unreachable, started_at, seen_at)
                     VALUES ('{name}', '{name}.example', 7, '0', 0, 30, '[]', '{seen_at}', '{seen_at}')"
                ),
            )
            .await;
        }
        let mut waiting = console
            .command(&["migrate"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(
            said.contains("producer 7 on live.example") && !said.contains("old.example"),
            "{said}"
        );
        assert_eq!(
            console.run(&["migrate", "--dry-run", "-o", "json"]).succeeded().json()[0]["from"],
            3
        );
        testkit::execute(&control, "DELETE FROM producer WHERE name = 'live'").await;
        assert!(waiting.wait().unwrap().success());
        let reports = console.run(&["migrate", "-o", "json"]).succeeded().json();
        assert_eq!(reports[0]["from"], Schema::Control.version());
    }
}

#[tokio::test]
async fn a_migration_does_not_wait_where_programs_are_known_to_have_stopped() {
    let console = Console::bare(BOTH[0]).await;
    testkit::migrate_to(&console.control, Schema::Control, 3).await;
    let seen_at = "2126-01-01T00:00:00+00:00";
    testkit::execute(
        &console.control,
        &format!(
            "INSERT INTO worker (name, host, pid, version, queues, job_types, slots, running, started_at, seen_at)
             VALUES ('a', 'a', 7, '0', '[]', '[]', 5, 0, '{seen_at}', '{seen_at}')"
        ),
    )
    .await;
    let reports = console.run(&["migrate", "--stopped", "-o", "json"]).succeeded().json();
    assert_eq!(reports[0]["from"], 3);
}

/// Edits the control database by hand.
pub(crate) async fn point_elsewhere(control: &DatabaseUrl, slug: &str, url: &str) {
    let text = format!("UPDATE polychron_tenant SET database_url = '{url}' WHERE slug = '{slug}'");
    if control.is_sqlite() {
        let mut connection = SqliteConnection::connect(control.expose()).await.unwrap();
        connection.execute(AssertSqlSafe(text)).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(control.expose()).await.unwrap();
        connection.execute(AssertSqlSafe(text)).await.unwrap();
    }
}
