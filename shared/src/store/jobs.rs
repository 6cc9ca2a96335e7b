//! Jobs: users insert, edit and list them. Also the capacity that their definitions require of consumers.

use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::db::{Db, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::guarded::Guarded;
use super::lagging_ids::raised;
use super::types::Lossy;
use super::{Store, sql};
use crate::id::JobId;
use crate::job::{Job, MisfirePolicy, OrphanPolicy, OverlapPolicy};

/// A job as a user defines it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewJob {
    /// Unique within the tenant.
    pub name: String,
    /// Selects the handler.
    pub job_type: String,
    /// The handler's input.
    pub payload: Value,
    /// When it runs, as JSON.
    pub schedule: Value,
    /// Whether it has occurrences from now on.
    pub is_enabled: bool,
    /// The queue that its executions are published to.
    pub queue: String,
    /// The maximum duration of one attempt; `None` means the configured default.
    pub timeout_seconds: Option<i32>,
    /// The maximum number of attempts per occurrence that count.
    pub max_attempts: i32,
    /// The backoff before the second attempt.
    pub retry_base_seconds: i32,
    /// What happens to occurrences that the producer sees too late.
    pub misfire_policy: MisfirePolicy,
    /// How late the producer may see an occurrence before it is a misfire.
    pub misfire_grace_seconds: i32,
    /// What happens to an occurrence whose predecessor has not finished.
    pub overlap_policy: OverlapPolicy,
    /// What happens to an occurrence whose worker was lost.
    pub orphan_policy: OrphanPolicy,
    /// The notification target; `None` means the tenant's target.
    pub notify: Option<Value>,
}

impl NewJob {
    /// A job with the table's defaults.
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

    /// The job after an edit.
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

/// An edit of a job. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JobEdit {
    /// Selects the handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// The handler's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// When it runs, as JSON. A change makes the producer arm the job again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Value>,
    /// Whether it has occurrences from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// The queue that its executions are published to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The maximum duration of one attempt; an inner `None` means the configured default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<Option<i32>>,
    /// The maximum number of attempts per occurrence that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    /// The backoff before the second attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_base_seconds: Option<i32>,
    /// What happens to occurrences that the producer sees too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfire_policy: Option<MisfirePolicy>,
    /// How late the producer may see an occurrence before it is a misfire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfire_grace_seconds: Option<i32>,
    /// What happens to an occurrence whose predecessor has not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_policy: Option<OverlapPolicy>,
    /// What happens to an occurrence whose worker was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_policy: Option<OrphanPolicy>,
    /// The notification target; an inner `None` means the tenant's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Option<Value>>,
}

/// A tenant's enabled jobs of one type and queue, which need a consumer that handles them.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct JobSummary {
    /// Selects the handler.
    #[sqlx(try_from = "Lossy")]
    pub job_type: String,
    /// The queue that their executions are published to.
    #[sqlx(try_from = "Lossy")]
    pub queue: String,
    /// How many jobs there are.
    pub jobs: i64,
    /// The longest timeout among those that have one.
    pub longest_timeout_seconds: Option<i32>,
}

/// A job in quarantine: its schedule, or another of its columns, is invalid.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Quarantined {
    /// The job's name.
    #[sqlx(try_from = "Lossy")]
    pub name: String,
    /// Why it is in quarantine.
    #[sqlx(try_from = "Lossy")]
    pub quarantined_reason: String,
}

/// The input of a forecast: when a job runs, and how long it occupies a slot.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct PlannedLoad {
    /// The job.
    pub id: JobId,
    /// Its name.
    #[sqlx(try_from = "Lossy")]
    pub name: String,
    /// When it runs, as JSON.
    pub schedule: String,
    /// Whether its occurrences may run concurrently.
    pub overlap_policy: OverlapPolicy,
    /// How long one occurrence occupied a slot on average, with all its attempts, in seconds. Computed
    /// from the latest 20 attempts; none if the job has not run yet.
    pub seconds: Option<f64>,
}

impl Store {
    /// Inserts a job. The producer computes its first time.
    ///
    /// # Errors
    /// [`Refused`](super::StoreError::Refused) if the name is taken or a constraint is violated; the text
    /// names the constraint.
    pub async fn insert_job(&self, job: &NewJob) -> Result<JobId> {
        let db = self.db.proved().await?;
        let inserted = self.try_insert_job(db, job).await;
        match raised(db, sql::RAISE_JOB_IDS, inserted.as_ref().err()).await {
            true => self.try_insert_job(db, job).await,
            false => inserted,
        }
    }

    async fn try_insert_job(&self, db: &Db, job: &NewJob) -> Result<JobId> {
        run_on_either!(db, sql::INSERT_JOB, |text, connection| {
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

    /// A page of jobs, sorted by name, that begins after the name `after`.
    pub async fn list_jobs(&self, after: &str, limit: i64) -> Result<Vec<Job>> {
        run_on_either!(self.db.proved().await?, sql::LIST_JOBS, |text, connection| {
            query_as(text).bind(after).bind(limit).fetch_all(connection)
        })
    }

    /// The job with this name.
    pub async fn find_job(&self, name: &str) -> Result<Option<Job>> {
        run_on_either!(self.db.proved().await?, sql::FIND_JOB, |text, connection| {
            query_as(text).bind(name).fetch_optional(connection)
        })
    }

    /// Edits a job. The guard: it exists and, if `if_version` is given, still has that version.
    ///
    /// # Errors
    /// [`Refused`](super::StoreError::Refused) if a constraint is violated; the text names it.
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

    /// The enabled jobs, grouped by type and queue.
    pub async fn summarize_jobs(&self) -> Result<Vec<JobSummary>> {
        run_on_either!(self.db.proved().await?, sql::SUMMARIZE_JOBS, |text, connection| {
            query_as(text).fetch_all(connection)
        })
    }

    /// The first `limit` jobs in quarantine, by name.
    pub async fn list_quarantined(&self, limit: i64) -> Result<Vec<Quarantined>> {
        run_on_either!(self.db.proved().await?, sql::LIST_QUARANTINED, |text, connection| {
            query_as(text).bind(limit).fetch_all(connection)
        })
    }

    /// How many jobs are due and not yet dispatched; counting stops at `most`.
    pub async fn count_due(&self, now: DbTime, most: i64) -> Result<i64> {
        run_on_either!(self.db.proved().await?, sql::COUNT_DUE, |text, connection| {
            query_scalar(text).bind(now).bind(most).fetch_one(connection)
        })
    }

    /// A page of the enabled jobs for a forecast, sorted by id, that begins after `after`.
    pub async fn plan_load(&self, after: JobId, limit: i64) -> Result<Vec<PlannedLoad>> {
        run_on_either!(self.db.proved().await?, sql::PLAN_LOAD, |text, connection| {
            query_as(text).bind(after).bind(limit).fetch_all(connection)
        })
    }
}
