//! `--dry-run`: what would be changed is shown, and nothing is.

use shared::database_url::DatabaseUrl;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, query_scalar};

use crate::console::{BOTH, Console};

const TABLES: &[&str] = &[
    "polychron_tenant",
    "polychron_worker",
    "polychron_audit",
    "polychron_identity",
    "polychron_job",
    "polychron_job_execution",
];

#[tokio::test]
async fn every_command_that_changes_something_has_a_dry_run() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        let (url, free) = (console.database("acme").await, console.database("free").await);
        console.add_tenant("acme", &url, &[]).succeeded();
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        console.run(&["job", "add", "acme", "b", "--type", "noop", "--every", "1h"]).succeeded();
        console.run(&["job", "pause", "acme", "b"]).succeeded();
        let run = |job| console.run(&["job", "run", "acme", job, "-o", "json"]).succeeded().json();
        let (open, over) = (run("a")["id"].clone(), run("b")["id"].clone());
        let (open, over) = (open.as_str().unwrap(), over.as_str().unwrap());
        console.run(&["execution", "cancel", "acme", over]).succeeded();

        let before = [dump(&console.control).await, dump(&url).await, dump(&free).await];
        for (line, shown) in [
            (&["job", "add", "acme", "c", "--type", "noop", "--every", "1h"][..], "job.add"),
            (&["job", "edit", "acme", "a", "--payload", r#"{"n": 7}"#], "\"n\": 7"),
            (&["job", "pause", "acme", "a"], "\"is_enabled\": false"),
            (&["job", "resume", "acme", "b"], "\"is_enabled\": true"),
            (&["job", "run", "acme", "a"], "job.run"),
            (&["job", "run", "acme", "a", "--wait"], "job.run"),
            (&["job", "delete", "acme", "a"], "job.delete"),
            (&["job", "pause", "--all-tenants", "a"], "job.pause"),
            (&["job", "edit", "--all-tenants", "a", "--queue", "x"], "\"queue\": \"x\""),
            (&["job", "run", "--all-tenants", "a"], "job.run"),
            (&["execution", "cancel", "acme", open], "\"cancelled\""),
            (&["execution", "retry", "acme", over], "execution.retry"),
            (&["execution", "cancel", "--all-tenants", "--job", "a"], open),
            (&["execution", "retry", "acme", "--status", "cancelled", "--since", "1h"], over),
            (&["tenant", "edit", "acme", "--max-running", "7"], "\"max_running\": 7"),
            (&["tenant", "suspend", "acme"], "\"suspended\""),
            (&["tenant", "notify", "acme", "https://hooks.example/"], "hooks.example"),
            (&["tenant", "remove", "acme"], "tenant.remove"),
            (&["migrate"], "\"to\""),
        ] {
            let line = [line, &["--dry-run", "-o", "json"]].concat();
            let answer = console.run(&line).succeeded().says(&["--dry-run"]);
            assert!(answer.stdout.contains(shown), "{line:?}: {answer:#?}");
        }
        let add = console.add_tenant("free", &free, &["--dry-run", "-o", "json"]).succeeded();
        assert!(add.stdout.contains("tenant.add"), "{add:#?}");
        let after = [dump(&console.control).await, dump(&url).await, dump(&free).await];
        assert_eq!(before, after, "{backend:?}");
        assert_ne!(before[1], before[2]);
    }
}

#[tokio::test]
async fn a_dry_run_refuses_what_the_change_would() {
    let console = Console::with_tenant(BOTH[0]).await;
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    for (line, code) in [
        (&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"][..], 1),
        (&["job", "edit", "acme", "a", "--cron", "0 25 * * *"], 2),
        (&["job", "edit", "acme", "a", "--queue", "x", "--if-version", "9"], 1),
        (&["job", "pause", "acme", "none"], 3),
        (&["tenant", "suspend", "nobody"], 3),
        (&["up"], 2),
    ] {
        console.run(&[line, &["--dry-run"]].concat()).ended(code);
    }
}

#[tokio::test]
async fn a_migration_is_shown_before_anything_is_there() {
    for backend in BOTH {
        let console = Console::bare(backend).await;
        let plan = console.run(&["migrate", "--dry-run", "-o", "json"]).succeeded().json();
        assert_eq!(plan[0]["from"], 0);
        if let Some(file) = console.control.expose().strip_prefix("sqlite://") {
            assert!(!std::path::Path::new(file).exists());
        }
        console.run(&["migrate"]).succeeded();
        let plan = console.run(&["migrate", "--dry-run", "-o", "json"]).succeeded().json();
        assert_eq!(plan[0]["from"], plan[0]["to"]);
    }
}

/// Every row of every table of ours, as text.
async fn dump(url: &DatabaseUrl) -> Vec<String> {
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(format!(
            "{table}: {}",
            match url.is_sqlite() {
                true => dump_sqlite(url, table).await,
                false => dump_postgres(url, table).await,
            }
        ));
    }
    tables
}

async fn dump_postgres(url: &DatabaseUrl, table: &str) -> String {
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    let text =
        format!("SELECT coalesce(string_agg(t::text, ';' ORDER BY t::text), '') FROM {table} t");
    let rows = query_scalar(AssertSqlSafe(text)).fetch_one(&mut connection).await;
    rows.unwrap_or_else(|_| "none".to_owned())
}

async fn dump_sqlite(url: &DatabaseUrl, table: &str) -> String {
    let Ok(mut connection) = SqliteConnection::connect(url.expose()).await else {
        return "none".to_owned();
    };
    let columns = format!(
        "SELECT group_concat('quote(' || name || ')', ' || '','' || ') FROM pragma_table_info('{table}')"
    );
    let columns: Option<String> =
        query_scalar(AssertSqlSafe(columns)).fetch_one(&mut connection).await.unwrap();
    let Some(columns) = columns else { return "none".to_owned() };
    let text = format!("SELECT group_concat({columns}, ';') FROM {table}");
    let rows: Option<String> =
        query_scalar(AssertSqlSafe(text)).fetch_one(&mut connection).await.unwrap();
    rows.unwrap_or_default()
}
