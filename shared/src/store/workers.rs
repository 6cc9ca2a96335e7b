//! Workers: the consumer processes that the control database lists while they renew their entries.

use serde::Serialize;
use sqlx::{FromRow, query, query_as};

use super::control::Control;
use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::sql;
use crate::clock::Time;

/// A consumer process.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Worker {
    /// New at every start.
    pub name: String,
    /// Where it runs.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// The program's version.
    pub version: String,
    /// The queues it takes from.
    #[sqlx(json)]
    pub queues: Vec<String>,
    /// The job types it knows.
    #[sqlx(json)]
    pub job_types: Vec<String>,
    /// The most executions it runs at once.
    pub slots: i32,
    /// How many it runs.
    pub running: i32,
    /// Since when.
    pub started_at: Time,
    /// When it was last heard of.
    pub seen_at: Time,
}

impl Control {
    /// A consumer process says that it lives, and what it offers.
    pub async fn register_worker(&self, worker: &Worker) -> Result<()> {
        let (queues, job_types) =
            (sqlx::types::Json(&worker.queues), sqlx::types::Json(&worker.job_types));
        run_on_either!(&self.db, sql::REGISTER_WORKER, |text, connection| async {
            query(text)
                .bind(&worker.name)
                .bind(&worker.host)
                .bind(worker.pid)
                .bind(&worker.version)
                .bind(queues)
                .bind(job_types)
                .bind(worker.slots)
                .bind(worker.running)
                .bind(worker.seen_at)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// A consumer process says goodbye; those not seen since `forget_before` are forgotten, too.
    pub async fn unregister_worker(&self, name: &str, forget_before: DbTime) -> Result<()> {
        run_on_either!(&self.db, sql::UNREGISTER_WORKER, |text, connection| async {
            query(text).bind(name).bind(forget_before).execute(connection).await?;
            Ok(())
        })
    }

    /// The consumer processes heard of since `seen_since`.
    pub async fn list_workers(&self, seen_since: DbTime) -> Result<Vec<Worker>> {
        run_on_either!(&self.db, sql::LIST_WORKERS, |text, connection| {
            query_as(text).bind(seen_since).fetch_all(connection)
        })
    }

    /// Forgets the consumer processes not heard of since `before`; the answer is how many.
    pub async fn prune_workers(&self, before: DbTime) -> Result<u64> {
        run_on_either!(&self.db, sql::PRUNE_WORKERS, |text, connection| async {
            let done = query(text).bind(before).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }
}
