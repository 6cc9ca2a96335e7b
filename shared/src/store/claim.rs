//! The consumer's statements while a row runs: claim, heartbeat, report. `finish.rs` ends it.

use std::time::Duration;

use sqlx::{FromRow, query, query_as, query_scalar};

use super::ascii::lacks_a_character;
use super::db::{Db, begin_immediate, column, json, run, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::types::{ClampedTime, Lossy, PolicyOrFail};
use super::{Store, sql};
use crate::clock::{Time, delta};
use crate::id::{ExecutionId, JobId};
use crate::job::OrphanPolicy;
use crate::output::Report;
use crate::retry::Attempts;

/// The terms on which a worker claims.
#[derive(Clone, Debug)]
pub struct ClaimTerms {
    /// The worker's name, new at every start of a process.
    pub worker: String,
    /// The queues it receives from. A row of another queue is refused.
    pub queues: Vec<String>,
    /// How long the worker may go without a heartbeat.
    pub lease: Duration,
    /// The timeout of jobs without their own.
    pub default_timeout: Duration,
}

/// A row that this worker has claimed.
#[derive(Clone, Debug, FromRow)]
pub struct Claim {
    /// The row.
    pub id: ExecutionId,
    /// The job.
    pub job_id: JobId,
    /// Its name.
    #[sqlx(try_from = "Lossy")]
    pub name: String,
    /// Its type.
    #[sqlx(try_from = "Lossy")]
    pub job_type: String,
    /// The handler's input, as JSON text; none if it is longer than a payload may be.
    #[sqlx(try_from = "Lossy")]
    pub payload: Option<String>,
    /// The occurrence.
    #[sqlx(try_from = "ClampedTime")]
    pub scheduled_for: Time,
    /// The number of the attempt.
    pub attempt: i32,
    /// When the claim was made.
    #[sqlx(try_from = "ClampedTime")]
    pub started_at: Time,
    /// When the lease ends unless it is renewed.
    #[sqlx(try_from = "ClampedTime")]
    pub lease_until: Time,
    /// When the attempt times out.
    #[sqlx(try_from = "ClampedTime")]
    pub deadline_at: Time,
    /// The job's maximum number of attempts that count.
    pub max_attempts: i32,
    retry_base_seconds: i32,
    #[sqlx(try_from = "PolicyOrFail")]
    orphan_policy: OrphanPolicy,
    uncharged: i64,
    job_is_failing: bool,
}

impl Claim {
    /// The facts that decide about the next attempt.
    pub fn attempts(&self) -> Attempts {
        Attempts {
            attempt: self.attempt,
            uncharged: self.uncharged as i32,
            max_attempts: self.max_attempts,
            retry_base_seconds: self.retry_base_seconds,
            orphan_policy: self.orphan_policy,
            job_is_failing: self.job_is_failing,
        }
    }
}

/// The answer to a heartbeat for one row.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Heartbeat {
    /// The row.
    pub id: ExecutionId,
    /// When its lease ends.
    pub lease_until: Time,
    /// Whether the lease was renewed. It was not if another session has locked the row.
    pub renewed: bool,
    /// Whether its cancellation was requested.
    pub cancel_requested: bool,
}

impl Store {
    /// Claims dispatched rows. Those missing from the answer are held by another worker, final, or in
    /// another queue: their messages can be acknowledged.
    pub async fn claim(
        &self,
        ids: &[ExecutionId],
        terms: &ClaimTerms,
        now: DbTime,
    ) -> Result<Vec<Claim>> {
        let lease_until = now + delta(terms.lease);
        let default_timeout = terms.default_timeout.as_secs().min(i32::MAX as u64) as i32;
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| {
                query_as(sql::CLAIM.postgres)
                    .bind(ids)
                    .bind(&terms.worker)
                    .bind(now)
                    .bind(lease_until)
                    .bind(default_timeout)
                    .bind(&terms.queues)
                    .fetch_all(connection)
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let mut claims = Vec::new();
                for id in ids {
                    let claimed = query(sql::CLAIM.sqlite)
                        .bind(id)
                        .bind(&terms.worker)
                        .bind(now)
                        .bind(lease_until)
                        .bind(default_timeout)
                        .bind(json(&terms.queues))
                        .execute(&mut *transaction)
                        .await?;
                    if claimed.rows_affected() > 0 {
                        let read = query_as(sql::READ_CLAIMED.sqlite).bind(id);
                        claims.push(read.fetch_one(&mut *transaction).await?);
                    }
                }
                transaction.commit().await?;
                Ok(claims)
            }),
        }
    }

    /// The job type of a dispatched row, read from its job. None if the row cannot be claimed.
    pub async fn read_job_type(&self, id: ExecutionId) -> Result<Option<String>> {
        let found: Option<Option<String>> =
            run_on_either!(self.db.proved().await?, sql::READ_JOB_TYPE, |text, connection| {
                query_scalar(text).bind(id).fetch_optional(connection)
            })?;
        Ok(found.flatten())
    }

    /// Renews the worker's leases. Rows missing from the answer are no longer its own.
    pub async fn heartbeat(
        &self,
        ids: &[ExecutionId],
        worker: &str,
        lease: Duration,
        now: DbTime,
    ) -> Result<Vec<Heartbeat>> {
        let lease_until = now + delta(lease);
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| {
                query_as(sql::HEARTBEAT.postgres)
                    .bind(ids)
                    .bind(worker)
                    .bind(now)
                    .bind(lease_until)
                    .fetch_all(connection)
            }),
            Db::Sqlite(database) => run!(database, |connection| {
                query_as(sql::HEARTBEAT.sqlite)
                    .bind(json(ids))
                    .bind(worker)
                    .bind(now)
                    .bind(lease_until)
                    .fetch_all(connection)
            }),
        }
    }

    /// Stores the output and progress of running handlers. Rows that are no longer the worker's are not
    /// changed.
    pub async fn report(&self, reports: &[(ExecutionId, Report)], worker: &str) -> Result<()> {
        match self.try_report(reports, worker).await {
            Err(error) if lacks_a_character(&error) => {
                let ascii = reports.iter().map(|(id, report)| (*id, report.in_ascii()));
                self.try_report(&ascii.collect::<Vec<_>>(), worker).await
            }
            done => done,
        }
    }

    async fn try_report(&self, reports: &[(ExecutionId, Report)], worker: &str) -> Result<()> {
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| async {
                query(sql::REPORT.postgres)
                    .bind(column(reports, |(id, _)| *id))
                    .bind(column(reports, |(_, report)| report.output.clone()))
                    .bind(column(reports, |(_, report)| {
                        report.progress.as_ref().map(|progress| progress.to_string())
                    }))
                    .bind(worker)
                    .execute(connection)
                    .await?;
                Ok(())
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let rows: Vec<_> = reports
                    .iter()
                    .map(|(id, Report { output, progress })| {
                        serde_json::json!({"id": id, "output": output, "progress": progress})
                    })
                    .collect();
                query(sql::REPORT.sqlite)
                    .bind(json(&rows))
                    .bind(worker)
                    .execute(connection)
                    .await?;
                Ok(())
            }),
        }
    }
}
