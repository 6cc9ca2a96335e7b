//! What a handler knows of its execution, and what it is given to work with.

use std::fmt::Display;
use std::sync::Arc;

use shared::clock::Time;
use shared::id::{ExecutionId, JobId, TenantId};
use shared::output::{Output, Progress};
use shared::secrets::Redactor;
use shared::store::TenantDatabase;
use sqlx::{PgPool, SqlitePool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handler::HandlerError;

/// What a handler knows of its execution. Clones are the same.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whose job it is.
    pub tenant: TenantId,
    /// What people call that tenant.
    pub tenant_slug: String,
    /// The job.
    pub job: JobId,
    /// Its name.
    pub job_name: String,
    /// The row of this attempt.
    pub execution: ExecutionId,
    /// 1 for the first attempt at the occurrence.
    pub attempt: i32,
    /// The occurrence: when it was meant to run.
    pub scheduled_for: Time,
    /// When this attempt times out, by the tenant's database's clock.
    pub deadline_at: Time,
    /// Cancelled when the result is no longer wanted: at the deadline, on request, when the lease
    /// is lost, and at the end of a shutdown. What goes on regardless is aborted soon after, at
    /// its next await.
    pub cancelled: CancellationToken,
    pub(crate) database: Arc<TenantDatabase>,
    pub(crate) output: Output,
    pub(crate) redactor: Redactor,
    /// What goes on in threads of its own, and holds the slot until it ends.
    pub(crate) busy: TaskTracker,
}

impl Context {
    /// The same for every attempt at this occurrence, and for no other occurrence: for outside
    /// effects that must happen once.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.job, self.scheduled_for.timestamp_micros())
    }

    /// A pool of this tenant's PostgreSQL database, and of no other tenant's. It is this
    /// execution's own: when that ends, its connections are closed, with whatever still runs on
    /// them. A statement that outlasts the deadline is given up by the server.
    ///
    /// # Errors
    /// When the tenant's database is SQLite.
    pub fn postgres(&self) -> Result<PgPool, HandlerError> {
        Ok(self.database.postgres()?)
    }

    /// A pool of this tenant's SQLite database, likewise.
    ///
    /// # Errors
    /// When the tenant's database is PostgreSQL.
    pub fn sqlite(&self) -> Result<SqlitePool, HandlerError> {
        Ok(self.database.sqlite()?)
    }

    /// Adds a line to what is kept with the execution, of which the last 16 KiB stay; it can be
    /// read while the handler runs. What it logs through the crate `tracing` is kept, too.
    pub fn log(&self, line: impl Display) {
        self.output.line(line);
    }

    /// Says how far the work has come, in a unit of its own; visible while the handler runs. It
    /// may be called often: the row is written every other second at most.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, message: impl Display) {
        let (total, message) = (total.into(), message.to_string());
        self.output.progress(Progress { done, total, message });
    }

    /// Runs what blocks on a thread of its own. The execution keeps its slot until that returns,
    /// even if nobody waits for it.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (busy, output) = (self.busy.token(), self.output.clone());
        tokio::task::spawn_blocking(move || {
            let done = output.enter(work);
            drop(busy);
            done
        })
    }
}
