//! The consumer's moves: claim, heartbeat, finish. The rescuer finishes for those who cannot.

use std::time::Duration;

use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, query, query_as};

use super::db::{Db, begin_immediate, run, run_on_either};
use super::dispatch::{column, json};
use super::error::Result;
use super::notify::{
    Tidings, read_standing_postgres, read_standing_sqlite, tell_postgres, tell_sqlite,
};
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

/// On what terms a worker claims.
#[derive(Clone, Debug)]
pub struct ClaimTerms {
    /// The worker's name, new at every start of a process.
    pub worker: String,
    /// The queues it takes from; a row of another one is refused.
    pub queues: Vec<String>,
    /// How long the worker may be silent.
    pub lease: Duration,
    /// The timeout of jobs that have none of their own.
    pub default_timeout: Duration,
}

/// A row that became this worker's.
#[derive(Clone, Debug, FromRow)]
pub struct Claim {
    /// The row.
    pub id: ExecutionId,
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub job_type: String,
    /// What the handler is given, as JSON text.
    pub payload: String,
    /// The occurrence.
    pub scheduled_for: Time,
    /// Which attempt at it.
    pub attempt: i32,
    /// When the claim was made.
    pub started_at: Time,
    /// Until when the worker may be silent.
    pub lease_until: Time,
    /// When the attempt times out.
    pub deadline_at: Time,
    max_attempts: i32,
    retry_base_seconds: i32,
    orphan_policy: OrphanPolicy,
    uncharged: i64,
    job_fails: bool,
}

impl Claim {
    /// Where its occurrence stands.
    pub fn attempts(&self) -> Attempts {
        Attempts {
            attempt: self.attempt,
            uncharged: self.uncharged as i32,
            max_attempts: self.max_attempts,
            retry_base_seconds: self.retry_base_seconds,
            orphan_policy: self.orphan_policy,
            job_fails: self.job_fails,
        }
    }
}

/// What a heartbeat brings back for one row.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Heartbeat {
    /// The row.
    pub id: ExecutionId,
    /// The renewed lease.
    pub lease_until: Time,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
}

/// The end of one running row.
#[derive(Clone, Debug)]
pub struct End {
    /// The row.
    pub id: ExecutionId,
    /// Who holds it; the guard.
    pub worker: String,
    /// What is written.
    pub ending: Ending,
    /// What the handler put out; what is none leaves what was kept while it ran.
    pub report: Report,
    /// The next attempt's row, if there is to be one.
    pub next: Option<NextRow>,
    /// What may have to be told of it.
    pub tidings: Option<Tidings>,
}

impl End {
    /// What follows from an outcome: the row's ending, and the next attempt's row if there is to
    /// be one.
    pub fn of(
        outcome: &Outcome,
        attempts: &Attempts,
        (id, worker): (ExecutionId, &str),
        now: Time,
        random: &Random,
    ) -> End {
        let next = next_attempt(outcome, attempts, random.unit()).map(|next| NextRow {
            id: ExecutionId::new(now, random),
            trigger: next.trigger,
            available_at: cut(now + delta(next.delay)),
        });
        let ending = outcome.ending();
        let event = match ending.status {
            Status::Failed if next.is_none() => Some(Event::Failed),
            Status::Success if attempts.job_fails => Some(Event::Recovered),
            _ => None,
        };
        let tidings = event.map(|event| Tidings { event, id: ExecutionId::new(now, random) });
        let (worker, report) = (worker.to_owned(), Report::default());
        End { id, worker, ending, report, next, tidings }
    }
}

/// The next attempt's row.
#[derive(Clone, Copy, Debug)]
pub struct NextRow {
    /// Its id.
    pub id: ExecutionId,
    /// Retry or rescue.
    pub trigger: Trigger,
    /// When it may be dispatched.
    pub available_at: Time,
}

/// A row whose end was written. One that is missing from the answer was no longer the worker's.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Ended {
    /// The row.
    pub id: ExecutionId,
    /// Whether the next attempt's row was born.
    pub followed: bool,
    /// Whether a row of the same job waits, or a notification, so that the producer should look.
    pub freed: bool,
}

/// A running row whose lease ended.
#[derive(Clone, Debug, FromRow)]
pub struct Expired {
    /// The row.
    pub id: ExecutionId,
    /// The job.
    pub job_id: JobId,
    /// Who held it.
    pub worker: String,
    /// Which attempt it was.
    pub attempt: i32,
    /// The occurrence.
    pub scheduled_for: Time,
    /// When it was claimed.
    pub started_at: Time,
    /// When its lease ended.
    pub lease_until: Time,
    /// When it was to time out.
    pub deadline_at: Time,
    /// The job's name; empty if it was deleted.
    pub name: String,
    max_attempts: i32,
    retry_base_seconds: i32,
    orphan_policy: OrphanPolicy,
    uncharged: i64,
}

impl Expired {
    /// Where its occurrence stands.
    pub fn attempts(&self) -> Attempts {
        Attempts {
            attempt: self.attempt,
            uncharged: self.uncharged as i32,
            max_attempts: self.max_attempts,
            retry_base_seconds: self.retry_base_seconds,
            orphan_policy: self.orphan_policy,
            job_fails: false, // only a success would ask
        }
    }
}

impl Store {
    /// Claims dispatched rows. Those missing from the answer are held by somebody else, over, or
    /// not for this worker: their messages have served.
    pub async fn claim(
        &self,
        ids: &[ExecutionId],
        terms: &ClaimTerms,
        now: Time,
    ) -> Result<Vec<Claim>> {
        let lease_until = now + delta(terms.lease);
        let default_timeout = terms.default_timeout.as_secs().min(i32::MAX as u64) as i32;
        match &self.db {
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

    /// Renews the worker's leases. Rows missing from the answer are no longer its own.
    pub async fn heartbeat(
        &self,
        ids: &[ExecutionId],
        worker: &str,
        lease: Duration,
        now: Time,
    ) -> Result<Vec<Heartbeat>> {
        let lease_until = now + delta(lease);
        match &self.db {
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

    /// Keeps what running handlers have put out so far. Rows that are no longer the worker's are
    /// left alone.
    pub async fn report(&self, reports: &[(ExecutionId, Report)], worker: &str) -> Result<()> {
        match &self.db {
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

    /// Writes the ends of running rows. `expired_before`, for the rescuer: only rows whose lease
    /// ended before it. Rows missing from the answer were somebody else's, or over.
    pub async fn finish(
        &self,
        ends: &[End],
        expired_before: Option<Time>,
        now: Time,
    ) -> Result<Vec<Ended>> {
        match &self.db {
            Db::Postgres(database) => run!(database, |connection| async {
                if ends.iter().all(|end| end.tidings.is_none()) {
                    return finish_postgres(connection, ends, expired_before, now).await;
                }
                // What is told is written with the end: the one move here that takes more than one
                // statement, so that ends which nobody is told of pay nothing for it.
                let mut transaction = connection.begin().await?;
                let mut ended =
                    finish_postgres(&mut transaction, ends, expired_before, now).await?;
                tell_of_ends(&mut transaction, ends, &mut ended, now).await?;
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
    pub async fn read_expired(&self, expired_before: Time, limit: i64) -> Result<Vec<Expired>> {
        run_on_either!(&self.db, sql::READ_EXPIRED, |text, connection| {
            query_as(text).bind(expired_before).bind(limit).fetch_all(connection)
        })
    }
}

/// The rows' ends and the next attempts' rows in PostgreSQL, in one statement.
async fn finish_postgres(
    connection: &mut sqlx::PgConnection,
    ends: &[End],
    expired_before: Option<Time>,
    now: Time,
) -> sqlx::Result<Vec<Ended>> {
    if expired_before.is_none() && ends.iter().all(|end| end.next.is_none()) {
        return ending(sql::FINISH_LAST.postgres, ends).bind(now).fetch_all(connection).await;
    }
    ending(sql::FINISH.postgres, ends)
        .bind(column(ends, |end| end.next.map(|next| next.id)))
        .bind(column(ends, |end| end.next.map(|next| next.trigger.word())))
        .bind(column(ends, |end| end.next.map(|next| next.available_at)))
        .bind(now)
        .bind(expired_before)
        .fetch_all(connection)
        .await
}

/// A statement that ends rows, with what it writes into them.
fn ending(
    text: &'static str,
    ends: &[End],
) -> QueryAs<'static, sqlx::Postgres, Ended, sqlx::postgres::PgArguments> {
    query_as(text)
        .bind(column(ends, |end| end.id))
        .bind(column(ends, |end| end.worker.clone()))
        .bind(column(ends, |end| end.ending.status.word()))
        .bind(column(ends, |end| end.ending.error_kind.map(ErrorKind::word)))
        .bind(column(ends, |end| end.ending.error_message.clone()))
        .bind(column(ends, |end| end.ending.error_detail.clone()))
        .bind(column(ends, |end| end.ending.result.as_ref().map(|r| r.to_string())))
        .bind(column(ends, |end| end.report.output.clone()))
        .bind(column(ends, |end| end.report.progress.as_ref().map(|p| p.to_string())))
}

/// Adds the notifications of what ended, within the transaction.
async fn tell_of_ends(
    transaction: &mut sqlx::PgConnection,
    ends: &[End],
    ended: &mut [Ended],
    now: Time,
) -> sqlx::Result<()> {
    let mut told = Vec::new();
    for (end, tidings) in ends.iter().filter_map(|end| Some((end, end.tidings?))) {
        let Some(at) = ended.iter().position(|ended| ended.id == end.id) else { continue };
        let standing = read_standing_postgres(&mut *transaction, None, Some(end.id)).await?;
        told.extend(standing.map(|standing| (standing, tidings, at)));
    }
    // In the order of their ids, as every batch locks jobs, so that no two can deadlock.
    told.sort_by_key(|(standing, ..)| standing.job_id);
    for (standing, tidings, at) in told {
        ended[at].freed |= tell_postgres(&mut *transaction, &standing, tidings, now).await?;
    }
    Ok(())
}

/// One row's end in SQLite, within the transaction.
async fn finish_in(
    transaction: &mut sqlx::SqliteConnection,
    end: &End,
    expired_before: Option<Time>,
    now: Time,
) -> sqlx::Result<Option<Ended>> {
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
    let Some((cancel_requested, freed)) = answer else { return Ok(None) };
    let mut followed = false;
    if let Some(next) = end.next.filter(|_| !cancel_requested) {
        let done = query(sql::INSERT_NEXT_ATTEMPT.sqlite)
            .bind(end.id)
            .bind(next.id)
            .bind(next.trigger)
            .bind(next.available_at)
            .execute(&mut *transaction)
            .await?;
        followed = done.rows_affected() > 0;
    }
    let mut freed = freed;
    if let Some(tidings) = end.tidings
        && let Some(standing) = read_standing_sqlite(&mut *transaction, None, Some(end.id)).await?
    {
        freed |= tell_sqlite(&mut *transaction, &standing, tidings, now).await?;
    }
    Ok(Some(Ended { id: end.id, followed, freed }))
}
