//! The product's own tables, beside Polychron's in each tenant's database, and its jobs.

use polychron_consumer::sqlx::{self, Connection, Executor, SqliteConnection};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS invoice (key TEXT PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS order_ (number INTEGER PRIMARY KEY)";

const JOBS: &str = r#"
    INSERT INTO polychron_job (name, job_type, schedule, payload) VALUES
        ('invoice Ann', 'send_invoice', '{"every": "3s"}', '{"customer": "Ann", "cents": 1999}'),
        ('invoice Bob', 'send_invoice', '{"every": "5s"}', '{"customer": "Bob", "cents": 0}'),
        ('import',      'import_orders', '{"every": "4s"}', '{"orders": 20}'),
        ('report',      'yearly_report', '{"cron": "0 0 1 1 *", "timezone": "Europe/London"}', '{"year": 2026}'),
        ('tidy up',     'sql', '{"every": "6s"}', '{"statements": ["DELETE FROM order_ WHERE number < 10"]}')
    ON CONFLICT (name) DO NOTHING"#;

/// Creates a tenant's tables if they are missing.
///
/// # Errors
/// The database's error.
pub async fn make_tables(url: &str) -> sqlx::Result<()> {
    let mut connection = SqliteConnection::connect(url).await?;
    connection.execute(TABLES).await?;
    connection.close().await
}

/// Adds a tenant's jobs by plain SQL. The engine notices them by itself.
///
/// # Errors
/// The database's error.
pub async fn add_jobs(url: &str) -> sqlx::Result<()> {
    let mut connection = SqliteConnection::connect(url).await?;
    connection.execute(JOBS).await?;
    connection.close().await
}
