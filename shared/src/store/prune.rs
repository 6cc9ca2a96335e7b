//! The end of old history: what tenants no longer need to keep, in small batches.

use sqlx::{query, query_scalar};

use super::db::{Db, begin_immediate, run, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::{Store, sql};
use crate::clock::Time;
use crate::id::JobId;

/// What stays of a job's history.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// This many of the newest executions stay, whatever else holds. At least 1.
    pub newest: i64,
    /// Beyond this many of the newest, executions go; none: they don't for their number. At least 1.
    pub per_job: Option<i64>,
    /// Occurrences before this time go; none: they don't for their age.
    pub since: Option<DbTime>,
    /// What ended after this time stays: somebody may yet wait for it.
    pub settled_before: DbTime,
}

impl Store {
    /// The first job after `after` that has any history, or had: the job itself may be gone.
    pub async fn next_history(&self, after: JobId) -> Result<Option<JobId>> {
        run_on_either!(self.db.proved().await?, sql::NEXT_HISTORY, |text, connection| {
            query_scalar(text).bind(after).fetch_optional(connection)
        })
    }

    /// Takes up to `limit` of the oldest occurrences of a job out of its history, if they may go,
    /// each with all its attempts; the answer is how many executions that were. What isn't over
    /// stays; so do the last success and the last failure (of what may go, until later ones may).
    /// The job's `pruned_until` says from then on how far that went.
    pub async fn prune(&self, job: JobId, keep: &Keep, limit: i64) -> Result<u64> {
        match self.db.proved().await? {
            Db::Postgres(database) => {
                let gone: i64 = run!(database, |connection| {
                    query_scalar(sql::PRUNE.postgres)
                        .bind(job)
                        .bind(keep.newest)
                        .bind(keep.per_job)
                        .bind(keep.since)
                        .bind(keep.settled_before)
                        .bind(limit)
                        .fetch_one(connection)
                })?;
                Ok(gone.unsigned_abs())
            }
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let gone: Vec<Time> = query_scalar(sql::PRUNE.sqlite)
                    .bind(job)
                    .bind(keep.newest)
                    .bind(keep.per_job)
                    .bind(keep.since)
                    .bind(keep.settled_before)
                    .bind(limit)
                    .fetch_all(&mut *transaction)
                    .await?;
                if let Some(last) = gone.iter().max() {
                    query(sql::MARK_PRUNED.sqlite)
                        .bind(job)
                        .bind(last)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(gone.len() as u64)
            }),
        }
    }
}
