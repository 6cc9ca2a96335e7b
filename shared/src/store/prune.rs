//! Pruning: deletes old history in small batches.

use sqlx::{query, query_scalar};

use super::db::{Db, begin_immediate, run, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::{Store, sql};
use crate::clock::Time;
use crate::id::JobId;

/// Which part of a job's history is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// How many of the newest executions are always kept; at least 1.
    pub newest: i64,
    /// The maximum number of executions to keep, at least 1; `None` means unlimited.
    pub per_job: Option<i64>,
    /// Occurrences before this time are pruned; `None` means that age does not matter.
    pub since: Option<DbTime>,
    /// Only occurrences that finished before this time are pruned: clients may still wait for later ones.
    pub finished_before: DbTime,
}

impl Store {
    /// The first job with an id after `after` that has executions. The job itself may have been deleted.
    pub async fn next_history(&self, after: JobId) -> Result<Option<JobId>> {
        run_on_either!(self.db.proved().await?, sql::NEXT_HISTORY, |text, connection| {
            query_scalar(text).bind(after).fetch_optional(connection)
        })
    }

    /// Deletes up to `limit` of a job's oldest occurrences that `keep` does not protect, each with all its
    /// attempts. Returns the number of deleted executions. Occurrences with an unfinished attempt are
    /// kept; so are the last success and the last failure among the candidates, until later ones become
    /// candidates. The job's `pruned_until` then records the last deleted occurrence.
    pub async fn prune(&self, job: JobId, keep: &Keep, limit: i64) -> Result<u64> {
        match self.db.proved().await? {
            Db::Postgres(database) => {
                let pruned: i64 = run!(database, |connection| {
                    query_scalar(sql::PRUNE.postgres)
                        .bind(job)
                        .bind(keep.newest)
                        .bind(keep.per_job)
                        .bind(keep.since)
                        .bind(keep.finished_before)
                        .bind(limit)
                        .fetch_one(connection)
                })?;
                Ok(pruned.unsigned_abs())
            }
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let pruned: Vec<Time> = query_scalar(sql::PRUNE.sqlite)
                    .bind(job)
                    .bind(keep.newest)
                    .bind(keep.per_job)
                    .bind(keep.since)
                    .bind(keep.finished_before)
                    .bind(limit)
                    .fetch_all(&mut *transaction)
                    .await?;
                if let Some(last) = pruned.iter().max() {
                    query(sql::MARK_PRUNED.sqlite)
                        .bind(job)
                        .bind(last)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(pruned.len() as u64)
            }),
        }
    }
}
