//! Next times that are worked out anew: because time zone rules have changed, or because the clock was
//! wrong when they were worked out. `crate::replan` decides which.

use std::time::Duration;

use sqlx::{FromRow, query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::guarded::Guarded;
use super::{Store, sql};
use crate::clock::Time;
use crate::id::{ExecutionId, JobId};

/// No engine writes a time farther ahead into an open row: leases and backoffs last an hour at most.
const AHEAD_MAX: Duration = Duration::from_secs(2 * 3600);
/// When the lease of a row ends that is corrected. No lease is longer.
const LEASE_LEFT: Duration = Duration::from_secs(3600);

/// A job with a next time.
#[derive(Clone, Debug, FromRow)]
pub struct PlannedJob {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its version when it was read.
    pub version: i32,
    /// Its schedule, as JSON text that has not been validated.
    pub schedule: String,
    /// Its next time.
    pub next_run_at: Time,
    /// From when on its schedule counts.
    pub schedule_since: Time,
}

impl Store {
    /// A page of the jobs whose next time is later than `planned_after`, sorted by id, that begins after
    /// `after`.
    pub async fn read_planned(
        &self,
        after: JobId,
        planned_after: Time,
        limit: i64,
    ) -> Result<Vec<PlannedJob>> {
        run_on_either!(self.db.proved().await?, sql::READ_PLANNED, |text, connection| {
            query_as(text).bind(after).bind(planned_after).bind(limit).fetch_all(connection)
        })
    }

    /// When the engine planned an occurrence, by the database's clock at that time. None: it has not, or
    /// the row is gone.
    pub async fn planned_at(&self, job: JobId, occurrence: Time) -> Result<Option<Time>> {
        let id: Option<ExecutionId> =
            run_on_either!(self.db.proved().await?, sql::FIND_PLANNED_ROW, |text, connection| {
                query_scalar(text).bind(job).bind(occurrence).fetch_optional(connection)
            })?;
        Ok(id.and_then(ExecutionId::made_at))
    }

    /// Sets a job's next time; none switches it off. The guard: the job was neither edited nor dispatched
    /// since it was read.
    pub async fn replan(
        &self,
        job: &PlannedJob,
        next_run_at: Option<Time>,
        now: DbTime,
    ) -> Result<Guarded> {
        run_on_either!(self.db.proved().await?, sql::REPLAN, |text, connection| async {
            let done = query(text)
                .bind(job.id)
                .bind(job.version)
                .bind(job.next_run_at)
                .bind(next_run_at)
                .bind(now)
                .execute(connection)
                .await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Corrects times of open rows that were written while the clock was ahead. Returns their number.
    pub async fn correct_future(&self, now: DbTime) -> Result<u64> {
        run_on_either!(self.db.proved().await?, sql::CORRECT_FUTURE, |text, connection| async {
            let done = query(text)
                .bind(now)
                .bind(now + AHEAD_MAX)
                .bind(now + LEASE_LEFT)
                .execute(connection)
                .await?;
            Ok(done.rows_affected())
        })
    }

    /// The database's time if it is known without asking: an SQLite file's, which is this machine's.
    pub fn time_on_this_machine(&self) -> Option<DbTime> {
        self.clock.on_this_machine(self.db.unproved())
    }
}
