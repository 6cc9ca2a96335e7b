//! What people define, ask for and read: jobs, manual runs, executions.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::{JobEdit, Store, sql};
use crate::clock::Time;
use crate::execution::{Execution, Status};
use crate::id::{ExecutionId, JobId};
use crate::job::{Job, MisfirePolicy, OrphanPolicy, OverlapPolicy};

/// A job as a user defines it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewJob {
    /// Unique within the tenant.
    pub name: String,
    /// Chooses the handler.
    pub job_type: String,
    /// What the handler is given.
    pub payload: Value,
    /// When it runs.
    pub schedule: Value,
    /// Whether it starts to run at once.
    pub is_enabled: bool,
    /// Where its executions are published.
    pub queue: String,
    /// The longest one attempt may run.
    pub timeout_seconds: Option<i32>,
    /// How many attempts that count one occurrence gets.
    pub max_attempts: i32,
    /// The backoff before the second attempt.
    pub retry_base_seconds: i32,
    /// What becomes of occurrences seen too late.
    pub misfire_policy: MisfirePolicy,
    /// How late is too late.
    pub misfire_grace_seconds: i32,
    /// What becomes of an occurrence while another is open.
    pub overlap_policy: OverlapPolicy,
    /// What becomes of an occurrence whose worker was lost.
    pub orphan_policy: OrphanPolicy,
    /// Who is told of it; none: as the tenant says.
    pub notify: Option<Value>,
}

impl NewJob {
    /// A job with the table's own defaults.
    pub fn new(name: &str, job_type: &str, schedule: Value) -> NewJob {
        NewJob {
            name: name.to_owned(),
            job_type: job_type.to_owned(),
            payload: Value::Object(serde_json::Map::new()),
            schedule,
            is_enabled: true,
            queue: "default".to_owned(),
            timeout_seconds: None,
            max_attempts: 3,
            retry_base_seconds: 10,
            misfire_policy: MisfirePolicy::RunOnce,
            misfire_grace_seconds: 60,
            overlap_policy: OverlapPolicy::Skip,
            orphan_policy: OrphanPolicy::Retry,
            notify: None,
        }
    }

    /// The same with what an edit names.
    pub fn with(self, edit: JobEdit) -> NewJob {
        NewJob {
            name: self.name,
            job_type: edit.job_type.unwrap_or(self.job_type),
            payload: edit.payload.unwrap_or(self.payload),
            schedule: edit.schedule.unwrap_or(self.schedule),
            is_enabled: edit.is_enabled.unwrap_or(self.is_enabled),
            queue: edit.queue.unwrap_or(self.queue),
            timeout_seconds: edit.timeout_seconds.unwrap_or(self.timeout_seconds),
            max_attempts: edit.max_attempts.unwrap_or(self.max_attempts),
            retry_base_seconds: edit.retry_base_seconds.unwrap_or(self.retry_base_seconds),
            misfire_policy: edit.misfire_policy.unwrap_or(self.misfire_policy),
            misfire_grace_seconds: edit.misfire_grace_seconds.unwrap_or(self.misfire_grace_seconds),
            overlap_policy: edit.overlap_policy.unwrap_or(self.overlap_policy),
            orphan_policy: edit.orphan_policy.unwrap_or(self.orphan_policy),
            notify: edit.notify.unwrap_or(self.notify),
        }
    }
}

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
    /// Adds a job. The producer works out its first time.
    ///
    /// # Errors
    /// [`Refused`](super::StoreError::Refused) when the name is taken or a constraint is violated;
    /// the text names it.
    pub async fn insert_job(&self, job: &NewJob) -> Result<JobId> {
        run_on_either!(self.db.proved().await?, sql::INSERT_JOB, |text, connection| {
            query_scalar(text)
                .bind(&job.name)
                .bind(&job.job_type)
                .bind(&job.payload)
                .bind(&job.schedule)
                .bind(job.is_enabled)
                .bind(&job.queue)
                .bind(job.timeout_seconds)
                .bind(job.max_attempts)
                .bind(job.retry_base_seconds)
                .bind(job.misfire_policy)
                .bind(job.misfire_grace_seconds)
                .bind(job.overlap_policy)
                .bind(job.orphan_policy)
                .bind(&job.notify)
                .fetch_one(connection)
        })
    }

    /// Jobs by name, a page of those after `after`.
    pub async fn list_jobs(&self, after: &str, limit: i64) -> Result<Vec<Job>> {
        run_on_either!(self.db.proved().await?, sql::LIST_JOBS, |text, connection| {
            query_as(text).bind(after).bind(limit).fetch_all(connection)
        })
    }

    /// One job by its name.
    pub async fn find_job(&self, name: &str) -> Result<Option<Job>> {
        run_on_either!(self.db.proved().await?, sql::FIND_JOB, |text, connection| {
            query_as(text).bind(name).fetch_optional(connection)
        })
    }

    /// Asks for a manual run, with a payload of its own if one is given. False: no such job.
    pub async fn run_job(
        &self,
        name: &str,
        id: ExecutionId,
        payload: Option<&Value>,
        now: DbTime,
    ) -> Result<bool> {
        run_on_either!(self.db.proved().await?, sql::RUN_JOB, |text, connection| async {
            let at = beside_the_second(now);
            let done =
                query(text).bind(id).bind(name).bind(at).bind(payload).execute(connection).await?;
            Ok(done.rows_affected() > 0)
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
}
