//! The job type `sql`.

use std::time::Duration;

use polychron_consumer::sqlx::{self, Connection as _, PgConnection};
use polychron_consumer::testing::{FakeContext, Ran};
use serde_json::{Value, json};
use shared::database_url::DatabaseUrl;
use shared::outcome::Outcome;
use testkit::{
    Folder, Lie, LyingServer, eventually, eventually_within, execute, postgres_database,
    try_execute,
};
use tokio_util::sync::CancellationToken;

use crate::database::{count, sessions};
use crate::known;

async fn sql(url: &DatabaseUrl, payload: Value) -> Ran {
    FakeContext::new().database(url.clone()).run_type(&known(&[]), "sql", payload).await
}

/// A PostgreSQL and an SQLite database, each with a table `t` of three rows.
async fn databases(folder: &Folder) -> [DatabaseUrl; 2] {
    let sqlite = folder.sqlite_database("tenant.db");
    std::fs::write(folder.path("tenant.db"), "").unwrap();
    let urls = [postgres_database().await, sqlite];
    for url in &urls {
        execute(url, "CREATE TABLE t (n integer PRIMARY KEY)").await;
        execute(url, "INSERT INTO t VALUES (1), (2), (3)").await;
    }
    urls
}

#[tokio::test]
async fn statements_run_in_the_tenants_database_all_or_none() {
    let folder = Folder::new();
    for url in databases(&folder).await {
        let ran = sql(
            &url,
            json!({"statements": ["INSERT INTO t VALUES (4)", "DELETE FROM t WHERE n < 3"]}),
        )
        .await;
        assert_eq!(ran.result(), &json!({"rows_affected": 3, "statements": [1, 2]}));
        assert_eq!(ran.progress.unwrap()["done"], 2);

        let ran =
            sql(&url, json!({"statements": ["DELETE FROM t", "INSERT INTO t VALUES (7), (7)"]}))
                .await;
        let failure = ran.failure();
        assert!(failure.message.starts_with("payload.statements[1]: "), "{failure:?}");
        assert!(!failure.retry, "{failure:?}");
        assert_eq!(count(&url).await, 2, "nothing was deleted");

        let ran =
            sql(&url, json!({"statements": ["DELETE FROM t", "SELEC"], "transaction": false}))
                .await;
        assert!(!ran.failure().retry, "{:?}", ran.failure());
        assert_eq!(count(&url).await, 0, "each was committed separately");
    }
}

#[tokio::test]
async fn a_value_too_large_ends_the_attempt_and_not_the_consumer() {
    let url = postgres_database().await;
    for (statement, excess) in [
        ("SELECT repeat('x', 500000000)", "DataRow of"),
        ("DO $$ BEGIN RAISE '%', repeat('x', 50000000); END $$", "ErrorResponse of"),
        ("DO $$ BEGIN RAISE NOTICE '%', repeat('x', 50000000); END $$", "NoticeResponse of"),
        ("SELECT repeat('x', 500000) FROM generate_series(1, 600)", "bytes of rows"),
    ] {
        let ran = sql(&url, json!({"statements": [statement]})).await;
        let failure = ran.failure();
        assert!(failure.message.contains(excess) && !failure.retry, "{failure:?}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim_end_matches("kB").trim().parse().unwrap();
    assert!(kilobytes < 300 << 10, "{kilobytes} KiB");
}

#[tokio::test]
async fn cancel_and_timeouts_end_the_statement_on_the_server() {
    let url = postgres_database().await;
    let sleep = json!({"statements": ["SET statement_timeout = 0; SELECT pg_sleep(600)"]});
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let context = FakeContext::new().database(url.clone()).cancel_by(cancel.clone());
        let sleep = sleep.clone();
        async move { context.run_type(&known(&[]), "sql", sleep).await }
    });
    eventually("the server is at it", || async { (sessions(&url).await == 1).then_some(()) }).await;
    cancel.cancel();
    assert_eq!(running.await.unwrap().outcome, Outcome::Cancelled);
    assert_eq!(sessions(&url).await, 0, "once the handler is gone, so is its session");

    let limit = Duration::from_millis(500);
    let context = FakeContext::new().database(url.clone()).timeout(limit);
    let ran = context.run_type(&known(&[]), "sql", sleep).await;
    // The server and the consumer stop at the same moment; either may be first.
    assert!(matches!(ran.outcome, Outcome::Timeout { .. }), "{:?}", ran.outcome);
    assert_eq!(sessions(&url).await, 0);

    let ran =
        sql(&url, json!({"statements": ["SELECT pg_sleep(600)"], "timeout_seconds": 1})).await;
    assert!(ran.failure().message.contains("statement timeout"), "{:?}", ran.failure());
    assert!(ran.failure().retry);
    assert_eq!(sessions(&url).await, 0);
}

/// How many sessions this database has besides the one that asks, under whatever name.
async fn all_sessions(url: &DatabaseUrl) -> i64 {
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    let query = "SELECT count(*) FROM pg_catalog.pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_catalog.pg_backend_pid()";
    sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_session_ends_at_the_deadline_whatever_it_sets() {
    let url = postgres_database().await;
    // The role's search path leads to these first. They would hide the session from an unqualified query.
    execute(
        &url,
        "CREATE SCHEMA lies;
         CREATE VIEW lies.pg_stat_activity AS SELECT * FROM pg_catalog.pg_stat_activity WHERE false;
         CREATE FUNCTION lies.pg_backend_pid() RETURNS integer LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION lies.pg_terminate_backend(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = lies, pg_catalog, public',
                                    current_database()); END $$",
    )
    .await;
    let hide = "SET application_name = 'psql'; SET statement_timeout = 0;
                SET idle_in_transaction_session_timeout = 0; SELECT pg_sleep(3601)";
    let limit = Duration::from_millis(500);
    for statements in [json!([hide]), json!(["BEGIN", hide])] {
        let payload = json!({"statements": statements, "transaction": false});
        let context = FakeContext::new().database(url.clone()).timeout(limit);
        let ran = context.run_type(&known(&[]), "sql", payload).await;
        assert!(matches!(ran.outcome, Outcome::Timeout { .. }), "{:?}", ran.outcome);
        // The server ends a session a moment after it was told to.
        let ended = || async { (all_sessions(&url).await == 0).then_some(()) };
        eventually_within(Duration::from_secs(10), "the session ends", ended).await;
    }
}

#[tokio::test]
async fn a_session_ends_once_the_database_answers_again() {
    let url = postgres_database().await;
    let server = LyingServer::before(&url).await;
    let unending = "SET statement_timeout = 0; SELECT pg_sleep(3601)";
    let payload = json!({"statements": [unending], "transaction": false});
    let context = FakeContext::new().database(server.url.clone()).timeout(Duration::from_secs(4));
    let silence = async {
        let asleep = || async {
            let query = "SELECT 1 / count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
                          AND datname = current_database()";
            try_execute(&url, query).await.ok()
        };
        eventually("the session runs", asleep).await;
        server.tell(Some(Lie::Silence));
    };
    let known = known(&[]);
    let (ran, ()) = tokio::join!(context.run_type(&known, "sql", payload), silence);
    assert!(matches!(ran.outcome, Outcome::Timeout { .. }), "{:?}", ran.outcome);
    assert_eq!(all_sessions(&url).await, 1, "it could not be ended");
    server.tell(None);
    let ended = || async { (all_sessions(&url).await == 0).then_some(()) };
    eventually_within(Duration::from_secs(40), "the session ends", ended).await;
}

#[tokio::test]
async fn sqlite_is_interrupted_and_its_lock_released() {
    let folder = Folder::new();
    let [_, url] = databases(&folder).await;
    let endless = "INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r WHERE n < 0";
    for timeout in [Some(1), None] {
        let payload = json!({"statements": [endless], "timeout_seconds": timeout});
        let limit = Duration::from_secs(2);
        let context = FakeContext::new().database(url.clone()).timeout(limit);
        let ran = context.run_type(&known(&[]), "sql", payload).await;
        match timeout {
            Some(_) => assert!(ran.failure().message.contains("longer than 1 s"), "{ran:?}"),
            None => assert_eq!(ran.outcome, Outcome::Timeout { limit }),
        }
        // The write lock is free again.
        execute(&url, "DELETE FROM t WHERE n = 1").await;
    }
}

#[tokio::test]
async fn an_unreachable_database_is_retried() {
    let url: DatabaseUrl = "postgres://nobody:s3cret-s3cret@127.0.0.1:1/x".parse().unwrap();
    let ran = sql(&url, json!({"statements": ["SELECT 1"]})).await;
    assert!(ran.failure().retry, "{:?}", ran.failure());
    assert!(!format!("{ran:?}").contains("s3cret"));
    for payload in
        [json!({}), json!({"statements": "SELECT 1"}), json!({"statements": [], "role": "x"})]
    {
        let ran = sql(&url, payload).await;
        assert!(ran.failure().message.starts_with("payload"), "{:?}", ran.failure());
    }
}

/// A database quotes words of a statement in its errors.
#[tokio::test]
async fn a_statement_that_is_a_secret_is_refused() {
    let folder = Folder::new();
    for url in databases(&folder).await {
        let secret = "hunter2 hunter2".to_owned();
        let context =
            FakeContext::new().database(url.clone()).secrets(std::slice::from_ref(&secret));
        let payload = json!({"statements": ["SELECT 1", secret]});
        let ran = context.run_type(&known(&[]), "sql", payload).await;
        let failure = ran.failure();
        assert!(
            failure.message.starts_with("payload.statements[1] contains a secret"),
            "{failure:?}"
        );
        assert!(!failure.retry && !format!("{ran:?}").contains("hunter2"), "{ran:?}");
    }
}
