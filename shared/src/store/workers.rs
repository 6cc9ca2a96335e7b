//! The running workers (consumer processes), in the control database. Each renews its row.

use serde::Serialize;
use sqlx::{FromRow, query, query_as};

use super::control::Control;
use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::sql;
use crate::clock::Time;
use crate::handler_status::HandlerStatus;

/// A consumer process.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Worker {
    /// Its name, which is new at every start.
    pub name: String,
    /// The host it runs on.
    pub host: String,
    /// Its process id on that host.
    pub pid: i32,
    /// The program's version.
    pub version: String,
    /// The queues it receives from.
    #[sqlx(json)]
    pub queues: Vec<String>,
    /// The job types it handles.
    #[sqlx(json)]
    pub job_types: Vec<String>,
    /// The maximum number of concurrent executions.
    pub slots: i32,
    /// How many executions it is running.
    pub running: i32,
    /// When it started.
    pub started_at: Time,
    /// When it last renewed its row.
    pub seen_at: Time,
    /// The commands that start its handler processes; none in rows of earlier versions.
    #[sqlx(json)]
    pub handlers: Vec<HandlerStatus>,
}

impl Control {
    /// Inserts or renews the row of a worker.
    pub async fn register_worker(&self, worker: &Worker) -> Result<()> {
        let (queues, job_types) =
            (sqlx::types::Json(&worker.queues), sqlx::types::Json(&worker.job_types));
        let handlers = sqlx::types::Json(&worker.handlers);
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
                .bind(handlers)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Deletes the row of a worker that stops, and rows that were last renewed before `forget_before`.
    pub async fn unregister_worker(&self, name: &str, forget_before: DbTime) -> Result<()> {
        run_on_either!(&self.db, sql::UNREGISTER_WORKER, |text, connection| async {
            query(text).bind(name).bind(forget_before).execute(connection).await?;
            Ok(())
        })
    }

    /// The workers that have renewed their rows since `seen_since`.
    pub async fn list_workers(&self, seen_since: DbTime) -> Result<Vec<Worker>> {
        run_on_either!(&self.db, sql::LIST_WORKERS, |text, connection| {
            query_as(text).bind(seen_since).fetch_all(connection)
        })
    }

    /// Deletes the rows of workers that were last renewed before `before`; returns their number.
    pub async fn prune_workers(&self, before: DbTime) -> Result<u64> {
        run_on_either!(&self.db, sql::PRUNE_WORKERS, |text, connection| async {
            let done = query(text).bind(before).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }
}
