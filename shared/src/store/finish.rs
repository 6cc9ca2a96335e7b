//! Finishes running rows and inserts their next attempts: for the worker that holds them, or for the
//! rescuer once their lease has ended.

use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, query, query_as};

use super::ascii::{in_ascii, json_in_ascii, lacks_a_character};
use super::db::{Db, begin_immediate, column, run, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::lagging_ids::raised;
use super::notifications::{
    Notification, Notified, notify_postgres, notify_sqlite, read_alert_state_postgres,
    read_alert_state_sqlite,
};
use super::types::{ClampedTime, Lossy, PolicyOrFail};
use super::{Store, sql};
use crate::clock::{Time, cut, delta};
use crate::execution::{ErrorKind, Status, Trigger};
use crate::id::{ExecutionId, JobId};
use crate::job::OrphanPolicy;
use crate::notification::Event;
use crate::outcome::{Ending, Outcome};
use crate::output::Report;
use crate::random::Random;
use crate::retry::{Attempts, next_attempt};

/// The end of one running row.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The row.
    pub id: ExecutionId,
    /// The worker that holds it; the guard.
    pub worker: String,
    /// The values that are written.
    pub ending: Ending,
    /// The handler's output and progress; `None` keeps what was reported while it ran.
    pub report: Report,
    /// The next attempt's row, if another attempt follows.
    pub next: Option<NextRow>,
    /// The notification that it may need.
    pub notification: Option<Notification>,
}

impl Finish {
    /// The finish that follows from an outcome, with the next attempt if there is one.
    pub fn of(
        outcome: &Outcome,
        attempts: &Attempts,
        (id, worker): (ExecutionId, &str),
        now: DbTime,
        random: &Random,
    ) -> Finish {
        let next = next_attempt(outcome, attempts, random.unit()).map(|next| NextRow {
            id: ExecutionId::new(now.time(), random),
            trigger: next.trigger,
            available_at: cut(now.time() + delta(next.delay)),
        });
        let ending = outcome.ending();
        let event = match ending.status {
            Status::Failed if next.is_none() => Some(Event::Failed),
            Status::Success if attempts.job_is_failing => Some(Event::Recovered),
            _ => None,
        };
        let notification =
            event.map(|event| Notification { event, id: ExecutionId::new(now.time(), random) });
        let (worker, report) = (worker.to_owned(), Report::default());
        Finish { id, worker, ending, report, next, notification }
    }
}

impl Finish {
    /// The same in ASCII.
    fn in_ascii(&self) -> Finish {
        let mut finish = self.clone();
        let ending = &mut finish.ending;
        ending.error_message = ending.error_message.as_deref().map(in_ascii);
        ending.error_detail = ending.error_detail.as_deref().map(in_ascii);
        ending.result = ending.result.as_ref().map(json_in_ascii);
        finish.report = self.report.in_ascii();
        finish
    }
}

/// The next attempt's row.
#[derive(Clone, Copy, Debug)]
pub struct NextRow {
    /// Its id.
    pub id: ExecutionId,
    /// Why it is created: retry or rescue.
    pub trigger: Trigger,
    /// When it may be dispatched.
    pub available_at: Time,
}

/// A row that was finished. Rows missing from the result were no longer the worker's.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Finished {
    /// The row.
    pub id: ExecutionId,
    /// Whether the next attempt's row was inserted.
    pub has_next_attempt: bool,
    /// Whether the producer should poll now, because a row of the same job or a notification waits.
    pub needs_poll: bool,
}

/// A running row whose lease ended.
#[derive(Clone, Debug, FromRow)]
pub struct Expired {
    /// The row.
    pub id: ExecutionId,
    /// The job.
    pub job_id: JobId,
    /// The worker that held it.
    #[sqlx(try_from = "Lossy")]
    pub worker: String,
    /// The number of the attempt.
    pub attempt: i32,
    /// The occurrence.
    #[sqlx(try_from = "ClampedTime")]
    pub scheduled_for: Time,
    /// When it was claimed.
    #[sqlx(try_from = "ClampedTime")]
    pub started_at: Time,
    /// When its lease ended.
    #[sqlx(try_from = "ClampedTime")]
    pub lease_until: Time,
    /// When it would have timed out.
    #[sqlx(try_from = "ClampedTime")]
    pub deadline_at: Time,
    /// The job's name; empty if it was deleted.
    #[sqlx(try_from = "Lossy")]
    pub name: String,
    max_attempts: i32,
    retry_base_seconds: i32,
    #[sqlx(try_from = "PolicyOrFail")]
    orphan_policy: OrphanPolicy,
    uncharged: i64,
}

impl Expired {
    /// The facts that decide about the next attempt.
    pub fn attempts(&self) -> Attempts {
        Attempts {
            attempt: self.attempt,
            uncharged: self.uncharged as i32,
            max_attempts: self.max_attempts,
            retry_base_seconds: self.retry_base_seconds,
            orphan_policy: self.orphan_policy,
            job_is_failing: false, // only read after a success
        }
    }
}

impl Store {
    /// Finishes running rows for the worker that holds them. Rows missing from the result were another
    /// worker's, or final.
    pub async fn finish(&self, ends: &[Finish], now: DbTime) -> Result<Vec<Finished>> {
        self.finish_if(ends, None, now).await
    }

    /// Finishes running rows for the rescuer: only those whose leases ended before `expired_before`.
    pub async fn finish_expired(
        &self,
        ends: &[Finish],
        expired_before: DbTime,
        now: DbTime,
    ) -> Result<Vec<Finished>> {
        self.finish_if(ends, Some(expired_before), now).await
    }

    async fn finish_if(
        &self,
        ends: &[Finish],
        expired_before: Option<DbTime>,
        now: DbTime,
    ) -> Result<Vec<Finished>> {
        // A notification may insert the job that sends it.
        let db = self.db.proved().await?;
        let mut finished = self.try_finish(ends, expired_before, now).await;
        if raised(db, sql::RAISE_JOB_IDS, finished.as_ref().err()).await {
            finished = self.try_finish(ends, expired_before, now).await;
        }
        match (ends, finished) {
            // Callers repeat a batch that is refused one by one.
            ([end], Err(error)) if lacks_a_character(&error) => {
                self.try_finish(&[end.in_ascii()], expired_before, now).await
            }
            (_, finished) => finished,
        }
    }

    async fn try_finish(
        &self,
        ends: &[Finish],
        expired_before: Option<DbTime>,
        now: DbTime,
    ) -> Result<Vec<Finished>> {
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| async {
                if ends.iter().all(|end| end.notification.is_none()) {
                    return finish_postgres(connection, ends, expired_before, now).await;
                }
                // The only transition that needs several statements: notifications are inserted with the
                // result, and results without one keep the single statement.
                let mut transaction = connection.begin().await?;
                let mut ended =
                    finish_postgres(&mut transaction, ends, expired_before, now).await?;
                notify_of_ends(&mut transaction, ends, &mut ended, now).await?;
                transaction.commit().await?;
                Ok(ended)
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let mut ended = Vec::new();
                for end in ends {
                    ended.extend(finish_in(&mut transaction, end, expired_before, now).await?);
                }
                transaction.commit().await?;
                Ok(ended)
            }),
        }
    }

    /// Running rows whose lease ended before `expired_before`.
    pub async fn read_expired(&self, expired_before: DbTime, limit: i64) -> Result<Vec<Expired>> {
        run_on_either!(self.db.proved().await?, sql::READ_EXPIRED, |text, connection| {
            query_as(text).bind(expired_before).bind(limit).fetch_all(connection)
        })
    }
}

/// Writes the results and the next attempts' rows in PostgreSQL, in one statement.
async fn finish_postgres(
    connection: &mut sqlx::PgConnection,
    ends: &[Finish],
    expired_before: Option<DbTime>,
    now: DbTime,
) -> sqlx::Result<Vec<Finished>> {
    let mut ends: Vec<&Finish> = ends.iter().collect();
    // All batches update rows in this order, which rules out deadlocks.
    ends.sort_by_key(|end| end.id);
    if expired_before.is_none() && ends.iter().all(|end| end.next.is_none()) {
        return ending(sql::FINISH_LAST.postgres, &ends).bind(now).fetch_all(connection).await;
    }
    ending(sql::FINISH.postgres, &ends)
        .bind(column(&ends, |end| end.next.map(|next| next.id)))
        .bind(column(&ends, |end| end.next.map(|next| next.trigger.as_str())))
        .bind(column(&ends, |end| end.next.map(|next| next.available_at)))
        .bind(now)
        .bind(expired_before)
        .fetch_all(connection)
        .await
}

/// A statement that finishes rows, with the parameters that both such statements have.
fn ending(
    text: &'static str,
    ends: &[&Finish],
) -> QueryAs<'static, sqlx::Postgres, Finished, sqlx::postgres::PgArguments> {
    query_as(text)
        .bind(column(ends, |end| end.id))
        .bind(column(ends, |end| end.worker.clone()))
        .bind(column(ends, |end| end.ending.status.as_str()))
        .bind(column(ends, |end| end.ending.error_kind.map(ErrorKind::as_str)))
        .bind(column(ends, |end| end.ending.error_message.clone()))
        .bind(column(ends, |end| end.ending.error_detail.clone()))
        .bind(column(ends, |end| end.ending.result.as_ref().map(|r| r.to_string())))
        .bind(column(ends, |end| end.report.output.clone()))
        .bind(column(ends, |end| end.report.progress.as_ref().map(|p| p.to_string())))
}

/// Inserts the notifications of finished rows, within the transaction.
async fn notify_of_ends(
    transaction: &mut sqlx::PgConnection,
    ends: &[Finish],
    ended: &mut [Finished],
    now: DbTime,
) -> sqlx::Result<()> {
    let mut pending = Vec::new();
    for (end, notification) in ends.iter().filter_map(|end| Some((end, end.notification?))) {
        let Some(at) = ended.iter().position(|ended| ended.id == end.id) else { continue };
        let state = read_alert_state_postgres(&mut *transaction, None, Some(end.id)).await?;
        pending.extend(state.map(|state| (state, notification, at)));
    }
    // By job id, the order in which every batch locks jobs: two batches cannot deadlock.
    pending.sort_by_key(|(state, ..)| state.job_id);
    for (state, notification, at) in pending {
        ended[at].needs_poll |= notify_postgres(&mut *transaction, &state, notification, now)
            .await?
            == Notified::Inserted;
    }
    Ok(())
}

/// Finishes one row in SQLite, within the transaction.
async fn finish_in(
    transaction: &mut sqlx::SqliteConnection,
    end: &Finish,
    expired_before: Option<DbTime>,
    now: DbTime,
) -> sqlx::Result<Option<Finished>> {
    let answer: Option<(bool, bool)> = query_as(sql::FINISH.sqlite)
        .bind(end.id)
        .bind(&end.worker)
        .bind(end.ending.status)
        .bind(end.ending.error_kind)
        .bind(&end.ending.error_message)
        .bind(&end.ending.error_detail)
        .bind(&end.ending.result)
        .bind(&end.report.output)
        .bind(&end.report.progress)
        .bind(now)
        .bind(expired_before)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some((cancel_requested, mut needs_poll)) = answer else { return Ok(None) };
    let mut has_next_attempt = false;
    if let Some(next) = end.next.filter(|_| !cancel_requested) {
        let done = query(sql::INSERT_NEXT_ATTEMPT.sqlite)
            .bind(end.id)
            .bind(next.id)
            .bind(next.trigger)
            .bind(next.available_at)
            .execute(&mut *transaction)
            .await?;
        has_next_attempt = done.rows_affected() > 0;
    }
    if let Some(notification) = end.notification
        && let Some(state) = read_alert_state_sqlite(&mut *transaction, None, Some(end.id)).await?
    {
        needs_poll |= notify_sqlite(&mut *transaction, &state, notification, now).await?
            == Notified::Inserted;
    }
    Ok(Some(Finished { id: end.id, has_next_attempt, needs_poll }))
}
