//! What a handler knows about its execution, and what it works with.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use shared::clock::Time;
use shared::id::{ExecutionId, JobId, TenantId};
use shared::output::{Output, Progress};
use shared::secrets::Redactor;
use shared::store::TenantDatabase;
use sqlx::{PgPool, SqlitePool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::HandlerError;
use crate::stop::StopReason;

/// The execution that a handler runs for. Clones share it.
///
/// ```
/// use polychron_consumer::{Context, HandlerError, sqlx};
///
/// async fn close_invoices(_: serde_json::Value, context: Context) -> Result<u64, HandlerError> {
///     let pool = context.postgres()?;
///     let closed = sqlx::query("UPDATE invoice SET is_open = false WHERE due_at < $1")
///         .bind(context.scheduled_for)
///         .execute(&pool)
///         .await?;
///     context.log(format!("closed {} invoices", closed.rows_affected()));
///     Ok(closed.rows_affected())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    /// The tenant whose job it is.
    pub tenant: TenantId,
    /// The tenant's name in commands, URLs and logs.
    pub tenant_slug: String,
    /// The job.
    pub job: JobId,
    /// The job's name.
    pub job_name: String,
    /// The row of this attempt.
    pub execution: ExecutionId,
    /// 1 for the first attempt at the occurrence.
    pub attempt: i32,
    /// The occurrence: when it was planned to run.
    pub scheduled_for: Time,
    /// When this attempt times out, by the clock of the tenant's database.
    pub deadline_at: Time,
    /// Cancelled when the result is no longer wanted: at the deadline, on request, when the lease
    /// is lost, and at the end of a shutdown. A handler that continues is aborted shortly after, at
    /// its next await.
    ///
    /// ```
    /// use polychron_consumer::{Context, HandlerError};
    ///
    /// async fn sync_all(pages: Vec<String>, context: Context) -> Result<(), HandlerError> {
    ///     for page in pages {
    ///         if context.cancelled.is_cancelled() {
    ///             return Err(HandlerError::new("stopped"));
    ///         }
    ///         context.log(page);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub cancelled: CancellationToken,
    pub(crate) job_type: String,
    /// How many attempts the job allows.
    pub(crate) max_attempts: i32,
    /// Why it was cancelled; set before [`cancelled`](Context::cancelled) is.
    pub(crate) stopped: Arc<OnceLock<StopReason>>,
    pub(crate) database: Arc<TenantDatabase>,
    pub(crate) output: Output,
    pub(crate) redactor: Redactor,
    /// Work on threads of its own. The execution keeps its slot until it is done.
    pub(crate) blocking: TaskTracker,
}

impl Context {
    /// A key that is the same for every attempt at this occurrence, and different for every other
    /// occurrence. Pass it on to whatever must happen only once.
    ///
    /// ```
    /// use polychron_consumer::testing::FakeContext;
    ///
    /// let context = FakeContext::new().attempt(1);
    /// let occurrence = "2026-11-24T12:00:00Z".parse().unwrap();
    /// let first = context.scheduled_for(occurrence).context().idempotency_key();
    /// let second = FakeContext::new().attempt(2).scheduled_for(occurrence).context();
    /// assert_eq!(second.idempotency_key(), first);
    /// ```
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.job, self.scheduled_for.timestamp_micros())
    }

    /// A pool of connections to this tenant's PostgreSQL database, for this execution only. When it
    /// ends, the connections are closed, even while statements run on them; the server aborts
    /// statements at the deadline.
    ///
    /// ```
    /// use polychron_consumer::{Context, HandlerError, sqlx};
    ///
    /// async fn count(_: (), context: Context) -> Result<i64, HandlerError> {
    ///     let query = sqlx::query_scalar("SELECT count(*) FROM invoice");
    ///     Ok(query.fetch_one(&context.postgres()?).await?)
    /// }
    /// ```
    ///
    /// # Errors
    /// If the tenant's database is SQLite.
    pub fn postgres(&self) -> Result<PgPool, HandlerError> {
        Ok(self.database.postgres()?)
    }

    /// The same for a tenant's SQLite database.
    ///
    /// ```
    /// use polychron_consumer::{Context, HandlerError, sqlx};
    ///
    /// async fn count(_: (), context: Context) -> Result<i64, HandlerError> {
    ///     let query = sqlx::query_scalar("SELECT count(*) FROM invoice");
    ///     Ok(query.fetch_one(&context.sqlite()?).await?)
    /// }
    /// ```
    ///
    /// # Errors
    /// If the tenant's database is PostgreSQL.
    pub fn sqlite(&self) -> Result<SqlitePool, HandlerError> {
        Ok(self.database.sqlite()?)
    }

    /// Appends a line to the execution's output, of which the last 16 KiB are kept. It can be read
    /// while the handler runs. Events of the crate `tracing` are kept, too.
    ///
    /// ```
    /// # let context = polychron_consumer::testing::FakeContext::new().context();
    /// context.log("reading the ledger");
    /// context.log(format_args!("{} entries", 7));
    /// ```
    pub fn log(&self, line: impl Display) {
        self.output.line(line);
    }

    /// Reports progress in units of the handler's choice; `total` is optional. It can be read while
    /// the handler runs. Call it as often as you like: the row is updated every two seconds at most.
    ///
    /// ```
    /// # let context = polychron_consumer::testing::FakeContext::new().context();
    /// context.progress(3, 10, "invoices sent");
    /// context.progress(4096, None, "bytes read");
    /// ```
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, message: impl Display) {
        let (total, message) = (total.into(), message.to_string());
        self.output.progress(Progress { done, total, message });
    }

    /// Runs blocking code on a thread of its own. The execution keeps its slot until the code
    /// returns, even if the handler does not wait for it.
    ///
    /// ```
    /// use polychron_consumer::{Context, HandlerError};
    ///
    /// async fn checksum(path: String, context: Context) -> Result<u64, HandlerError> {
    ///     let read = context.spawn_blocking(move || std::fs::read(path));
    ///     Ok(read.await??.iter().map(|byte| u64::from(*byte)).sum())
    /// }
    /// ```
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (blocking, output) = (self.blocking.token(), self.output.clone());
        tokio::task::spawn_blocking(move || {
            let done = output.enter(work);
            drop(blocking);
            done
        })
    }
}
