//! The running producers, which partition the tenants among themselves, in the control database.

use serde::Serialize;
use sqlx::{FromRow, query, query_as};

use super::control::Control;
use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::sql;
use crate::clock::Time;
use crate::id::TenantId;

/// A producer process.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct ProducerRow {
    /// Its name, which is new at every start.
    pub name: String,
    /// The host it runs on.
    pub host: String,
    /// Its process id on that host.
    pub pid: i32,
    /// The program's version.
    pub version: String,
    /// How many tenants it watches.
    pub watched: i32,
    /// The maximum time between two polls of a tenant, in seconds.
    pub poll_seconds: i32,
    /// The tenants whose databases it cannot use.
    #[sqlx(json)]
    pub unreachable: Vec<TenantId>,
    /// When it started.
    pub started_at: Time,
    /// When it last renewed its row.
    pub seen_at: Time,
    /// The hash of its time zone rules; none from a producer of an earlier version.
    pub zone_rules: Option<String>,
}

impl Control {
    /// Inserts or renews the row of a producer.
    pub async fn register_producer(&self, producer: &ProducerRow) -> Result<()> {
        let unreachable = sqlx::types::Json(&producer.unreachable);
        run_on_either!(&self.db, sql::REGISTER_PRODUCER, |text, connection| async {
            query(text)
                .bind(&producer.name)
                .bind(&producer.host)
                .bind(producer.pid)
                .bind(&producer.version)
                .bind(producer.watched)
                .bind(producer.poll_seconds)
                .bind(unreachable)
                .bind(producer.seen_at)
                .bind(&producer.zone_rules)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Deletes the row of a producer that stops, and rows that were last renewed before `forget_before`.
    pub async fn unregister_producer(&self, name: &str, forget_before: DbTime) -> Result<()> {
        run_on_either!(&self.db, sql::UNREGISTER_PRODUCER, |text, connection| async {
            query(text).bind(name).bind(forget_before).execute(connection).await?;
            Ok(())
        })
    }

    /// The producers that have renewed their rows since `seen_since`.
    pub async fn list_producers(&self, seen_since: DbTime) -> Result<Vec<ProducerRow>> {
        run_on_either!(&self.db, sql::LIST_PRODUCERS, |text, connection| {
            query_as(text).bind(seen_since).fetch_all(connection)
        })
    }
}
