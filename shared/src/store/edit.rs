//! What people change: jobs, and the course of executions; and what `check` asks about both.

use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::history::beside_the_second;
use super::{Store, sql};
use crate::execution::Status;
use crate::id::{ExecutionId, JobId};
use crate::job::{MisfirePolicy, OrphanPolicy, OverlapPolicy};

/// A change of a job; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JobEdit {
    /// Chooses the handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// What the handler is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// When it runs; the next time is worked out anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Value>,
    /// Whether new occurrences come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// Where its executions are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The longest one attempt may run; the inner none means the configured default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<Option<i32>>,
    /// How many attempts that count one occurrence gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    /// The backoff before the second attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_base_seconds: Option<i32>,
    /// What becomes of occurrences seen too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfire_policy: Option<MisfirePolicy>,
    /// How late is too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfire_grace_seconds: Option<i32>,
    /// What becomes of an occurrence while another is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_policy: Option<OverlapPolicy>,
    /// What becomes of an occurrence whose worker was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_policy: Option<OrphanPolicy>,
    /// Who is told of it; the inner none means as the tenant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Option<Value>>,
}

/// What a tenant's enabled jobs of one type and queue ask of consumers.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct JobSummary {
    /// Chooses the handler.
    pub job_type: String,
    /// Where their executions are published.
    pub queue: String,
    /// How many they are.
    pub jobs: i64,
    /// The longest timeout that one of them states.
    pub longest_timeout_seconds: Option<i32>,
}

/// A job whose schedule cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Quarantined {
    /// The job.
    pub name: String,
    /// Why.
    pub quarantined_reason: String,
}

impl Store {
    /// Changes a job, if its version is still `if_version`. False: it isn't, or there is no such
    /// job.
    ///
    /// # Errors
    /// [`Refused`](super::StoreError::Refused) when a constraint is violated; the text names it.
    pub async fn edit_job(
        &self,
        name: &str,
        if_version: Option<i32>,
        edit: &JobEdit,
        now: DbTime,
    ) -> Result<bool> {
        run_on_either!(self.db.proved().await?, sql::EDIT_JOB, |text, connection| async {
            let done = query(text)
                .bind(name)
                .bind(if_version)
                .bind(&edit.job_type)
                .bind(&edit.payload)
                .bind(&edit.schedule)
                .bind(edit.is_enabled)
                .bind(&edit.queue)
                .bind(edit.timeout_seconds.is_some())
                .bind(edit.timeout_seconds.flatten())
                .bind(edit.max_attempts)
                .bind(edit.retry_base_seconds)
                .bind(edit.misfire_policy)
                .bind(edit.misfire_grace_seconds)
                .bind(edit.overlap_policy)
                .bind(edit.orphan_policy)
                .bind(now)
                .bind(edit.notify.is_some())
                .bind(edit.notify.as_ref().and_then(Option::as_ref))
                .execute(connection)
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Deletes a job, and ends what is open of it. False: it was gone.
    pub async fn delete_job(&self, job: JobId) -> Result<bool> {
        run_on_either!(self.db.proved().await?, sql::DELETE_JOB, |text, connection| async {
            let done = query(text).bind(job).execute(connection).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// How many executions of a job are not final.
    pub async fn count_open(&self, job: JobId) -> Result<i64> {
        run_on_either!(self.db.proved().await?, sql::COUNT_OPEN, |text, connection| {
            query_scalar(text).bind(job).fetch_one(connection)
        })
    }

    /// Asks for the end of an execution. Its status then: `cancelled` if it had not started,
    /// `running` if its worker has yet to hear of it. None: it was over, or there is none.
    pub async fn cancel(&self, id: ExecutionId, now: DbTime) -> Result<Option<Status>> {
        run_on_either!(self.db.proved().await?, sql::CANCEL, |text, connection| {
            query_scalar(text).bind(id).bind(now).fetch_optional(connection)
        })
    }

    /// Asks for a manual run, `new`, with the payload that `old` was given. False: `old` isn't
    /// over, or it or its job is gone.
    pub async fn run_again(&self, old: ExecutionId, new: ExecutionId, now: DbTime) -> Result<bool> {
        run_on_either!(self.db.proved().await?, sql::RUN_AGAIN, |text, connection| async {
            let at = beside_the_second(now);
            let done = query(text).bind(old).bind(new).bind(at).execute(connection).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// What the enabled jobs ask of consumers.
    pub async fn summarize_jobs(&self) -> Result<Vec<JobSummary>> {
        run_on_either!(self.db.proved().await?, sql::SUMMARIZE_JOBS, |text, connection| {
            query_as(text).fetch_all(connection)
        })
    }

    /// Jobs whose schedule cannot be followed, the first `limit` by name.
    pub async fn list_quarantined(&self, limit: i64) -> Result<Vec<Quarantined>> {
        run_on_either!(self.db.proved().await?, sql::LIST_QUARANTINED, |text, connection| {
            query_as(text).bind(limit).fetch_all(connection)
        })
    }
}
