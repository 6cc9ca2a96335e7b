//! The job type `sql`: runs statements in the tenant's own database.
//!
//! ```json
//! {"statements": ["DELETE FROM session WHERE expires_at < now()", "ANALYZE session"],
//!  "timeout_seconds": 60, "transaction": true}
//! ```
//!
//! They run in one transaction unless `transaction` is false. The result is how many rows each
//! statement has changed. On PostgreSQL they run with the role of the tenant's `database_url`, and a
//! cancel or the deadline aborts them on the server, because their session belongs to this execution
//! and ends with it. On SQLite they run in a child process that can open only the tenant's files
//! (`sandbox.rs`).

mod child;
mod rules;
mod sandbox;

use std::time::Duration;

use launcher::Launcher;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, raw_sql};

use crate::{Context, Handler, HandlerError};

pub(crate) use sandbox::ROLE;

/// The longest `timeout_seconds`.
const TIMEOUT_MAX: u64 = 30 * 86_400;

/// The payload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    statements: Vec<String>,
    /// How long each statement may take. Default: until the deadline.
    timeout_seconds: Option<u64>,
    /// Whether all statements run in one transaction.
    #[serde(default = "yes")]
    transaction: bool,
}

fn yes() -> bool {
    true
}

/// The result.
#[derive(Serialize)]
pub(super) struct Done {
    /// How many rows all statements changed together.
    rows_affected: u64,
    /// How many rows each statement changed.
    statements: Vec<u64>,
}

/// Runs SQL statements.
pub(super) struct Sql {
    launcher: Launcher,
}

impl Sql {
    /// For SQLite, it needs a launcher.
    pub(super) fn new(launcher: Launcher) -> Sql {
        Sql { launcher }
    }
}

impl Handler<Script> for Sql {
    type Output = Done;

    async fn run(&self, script: Script, context: Context) -> Result<Done, HandlerError> {
        // A database quotes parts of a statement in its errors, in which a secret would not be found.
        let is_secret = |text: &String| context.redactor.occurs_in(text);
        if let Some(at) = script.statements.iter().position(is_secret) {
            let why = format!("payload.statements[{at}] contains a secret; errors would quote it");
            return Err(HandlerError::new(why).final_());
        }
        let statements = if context.database.is_sqlite() {
            sandbox::run(&self.launcher, script, &context).await?
        } else {
            let work = async {
                let mut connection = context.database.postgres_for_script()?.acquire().await?;
                on_postgres(&script, &context, &mut connection).await
            };
            tokio::select! {
                done = work => done?,
                // The session is closed after this has returned.
                () = context.cancelled.cancelled() => return Err(HandlerError::new("stopped")),
            }
        };
        Ok(Done { rows_affected: statements.iter().sum(), statements })
    }
}

async fn on_postgres(
    script: &Script,
    context: &Context,
    connection: &mut PgConnection,
) -> Result<Vec<u64>, HandlerError> {
    if let Some(limit) = script.limit() {
        let limit = format!("SET statement_timeout = {}", limit.as_millis());
        connection.execute(AssertSqlSafe(limit)).await?;
    }
    if script.transaction {
        connection.execute("BEGIN").await?;
    }
    let mut affected = Vec::new();
    for (at, text) in script.statements.iter().enumerate() {
        let done = connection.execute(raw_sql(AssertSqlSafe(text.as_str()))).await;
        affected.push(done.map_err(|error| of(at, error))?.rows_affected());
        context.progress(at as u64 + 1, script.statements.len() as u64, "statements");
    }
    if script.transaction {
        connection.execute("COMMIT").await?;
    }
    Ok(affected)
}

impl Script {
    fn limit(&self) -> Option<Duration> {
        self.timeout_seconds.map(|seconds| Duration::from_secs(seconds.clamp(1, TIMEOUT_MAX)))
    }
}

/// The database's error message, and whether the statement may succeed when retried.
fn of(at: usize, error: sqlx::Error) -> HandlerError {
    let Some(database) = error.as_database_error() else {
        return match &error {
            // The server sent more than is taken from one statement, and would again.
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::FileTooLarge => {
                HandlerError::new(format!("payload.statements[{at}]: {io}")).final_()
            }
            _ => HandlerError::from(error),
        };
    };
    let code = database.code().unwrap_or_default().into_owned();
    let message = format!("payload.statements[{at}]: {} ({code})", database.message());
    // SQLSTATE classes: invalid data, constraint violation, invalid or forbidden statement, unknown
    // database, unsupported feature.
    let permanent = ["22", "23", "42", "3D", "0A"];
    let is_permanent = permanent.iter().any(|class| code.starts_with(class));
    let error = HandlerError::new(message);
    if is_permanent { error.final_() } else { error }
}
