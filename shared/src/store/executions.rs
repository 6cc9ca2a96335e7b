//! Executions: users request and cancel them, and read their history. `executions/pages.rs` reads long
//! histories page by page.

mod pages;

use chrono::TimeDelta;
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::guarded::Guarded;
use super::{Store, sql};
use crate::clock::Time;
use crate::execution::{Execution, Status};
use crate::id::{ExecutionId, JobId};

pub use pages::{Page, Recent};

/// Which executions to list. A field that is `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFilter {
    /// Only executions older than this one, for the next page.
    pub before: Option<ExecutionId>,
    /// Only executions of the job with this name.
    pub job: Option<String>,
    /// Only executions with this status.
    pub status: Option<Status>,
}

/// The `scheduled_for` of a manual run that is requested at `now`: `now`, or one microsecond earlier if
/// that is a whole second. Each job has one first attempt per `scheduled_for`, and the schedule's
/// occurrences are at whole seconds, so a manual run must not take their key.
pub(super) fn not_a_whole_second(now: DbTime) -> Time {
    let now = now.time();
    if now.timestamp_subsec_micros() == 0 { now - TimeDelta::microseconds(1) } else { now }
}

impl Store {
    /// Requests a manual run, with `payload` instead of the job's if it is given. The guard: the job
    /// exists.
    pub async fn run_job(
        &self,
        name: &str,
        id: ExecutionId,
        payload: Option<&Value>,
        now: DbTime,
    ) -> Result<Guarded> {
        run_on_either!(self.db.proved().await?, sql::RUN_JOB, |text, connection| async {
            let at = not_a_whole_second(now);
            let done =
                query(text).bind(id).bind(name).bind(at).bind(payload).execute(connection).await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Requests a manual run, `new`, with the payload of `old`. The guard: `old` is final, and its job
    /// still exists.
    pub async fn run_again(
        &self,
        old: ExecutionId,
        new: ExecutionId,
        now: DbTime,
    ) -> Result<Guarded> {
        run_on_either!(self.db.proved().await?, sql::RUN_AGAIN, |text, connection| async {
            let at = not_a_whole_second(now);
            let done = query(text).bind(old).bind(new).bind(at).execute(connection).await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Cancels an execution. Returns its status afterwards: `cancelled` if it had not started, or
    /// `running` if its worker learns of the request with its next heartbeat. None if the execution was
    /// final or does not exist.
    pub async fn cancel(&self, id: ExecutionId, now: DbTime) -> Result<Option<Status>> {
        run_on_either!(self.db.proved().await?, sql::CANCEL, |text, connection| {
            query_scalar(text).bind(id).bind(now).fetch_optional(connection)
        })
    }

    /// How many executions of a job are not final.
    pub async fn count_open(&self, job: JobId) -> Result<i64> {
        run_on_either!(self.db.proved().await?, sql::COUNT_OPEN, |text, connection| {
            query_scalar(text).bind(job).fetch_one(connection)
        })
    }

    /// The execution with this id.
    pub async fn find_execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        run_on_either!(self.db.proved().await?, sql::FIND_EXECUTION, |text, connection| {
            query_as(text).bind(id).fetch_optional(connection)
        })
    }

    /// The latest attempt at the occurrence that an execution belongs to. If that attempt is final, no
    /// other follows.
    pub async fn find_last_attempt(&self, id: ExecutionId) -> Result<Option<Execution>> {
        run_on_either!(self.db.proved().await?, sql::FIND_LAST_ATTEMPT, |text, connection| {
            query_as(text).bind(id).fetch_optional(connection)
        })
    }

    /// The attempts at the occurrence that an execution belongs to, at most `limit`.
    pub async fn list_attempts(&self, id: ExecutionId, limit: i64) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_ATTEMPTS, |text, connection| {
            query_as(text).bind(id).bind(limit).fetch_all(connection)
        })
    }

    /// The executions that `filter` selects, newest first.
    pub async fn list_executions(
        &self,
        filter: &ExecutionFilter,
        limit: i64,
    ) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_EXECUTIONS, |text, connection| {
            query_as(text)
                .bind(filter.before.unwrap_or(ExecutionId::LAST))
                .bind(&filter.job)
                .bind(filter.status)
                .bind(limit)
                .fetch_all(connection)
        })
    }

    /// The executions that are not final, newest first.
    pub async fn list_open(&self, filter: &ExecutionFilter, limit: i64) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_OPEN, |text, connection| {
            query_as(text)
                .bind(filter.before.unwrap_or(ExecutionId::LAST))
                .bind(&filter.job)
                .bind(filter.status)
                .bind(limit)
                .fetch_all(connection)
        })
    }

    /// The executions of one job from the occurrence `from` on, earliest first, without payloads, results,
    /// outputs and details.
    pub async fn list_from(&self, job: JobId, from: Time, limit: i64) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_FROM, |text, connection| {
            query_as(text).bind(job).bind(from).bind(limit).fetch_all(connection)
        })
    }

    /// A page of executions, sorted by job, occurrence and attempt, that begins after `after`. The
    /// occurrences are in `from..to`. Payloads, results, outputs and details are not read.
    pub async fn read_history(
        &self,
        after: (JobId, Time, i32),
        (from, to): (Time, Time),
        limit: i64,
    ) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::READ_HISTORY, |text, connection| {
            query_as(text)
                .bind(after.0)
                .bind(after.1)
                .bind(after.2)
                .bind(from)
                .bind(to)
                .bind(limit)
                .fetch_all(connection)
        })
    }
}
