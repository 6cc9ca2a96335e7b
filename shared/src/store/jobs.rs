//! Jobs: what people define, change and list, and what their definitions ask of consumers.

use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::guarded::Guarded;
use super::{Store, sql};
use crate::id::JobId;
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

/// What a job will ask of slots.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct PlannedLoad {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// When it runs, as JSON.
    pub schedule: String,
    /// Whether its runs may overlap.
    pub overlap_policy: OverlapPolicy,
    /// How long a slot was held for one of its occurrences, all attempts together, on the average of
    /// its latest 20 attempts, in seconds. None: it has not run yet.
    pub seconds: Option<f64>,
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

    /// Changes a job. The guard: it exists and, if `if_version` is given, still has that version.
    ///
    /// # Errors
    /// [`Refused`](super::StoreError::Refused) when a constraint is violated; the text names it.
    pub async fn edit_job(
        &self,
        name: &str,
        if_version: Option<i32>,
        edit: &JobEdit,
        now: DbTime,
    ) -> Result<Guarded> {
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
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Deletes a job, if it still exists, and cancels its open executions.
    pub async fn delete_job(&self, job: JobId) -> Result<Guarded> {
        run_on_either!(self.db.proved().await?, sql::DELETE_JOB, |text, connection| async {
            let done = query(text).bind(job).execute(connection).await?;
            Ok(Guarded::of(done.rows_affected()))
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

    /// How many jobs are due and not dispatched yet, counted no further than `most`.
    pub async fn count_due(&self, now: DbTime, most: i64) -> Result<i64> {
        run_on_either!(self.db.proved().await?, sql::COUNT_DUE, |text, connection| {
            query_scalar(text).bind(now).bind(most).fetch_one(connection)
        })
    }

    /// What the enabled jobs will ask of slots, a page of those after `after`, by id.
    pub async fn plan_load(&self, after: JobId, limit: i64) -> Result<Vec<PlannedLoad>> {
        run_on_either!(self.db.proved().await?, sql::PLAN_LOAD, |text, connection| {
            query_as(text).bind(after).bind(limit).fetch_all(connection)
        })
    }
}
