//! The producer's transitions: poll, arm, dispatch. `sweep.rs` follows up on the messages.

use sqlx::postgres::PgConnection;
use sqlx::query::QueryAs;
use sqlx::{FromRow, query, query_as, query_scalar};

use super::ascii::{in_ascii, lacks_a_character};
use super::db::{Db, begin_immediate, column, run, run_on_either};
use super::db_time::DbTime;
use super::error::{Result, StoreError};
use super::guarded::Guarded;
use super::pool::Database;
use super::types::{ClampedTime, Lossy};
use super::{Store, sql};
use crate::clock::Time;
use crate::execution::{ErrorKind, Status};
use crate::id::{ExecutionId, JobId, TenantId};
use crate::job::{MisfirePolicy, OverlapPolicy};

/// A due job whose misfire grace is shorter than this, in seconds, is never held: otherwise waiting for a
/// queue's capacity could make it a misfire.
pub const HOLD_GRACE_SECONDS: i32 = 60;

/// A summary of a tenant's due jobs and open rows.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct PollSummary {
    /// The tenant whose id the database holds.
    pub tenant_id: TenantId,
    /// The number of dispatches so far, which the next dispatch compares.
    pub dispatch_no: i64,
    /// How many rows may be claimed.
    pub dispatched: i64,
    /// How many rows a worker holds.
    pub running: i64,
    /// How many occurrences wait for their turn.
    pub waiting: i64,
    /// When the first retry or manual run is due.
    #[sqlx(try_from = "ClampedTime")]
    pub next_available_at: Option<Time>,
    /// When the first lease ends.
    #[sqlx(try_from = "ClampedTime")]
    pub next_lease_until: Option<Time>,
    /// The time of the oldest dispatch whose message was never confirmed.
    #[sqlx(try_from = "ClampedTime")]
    pub unconfirmed_since: Option<Time>,
    /// The time of the oldest publish whose row has not been claimed.
    #[sqlx(try_from = "ClampedTime")]
    pub published_since: Option<Time>,
    /// When the first job is due.
    #[sqlx(try_from = "ClampedTime")]
    pub next_due_at: Option<Time>,
    /// Whether some job's next time must be computed.
    pub has_unarmed: bool,
}

impl PollSummary {
    /// Whether rows are dispatched, or wait for their turn.
    pub fn is_in_progress(&self) -> bool {
        self.dispatched > 0 || self.waiting > 0
    }
}

/// A job whose next time has not been computed.
#[derive(Clone, Debug, FromRow)]
pub struct UnarmedJob {
    /// The job.
    pub id: JobId,
    /// Its version when it was read.
    pub version: i32,
    /// Its schedule, as JSON text that has not been validated.
    pub schedule: String,
}

/// A job's first time under its present schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The job.
    pub job: JobId,
    /// Its version when it was read.
    pub version: i32,
    /// Its first time.
    pub next_run_at: Time,
}

/// A job that is due.
#[derive(Clone, Debug, FromRow)]
pub struct DueJob {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub job_type: String,
    /// The queue that its executions are published to.
    pub queue: String,
    /// Its version when it was read.
    pub version: i32,
    /// The occurrence that is due.
    pub next_run_at: Time,
    /// Its schedule, as JSON text that has not been validated since the job was armed.
    pub schedule: String,
    /// What happens to occurrences that the producer sees too late.
    pub misfire_policy: MisfirePolicy,
    /// How late the producer may see an occurrence before it is a misfire.
    pub misfire_grace_seconds: i32,
    /// What happens to an occurrence whose predecessor has not finished.
    pub overlap_policy: OverlapPolicy,
    /// How many of its rows are not final.
    pub open: i64,
    /// How many of those are occurrences that wait for their turn.
    pub waiting: i64,
    /// If it is not before `next_run_at`: the occurrences up to this one have rows already, and somebody has
    /// written a `next_run_at` of the past, as an ORM does that writes all columns of a row it read before.
    #[sqlx(try_from = "ClampedTime")]
    pub over_until: Time,
}

/// A row that may be dispatched, with the content of its message.
#[derive(Clone, Debug, FromRow)]
pub struct Ready {
    /// The row.
    pub id: ExecutionId,
    /// Its occurrence.
    #[sqlx(try_from = "ClampedTime")]
    pub scheduled_for: Time,
    /// Which attempt it is.
    pub attempt: i32,
    /// The job's name.
    #[sqlx(try_from = "Lossy")]
    pub name: String,
    /// The job's type.
    #[sqlx(try_from = "Lossy")]
    pub job_type: String,
    /// The queue that it is published to.
    #[sqlx(try_from = "Lossy")]
    pub queue: String,
}

/// The changes of one dispatch.
#[derive(Clone, Debug, Default)]
pub struct Dispatch {
    /// The jobs that advance to their next occurrence.
    pub advances: Vec<Advance>,
    /// The occurrences' rows.
    pub executions: Vec<NewExecution>,
    /// The waiting rows whose time or turn has come.
    pub released: Vec<ExecutionId>,
}

/// A job's step to its next occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The job.
    pub job: JobId,
    /// Its version when it was read.
    pub version: i32,
    /// The occurrence that was due when it was read.
    pub due_at: Time,
    /// The next occurrence. If there is none, the schedule is exhausted and the job is disabled.
    pub next_run_at: Option<Time>,
}

/// An occurrence's first row: dispatched, waiting (scheduled) or skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewExecution {
    /// The row's id.
    pub id: ExecutionId,
    /// The job; the row is only inserted if the job advances.
    pub job: JobId,
    /// The occurrence.
    pub scheduled_for: Time,
    /// Its status: dispatched, scheduled or skipped.
    pub status: Status,
    /// How many occurrences the row accounts for.
    pub stands_for: i32,
    /// Why it is skipped.
    pub error_kind: Option<ErrorKind>,
    /// The reason in a sentence.
    pub error_message: Option<String>,
}

/// The outcome of a dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Dispatched {
    /// It was carried out. The messages of these rows may be published.
    Done(Vec<ExecutionId>),
    /// Another producer has dispatched since the poll: poll again.
    Stale,
    /// No row was changed: other sessions have locked the rows, or edited the jobs. Jobs whose rows stay
    /// locked are left out of [`Store::read_due`] for a moment.
    Nothing,
}

impl Store {
    /// Polls: returns a summary of the due jobs and open rows.
    pub async fn poll(&self) -> Result<PollSummary> {
        let summary: Option<PollSummary> =
            run_on_either!(self.db.proved().await?, sql::POLL, |text, connection| {
                query_as(text).fetch_optional(connection)
            })?;
        // The database's owner may have changed since it was checked.
        let summary = summary.ok_or(StoreError::Unowned)?;
        if summary.tenant_id == self.db.tenant() {
            Ok(summary)
        } else {
            Err(StoreError::Owned(summary.tenant_id))
        }
    }

    /// Jobs whose next time must be computed.
    pub async fn read_unarmed(&self, limit: i64) -> Result<Vec<UnarmedJob>> {
        let rows = match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| {
                query_as(sql::READ_UNARMED.postgres)
                    .bind(limit)
                    .bind(self.locked_jobs.left_out(database.boot_time()))
                    .fetch_all(connection)
            })?,
            Db::Sqlite(database) => run!(database, |connection| {
                query_as(sql::READ_UNARMED.sqlite).bind(limit).fetch_all(connection)
            })?,
        };
        self.readable(rows).await
    }

    /// Sets the first times of jobs, computed from `since`, and returns how many it has set. Jobs that were
    /// edited meanwhile are not changed, nor those whose rows another session has locked.
    pub async fn arm(&self, arms: &[Arm], since: DbTime) -> Result<usize> {
        match self.db.proved().await? {
            Db::Postgres(database) => {
                let armed: Vec<JobId> = run!(database, |connection| {
                    query_scalar(sql::ARM.postgres)
                        .bind(column(arms, |arm| arm.job))
                        .bind(column(arms, |arm| arm.version))
                        .bind(column(arms, |arm| arm.next_run_at))
                        .bind(since)
                        .fetch_all(connection)
                })?;
                let left = arms.iter().map(|arm| arm.job).filter(|job| !armed.contains(job));
                self.note_locked(database, left.collect()).await;
                Ok(armed.len())
            }
            Db::Sqlite(database) => run!(database, |connection| async {
                let (mut transaction, mut armed) = (begin_immediate(connection).await?, 0);
                for arm in arms {
                    let arming = query(sql::ARM.sqlite)
                        .bind(arm.job)
                        .bind(arm.version)
                        .bind(arm.next_run_at)
                        .bind(since);
                    armed += arming.execute(&mut *transaction).await?.rows_affected();
                }
                transaction.commit().await?;
                Ok(armed as usize)
            }),
        }
    }

    /// Excludes a job from the due query until its schedule is edited. The guard: it still has this
    /// version.
    pub async fn quarantine(&self, job: JobId, version: i32, reason: &str) -> Result<Guarded> {
        match self.try_quarantine(job, version, reason).await {
            Err(error) if lacks_a_character(&error) => {
                self.try_quarantine(job, version, &in_ascii(reason)).await
            }
            done => done,
        }
    }

    async fn try_quarantine(&self, job: JobId, version: i32, reason: &str) -> Result<Guarded> {
        run_on_either!(self.db.proved().await?, sql::QUARANTINE, |text, connection| async {
            let done = query(text).bind(job).bind(version).bind(reason).execute(connection).await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Due jobs, oldest first: those whose queues are in `with_capacity`, and those that must not be held any
    /// longer, because they were due at `seen_by` already or have little misfire grace. Jobs whose rows were
    /// locked a moment ago are left out, so that they do not fill the batch.
    pub async fn read_due(
        &self,
        now: DbTime,
        seen_by: DbTime,
        with_capacity: &[String],
        limit: i64,
    ) -> Result<Vec<DueJob>> {
        let with_capacity = listed(with_capacity);
        let rows = match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| {
                query_as(sql::READ_DUE.postgres)
                    .bind(now)
                    .bind(seen_by)
                    .bind(&with_capacity)
                    .bind(limit)
                    .bind(HOLD_GRACE_SECONDS)
                    .bind(self.locked_jobs.left_out(database.boot_time()))
                    .fetch_all(connection)
            })?,
            Db::Sqlite(database) => run!(database, |connection| {
                query_as(sql::READ_DUE.sqlite)
                    .bind(now)
                    .bind(seen_by)
                    .bind(&with_capacity)
                    .bind(limit)
                    .bind(HOLD_GRACE_SECONDS)
                    .fetch_all(connection)
            })?,
        };
        self.readable(rows).await
    }

    /// Scheduled rows whose time or turn has come and whose queues are in `with_capacity`.
    pub async fn read_waiting(
        &self,
        now: DbTime,
        with_capacity: &[String],
        limit: i64,
    ) -> Result<Vec<Ready>> {
        let with_capacity = listed(with_capacity);
        run_on_either!(self.db.proved().await?, sql::READ_WAITING, |text, connection| {
            query_as(text).bind(now).bind(&with_capacity).bind(limit).fetch_all(connection)
        })
    }

    /// Carries out a dispatch, all or nothing, if no other has been carried out since `dispatch_no` was read.
    pub async fn dispatch(
        &self,
        dispatch: &Dispatch,
        dispatch_no: i64,
        now: DbTime,
    ) -> Result<Dispatched> {
        match self.db.proved().await? {
            Db::Postgres(database) if self.locked_jobs.are_skipped(database.boot_time()) => {
                self.dispatch_unlocked(database, dispatch, dispatch_no, now).await
            }
            Db::Postgres(database) => {
                let rows: Result<Vec<Moved>> = run!(database, |connection| {
                    dispatching(sql::DISPATCH.postgres, dispatch, dispatch_no, now)
                        .fetch_all(connection)
                });
                match rows {
                    Ok(rows) if rows.is_empty() => Ok(Dispatched::Stale),
                    Ok(rows) => {
                        Ok(Dispatched::Done(rows.into_iter().filter_map(|(id, _)| id).collect()))
                    }
                    // Most probably some row is locked. Nothing was written.
                    Err(StoreError::Conflict(_)) => {
                        self.locked_jobs.skip(database.boot_time());
                        self.dispatch_unlocked(database, dispatch, dispatch_no, now).await
                    }
                    Err(error) => Err(error),
                }
            }
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let dispatched = dispatch_in(&mut transaction, dispatch, dispatch_no, now).await?;
                transaction.commit().await?;
                Ok(dispatched)
            }),
        }
    }
}

/// A row of a dispatch's answer: an execution to publish, or a job that did not move.
type Moved = (Option<ExecutionId>, Option<JobId>);

/// A statement that dispatches, with its parameters.
fn dispatching<'q>(
    text: &'static str,
    dispatch: &'q Dispatch,
    dispatch_no: i64,
    now: DbTime,
) -> QueryAs<'q, sqlx::Postgres, Moved, sqlx::postgres::PgArguments> {
    let Dispatch { advances, executions, released } = dispatch;
    query_as(text)
        .bind(dispatch_no)
        .bind(now)
        .bind(column(advances, |advance| advance.job))
        .bind(column(advances, |advance| advance.version))
        .bind(column(advances, |advance| advance.due_at))
        .bind(column(advances, |advance| advance.next_run_at))
        .bind(column(executions, |row| row.id))
        .bind(column(executions, |row| row.job))
        .bind(column(executions, |row| row.scheduled_for))
        .bind(column(executions, |row| row.status.as_str()))
        .bind(column(executions, |row| row.stands_for))
        .bind(column(executions, |row| row.error_kind.map(ErrorKind::as_str)))
        .bind(column(executions, |row| row.error_message.clone()))
        .bind(released)
}

impl Store {
    /// Dispatches what no other session has locked.
    async fn dispatch_unlocked(
        &self,
        database: &Database<PgConnection>,
        dispatch: &Dispatch,
        dispatch_no: i64,
        now: DbTime,
    ) -> Result<Dispatched> {
        let rows: Vec<Moved> = run!(database, |connection| {
            dispatching(sql::DISPATCH_UNLOCKED.postgres, dispatch, dispatch_no, now)
                .fetch_all(connection)
        })?;
        if rows.is_empty() {
            return Ok(Dispatched::Stale);
        }
        let ready: Vec<ExecutionId> = rows.iter().filter_map(|(id, _)| *id).collect();
        let unmoved: Vec<JobId> = rows.iter().filter_map(|(_, job)| *job).collect();
        let is_unchanged = ready.is_empty() && unmoved.len() == dispatch.advances.len();
        self.note_locked(database, unmoved).await;
        Ok(if is_unchanged { Dispatched::Nothing } else { Dispatched::Done(ready) })
    }
}

/// The dispatch in SQLite, within its transaction. Rows of jobs that did not advance are not inserted;
/// PostgreSQL's single statement achieves this by a join.
async fn dispatch_in(
    transaction: &mut sqlx::SqliteConnection,
    dispatch: &Dispatch,
    dispatch_no: i64,
    now: DbTime,
) -> sqlx::Result<Dispatched> {
    let turn = query(sql::TAKE_TURN.sqlite).bind(dispatch_no).execute(&mut *transaction).await?;
    if turn.rows_affected() == 0 {
        return Ok(Dispatched::Stale);
    }
    let mut advanced = std::collections::HashSet::new();
    for advance in &dispatch.advances {
        let done = query(sql::ADVANCE.sqlite)
            .bind(advance.job)
            .bind(advance.version)
            .bind(advance.due_at)
            .bind(advance.next_run_at)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() > 0 {
            advanced.insert(advance.job);
        }
    }
    let mut ready = Vec::new();
    for row in dispatch.executions.iter().filter(|row| advanced.contains(&row.job)) {
        let done = query(sql::INSERT_OCCURRENCE.sqlite)
            .bind(now)
            .bind(row.id)
            .bind(row.job)
            .bind(row.scheduled_for)
            .bind(row.status)
            .bind(row.stands_for)
            .bind(row.error_kind)
            .bind(&row.error_message)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() > 0 && row.status == Status::Dispatched {
            ready.push(row.id);
        }
    }
    for id in &dispatch.released {
        let statement = query(sql::RELEASE_WAITING.sqlite).bind(id).bind(now);
        if statement.execute(&mut *transaction).await?.rows_affected() > 0 {
            ready.push(*id);
        }
    }
    Ok(match advanced.is_empty() && ready.is_empty() {
        true => Dispatched::Nothing,
        false => Dispatched::Done(ready),
    })
}

/// Names in the form that `read_due.sql` expects: `,a,b,`.
fn listed(names: &[String]) -> String {
    names.iter().fold(String::from(","), |list, name| list + name + ",")
}
