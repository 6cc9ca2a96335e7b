//! The producers that divide the tenants among themselves, in the control database.

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
pub struct Producer {
    /// New at every start.
    pub name: String,
    /// Where it runs.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// The program's version.
    pub version: String,
    /// How many tenants it watches.
    pub watched: i32,
    /// The longest it leaves one of them unseen, in seconds.
    pub poll_seconds: i32,
    /// Tenants whose database it cannot use.
    #[sqlx(json)]
    pub unreachable: Vec<TenantId>,
    /// Since when.
    pub started_at: Time,
    /// When it was last heard of.
    pub seen_at: Time,
}

impl Control {
    /// A producer process says that it lives.
    pub async fn register_producer(&self, producer: &Producer) -> Result<()> {
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
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// A producer process says goodbye; those not seen since `forget_before` are forgotten, too.
    pub async fn unregister_producer(&self, name: &str, forget_before: DbTime) -> Result<()> {
        run_on_either!(&self.db, sql::UNREGISTER_PRODUCER, |text, connection| async {
            query(text).bind(name).bind(forget_before).execute(connection).await?;
            Ok(())
        })
    }

    /// The producer processes heard of since `seen_since`.
    pub async fn list_producers(&self, seen_since: DbTime) -> Result<Vec<Producer>> {
        run_on_either!(&self.db, sql::LIST_PRODUCERS, |text, connection| {
            query_as(text).bind(seen_since).fetch_all(connection)
        })
    }
}
