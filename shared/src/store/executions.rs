//! Executions: those that people ask for or cancel, and the history that they read. Long histories are
//! read a page at a time (`executions/pages.rs`).

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

/// Which executions to list; what is none does not filter.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFilter {
    /// Only older ones than this, for the next page.
    pub before: Option<ExecutionId>,
    /// Only those of the job of this name.
    pub job: Option<String>,
    /// Only those of this status.
    pub status: Option<Status>,
}

/// When a manual run that is asked for at `now` was meant to run: just before, if that is a whole
/// second. Rows are unique by this time, and an occurrence of the schedule, which is a whole
/// second, may still need the place.
pub(super) fn beside_the_second(now: DbTime) -> Time {
    let now = now.time();
    if now.timestamp_subsec_micros() == 0 { now - TimeDelta::microseconds(1) } else { now }
}

impl Store {
    /// Requests a manual run, with `payload` instead of the job's if it is given. The guard: there is
    /// such a job.
    pub async fn run_job(
        &self,
        name: &str,
        id: ExecutionId,
        payload: Option<&Value>,
        now: DbTime,
    ) -> Result<Guarded> {
        run_on_either!(self.db.proved().await?, sql::RUN_JOB, |text, connection| async {
            let at = beside_the_second(now);
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
            let at = beside_the_second(now);
            let done = query(text).bind(old).bind(new).bind(at).execute(connection).await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Asks for the end of an execution. Its status then: `cancelled` if it had not started,
    /// `running` if its worker has yet to hear of it. None: it was over, or there is none.
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

    /// One execution.
    pub async fn find_execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        run_on_either!(self.db.proved().await?, sql::FIND_EXECUTION, |text, connection| {
            query_as(text).bind(id).fetch_optional(connection)
        })
    }

    /// The latest attempt at the occurrence that an execution belongs to. When it is final, the
    /// occurrence is over.
    pub async fn find_last_attempt(&self, id: ExecutionId) -> Result<Option<Execution>> {
        run_on_either!(self.db.proved().await?, sql::FIND_LAST_ATTEMPT, |text, connection| {
            query_as(text).bind(id).fetch_optional(connection)
        })
    }

    /// Every attempt at the occurrence that an execution belongs to, at most `limit`.
    pub async fn list_attempts(&self, id: ExecutionId, limit: i64) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_ATTEMPTS, |text, connection| {
            query_as(text).bind(id).bind(limit).fetch_all(connection)
        })
    }

    /// Executions, newest first.
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

    /// Executions that are not over, newest first.
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

    /// The executions of one job from an occurrence on, the earliest first. Payloads, results, outputs
    /// and details are left out.
    pub async fn list_from(&self, job: JobId, from: Time, limit: i64) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_FROM, |text, connection| {
            query_as(text).bind(job).bind(from).bind(limit).fetch_all(connection)
        })
    }

    /// Executions in the order of job, occurrence and attempt, a page of those after `after`, with
    /// occurrences from `from` on and before `to`. Payloads, results, outputs and details are left
    /// out.
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
