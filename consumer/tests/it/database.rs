//! Handlers that use the tenant's database, and what they leave on its server.

use polychron_consumer::testing::FakeContext;
use polychron_consumer::{Context, HandlerError, sqlx};
use serde_json::{Value, json};
use shared::database_url::DatabaseUrl;
use shared::outcome::Outcome;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use testkit::{eventually, execute, postgres_database};
use tokio_util::sync::CancellationToken;

/// How many sessions of handlers this database has.
pub(crate) async fn sessions(url: &DatabaseUrl) -> i64 {
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    let query = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE 'polychron %'";
    sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
}

/// How many rows the table `t` has.
pub(crate) async fn count(url: &DatabaseUrl) -> i64 {
    let query = sqlx::query_scalar("SELECT count(*) FROM t");
    if url.is_sqlite() {
        let mut connection = SqliteConnection::connect(url.expose()).await.unwrap();
        return query.fetch_one(&mut connection).await.unwrap();
    }
    let query = sqlx::query_scalar("SELECT count(*) FROM t");
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    query.fetch_one(&mut connection).await.unwrap()
}

async fn insert(n: i32, context: Context) -> Result<u64, HandlerError> {
    let pool = context.postgres()?;
    let done = sqlx::query("INSERT INTO t VALUES ($1)").bind(n).execute(&pool).await?;
    Ok(done.rows_affected())
}

/// Leaves a transaction open and a statement running, and ignores requests to stop.
async fn hog(_: Value, context: Context) -> Result<(), HandlerError> {
    let pool = context.postgres()?;
    let mut transaction = pool.begin().await?;
    transaction.execute("INSERT INTO t VALUES (1)").await?;
    pool.execute("SELECT pg_sleep(600)").await?;
    Ok(())
}

/// Returns while a task that it spawned still uses a session.
async fn leak(_: Value, context: Context) -> Result<(), HandlerError> {
    let mut connection = context.postgres()?.acquire().await?;
    tokio::spawn(async move { connection.execute("SELECT pg_sleep(600)").await.map(|_| ()) });
    Ok(())
}

#[tokio::test]
async fn a_handler_has_its_tenants_database_while_it_runs() {
    let url = postgres_database().await;
    execute(&url, "CREATE TABLE t (n integer PRIMARY KEY)").await;
    let ran = FakeContext::new().database(url.clone()).run(insert, json!(7)).await;
    assert_eq!(ran.result(), 1);
    assert_eq!((count(&url).await, sessions(&url).await), (1, 0));
    let ran = FakeContext::new().run(insert, json!(7)).await;
    assert_eq!(ran.failure().message, "the tenant's database is SQLite, not PostgreSQL");
}

#[tokio::test]
async fn sessions_that_a_handler_leaves_are_closed() {
    let url = postgres_database().await;
    execute(&url, "CREATE TABLE t (n integer PRIMARY KEY)").await;
    let cancel = CancellationToken::new();
    let context = FakeContext::new().database(url.clone()).cancel_by(cancel.clone());
    let running = tokio::spawn(context.run(hog, Value::Null));
    eventually("both sessions", || async { (sessions(&url).await == 2).then_some(()) }).await;
    cancel.cancel();
    assert_eq!(running.await.unwrap().outcome, Outcome::Cancelled);
    assert_eq!((count(&url).await, sessions(&url).await), (0, 0));

    let ran = FakeContext::new().database(url.clone()).run(leak, Value::Null).await;
    assert_eq!(ran.outcome, Outcome::Success(Value::Null));
    assert_eq!(sessions(&url).await, 0);
}
