//! Notifications are inserted in the transaction that writes what they report.

use serde_json::Value;
use sqlx::{Connection, FromRow, query, query_as, query_scalar};

use super::db::{Db, begin_immediate, run, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::executions::not_a_whole_second;
use super::lagging_ids::raised;
use super::types::ClampedTime;
use super::{Store, sql};
use crate::clock::Time;
use crate::execution::ErrorKind;
use crate::id::{ExecutionId, JobId};
use crate::notification::{Event, JOB_TYPE, NOTIFIER, NotificationPayload, payload};

/// The maximum number of notifications of one tenant at one microsecond.
const AT_ONCE_MAX: i64 = 1000;

/// An event that may need a notification.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// What happened.
    pub event: Event,
    /// The id of the notification's row, if one is inserted.
    pub id: ExecutionId,
}

/// Whether an event led to a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Notified {
    /// A notification was inserted; the producer should poll now.
    Inserted,
    /// None was inserted: the job's state did not change, or neither job nor tenant has a target.
    NotNeeded,
}

/// An occurrence that has not started.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Unstarted {
    /// Its row.
    pub id: ExecutionId,
    /// Its job.
    pub job_id: JobId,
    /// When it was planned.
    #[sqlx(try_from = "ClampedTime")]
    pub scheduled_for: Time,
    /// How late the producer may see it before it is a misfire.
    pub misfire_grace_seconds: i32,
}

/// The state of a job that decides whether a notification is due.
#[derive(FromRow)]
pub(super) struct AlertState {
    pub(super) job_id: JobId,
    name: String,
    notify: Option<String>,
    failing_since: Option<Time>,
    late_since: Option<Time>,
    execution: Option<ExecutionId>,
    scheduled_for: Option<Time>,
    attempt: Option<i32>,
    error_kind: Option<ErrorKind>,
    error_message: Option<String>,
}

impl AlertState {
    fn payload(&self, event: Event, now: DbTime) -> NotificationPayload {
        let before = match event {
            Event::Failed | Event::Late => None,
            Event::Recovered => self.failing_since,
            Event::CaughtUp => self.late_since,
        };
        NotificationPayload {
            event,
            job: self.name.clone(),
            at: now.time(),
            since: before.unwrap_or(now.time()),
            execution: self.execution,
            scheduled_for: self.scheduled_for,
            attempt: self.attempt,
            error_kind: self.error_kind,
            error_message: self.error_message.clone(),
        }
    }

    /// The job's own target; the table has checked that it is JSON.
    fn notify(&self) -> Option<Value> {
        self.notify.as_deref().map(|text| serde_json::from_str(text).unwrap_or_default())
    }
}

/// The statement that records the event at the job, and the time that it writes.
fn mark(event: Event, now: DbTime) -> (sql::Sql, Option<DbTime>) {
    match event {
        Event::Failed => (sql::MARK_FAILING, Some(now)),
        Event::Recovered => (sql::MARK_FAILING, None),
        Event::Late => (sql::MARK_LATE, Some(now)),
        Event::CaughtUp => (sql::MARK_LATE, None),
    }
}

/// The same for both databases, whose connections are different types in sqlx.
macro_rules! for_database {
    ($read_alert_state:ident, $notify:ident, $kind:ident, $connection:ty) => {
        pub(super) async fn $read_alert_state(
            connection: &mut $connection,
            job: Option<JobId>,
            execution: Option<ExecutionId>,
        ) -> sqlx::Result<Option<AlertState>> {
            let text = sql::READ_ALERT_STATE.$kind;
            query_as(text).bind(job).bind(execution).fetch_optional(connection).await
        }

        /// Within a transaction: records the event at the job and, if that changed anything and the job
        /// or its tenant has a target, inserts the notification.
        pub(super) async fn $notify(
            connection: &mut $connection,
            state: &AlertState,
            notification: Notification,
            now: DbTime,
        ) -> sqlx::Result<Notified> {
            let (statement, since) = mark(notification.event, now);
            let marking = query(statement.$kind).bind(state.job_id).bind(since);
            if marking.execute(&mut *connection).await?.rows_affected() == 0 {
                return Ok(Notified::NotNeeded);
            }
            let own = state.notify();
            let notifier = query_as(sql::FIND_NOTIFIER.$kind).bind(NOTIFIER);
            let mut notifier: Option<(JobId, String)> =
                notifier.fetch_optional(&mut *connection).await?;
            let of_tenant = notifier.as_ref().map(|(_, payload)| payload.as_str());
            let of_tenant = serde_json::from_str(of_tenant.unwrap_or("{}")).unwrap_or_default();
            let event_payload = state.payload(notification.event, now);
            let Some(payload) = payload(own.as_ref(), &of_tenant, &event_payload) else {
                return Ok(Notified::NotNeeded);
            };
            if notifier.is_none() {
                query(sql::INSERT_NOTIFIER.$kind)
                    .bind(NOTIFIER)
                    .bind(JOB_TYPE)
                    .execute(&mut *connection)
                    .await?;
                let again = query_as(sql::FIND_NOTIFIER.$kind).bind(NOTIFIER);
                notifier = again.fetch_optional(&mut *connection).await?;
            }
            let Some((notifier, _)) = notifier else { return Ok(Notified::NotNeeded) };
            let first = not_a_whole_second(now);
            for n in 0..AT_ONCE_MAX {
                let at = first + chrono::TimeDelta::microseconds(n);
                let inserting = query(sql::INSERT_NOTIFICATION.$kind)
                    .bind(notification.id)
                    .bind(notifier)
                    .bind(at)
                    .bind(&payload);
                if inserting.execute(&mut *connection).await?.rows_affected() > 0 {
                    return Ok(Notified::Inserted);
                }
            }
            Ok(Notified::NotNeeded)
        }
    };
}

for_database!(read_alert_state_postgres, notify_postgres, postgres, sqlx::PgConnection);
for_database!(read_alert_state_sqlite, notify_sqlite, sqlite, sqlx::SqliteConnection);

impl Store {
    /// Scheduled occurrences before `before` that have not started, the oldest `limit`.
    pub async fn read_unstarted(&self, before: DbTime, limit: i64) -> Result<Vec<Unstarted>> {
        run_on_either!(self.db.proved().await?, sql::READ_UNSTARTED, |text, connection| {
            query_as(text).bind(before).bind(limit).fetch_all(connection)
        })
    }

    /// Jobs that are marked as late.
    pub async fn list_late(&self) -> Result<Vec<JobId>> {
        run_on_either!(self.db.proved().await?, sql::LIST_LATE, |text, connection| {
            query_scalar(text).fetch_all(connection)
        })
    }

    /// Marks a job as late, as this execution shows, or as caught up, and inserts the notification if
    /// one is needed. Does nothing while another session has locked the job's row.
    pub async fn notify(
        &self,
        job: JobId,
        execution: Option<ExecutionId>,
        notification: Notification,
        now: DbTime,
    ) -> Result<Notified> {
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| async {
                let mut transaction = connection.begin().await?;
                let locked: Option<JobId> = query_scalar(sql::LOCK_JOB.postgres)
                    .bind(job)
                    .fetch_optional(&mut *transaction)
                    .await?;
                if locked.is_none() {
                    return Ok(Notified::NotNeeded); // another check follows
                }
                let state =
                    read_alert_state_postgres(&mut transaction, Some(job), execution).await?;
                let notified = match state {
                    Some(state) => {
                        notify_postgres(&mut transaction, &state, notification, now).await?
                    }
                    None => Notified::NotNeeded,
                };
                transaction.commit().await?;
                Ok(notified)
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let state = read_alert_state_sqlite(&mut transaction, Some(job), execution).await?;
                let notified = match state {
                    Some(state) => {
                        notify_sqlite(&mut transaction, &state, notification, now).await?
                    }
                    None => Notified::NotNeeded,
                };
                transaction.commit().await?;
                Ok(notified)
            }),
        }
    }

    /// Adds the job whose executions are notifications, if it does not exist.
    pub async fn insert_notifier(&self) -> Result<()> {
        let db = self.db.proved().await?;
        let inserted = self.try_insert_notifier(db).await;
        match raised(db, sql::RAISE_JOB_IDS, inserted.as_ref().err()).await {
            true => self.try_insert_notifier(db).await,
            false => inserted,
        }
    }

    async fn try_insert_notifier(&self, db: &Db) -> Result<()> {
        run_on_either!(db, sql::INSERT_NOTIFIER, |text, connection| async {
            query(text).bind(NOTIFIER).bind(JOB_TYPE).execute(connection).await?;
            Ok(())
        })
    }
}
